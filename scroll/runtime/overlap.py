"""Work in another thread while this one goes on: what comes next is made ready, what is done is put away; all in its order."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import TypeVar

Item = TypeVar("Item")
Made = TypeVar("Made")


def made_ahead(make: Callable[[Item], Made], items: Iterable[Item]) -> Generator[Made]:
    """What `make` makes of each item, in their order; the next one is made, in one other thread, while one is used.

    Close the iterator (`contextlib.closing`), or use it up: its thread ends with it. Memory: one more of what is made.

    Raises:
        Whatever `make` raises, where its item would have come.
    """
    with ThreadPoolExecutor(1, "ahead") as pool:
        waiting: deque[Future[Made]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(make, item))
                if len(waiting) > 1:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for one in waiting:
                one.cancel()


class PutAway:
    """Does what it is given in one other thread, in order, one piece behind; once one failed, nothing more is begun.

    A context: its end waits for what is given, and raises what that raised, where the block itself does not raise.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, "behind")
        self._last: Future[None] | None = None

    def do(self, work: Callable[[], None]) -> None:
        """Have it done, once the piece before is.

        Raises:
            Whatever the piece before raised.
        """
        self._wait()
        self._last = self._pool.submit(work)

    def _wait(self) -> None:
        if self._last is not None:
            self._last.result()

    def __enter__(self) -> "PutAway":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True)
        if kind is None:
            self._wait()

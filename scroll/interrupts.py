"""Ctrl-C and SIGTERM as questions asked between two steps, in every process of a training."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager


def leave_signals_to_parent(_worker: int) -> None:
    """For loading processes: Ctrl-C reaches them too; were they to die of it, the last step would wait for them in vain."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def stop_flag() -> Iterator[Callable[[], bool]]:
    """Turn SIGINT and SIGTERM into a question asked between two steps, so that the saved state is never half a step."""
    asked: list[int] = []
    signals = (signal.SIGINT, signal.SIGTERM)
    try:
        before = {s: signal.signal(s, lambda number, _frame: asked.append(number)) for s in signals}
    except ValueError:  # not the main thread: signals stay as they are
        yield lambda: False
        return
    try:
        yield lambda: bool(asked)
    finally:
        for s, handler in before.items():
            signal.signal(s, handler)

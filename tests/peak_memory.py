"""How much memory a piece of work takes, and not what else happens in the process at that moment."""

import tracemalloc
from collections.abc import Callable
from typing import TypeVar

import pytest

from scroll.errors import InputError

Result = TypeVar("Result")


def with_peak_bytes(work: Callable[[], Result]) -> tuple[Result, int]:
    """What `work()` returns, and the most bytes of Python memory it takes: the least of two goes.

    Whenever its turn comes, the interpreter lays out its table of interned words again: 4 MB after a few imports, 15 after
    many. What is loaded at the first call of all counts as little.
    """
    peaks = []
    for _ in range(2):
        tracemalloc.start()
        try:
            result = work()
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    return result, min(peaks)


def peak_bytes_until_refused(work: Callable[[], object], match: str) -> int:
    """The same of work that ends in an `InputError` whose text fits `match`."""

    def refused() -> None:
        with pytest.raises(InputError, match=match):
            work()

    return with_peak_bytes(refused)[1]

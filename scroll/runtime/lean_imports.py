"""Importing a library without a heavy package that it would bring along for parts that are not used here."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_transformers() -> Iterator[None]:
    """Imports within this block find no `transformers`, unless it is imported already; those after it do.

    MONAI's networks import it for one network that nobody here uses: more than a third of the time that MONAI takes.
    """
    if "transformers" in sys.modules:
        yield
        return
    sys.modules["transformers"] = None  # type: ignore[assignment]  # Python's own way to say that there is no such module
    try:
        yield
    finally:
        del sys.modules["transformers"]

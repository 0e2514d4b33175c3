"""Importing a library without the heavy packages that it would bring along for parts that are not used here."""

import sys
import threading
from collections.abc import Iterator, Sequence, Set
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

# MONAI needs torch and numpy; these it imports where they are installed, for parts that nobody here uses
BESIDE_MONAI = frozenset({
    "huggingface_hub", "jsonschema", "matplotlib", "nibabel", "pandas", "requests", "scipy.optimize", "scipy.signal", "skimage",
    "sklearn", "tensorboard", "torchvision", "transformers",
})  # fmt: skip


class _Absent(MetaPathFinder):
    """Tells one thread that some modules are not installed."""

    def __init__(self, names: Set[str]) -> None:
        self.names, self.thread = names, threading.get_ident()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """None, which leaves a module to the finders that come after this one.

        Raises:
            ModuleNotFoundError: it is one of them.
        """
        if fullname in self.names and threading.get_ident() == self.thread:
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)
        return None


@contextmanager
def without(names: Set[str]) -> Iterator[None]:
    """Imports of this thread within this block find none of these modules, unless they are imported already.

    Other threads find them, and so does everybody after the block. What was imported within it goes on without them, as where
    they are not installed: `without(BESIDE_MONAI)`, MONAI's networks and losses are whole, and its plots and file formats are not.
    """
    absent = _Absent(names)
    sys.meta_path.insert(0, absent)
    try:
        yield
    finally:
        sys.meta_path.remove(absent)

"""numba's compiler, with a place for what it has compiled where it finds none: read-only code and no home, as in containers."""

import os
import stat
import tempfile
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numba

from scroll.errors import InputError
from scroll.runtime.reading import DAMAGE

UNREADABLE: tuple[type[Exception], ...] = (*DAMAGE, ImportError, UnpicklingError)
NAME = "NUMBA_CACHE_DIR"  # numba's own environment variable


def njit(function: Callable[..., Any] | None = None, **options: Any) -> Any:
    """As `numba.njit`; where numba can keep nothing beside the code or at home, it keeps it below the temporary folder.

    Raises:
        InputError: nor can it be kept there.
    """
    if function is None:
        return lambda function: njit(function, **options)
    try:
        return _compiled_anew_if_unreadable(numba.njit(**options)(function))
    except RuntimeError as error:
        if "no locator available" not in str(error):
            raise
    numba.config.CACHE_DIR = os.environ[NAME] = _folder()  # the environment: for processes started from here
    return _compiled_anew_if_unreadable(numba.njit(**options)(function))


def _compiled_anew_if_unreadable(compiled: Any) -> Any:
    """With a cache that is compiled again where it cannot be read: cut off, or of code that has other names today.

    numba unpickles what is kept before it looks whether that is of today's code.
    """
    kept = getattr(getattr(compiled, "_cache", None), "_cache_file", None)
    if kept is not None:
        kept._load_index, kept._load_data = _else(kept._load_index, {}), _else(kept._load_data, None)
    return compiled


def _else(load: Callable[..., Any], nothing: Any) -> Callable[..., Any]:
    @wraps(load)
    def loaded(*arguments: Any) -> Any:
        try:
            return load(*arguments)
        except UNREADABLE:
            return nothing

    return loaded


def _folder() -> str:
    """This user's own: what is in it is run, so nobody else may write there."""
    try:
        folder = Path(tempfile.gettempdir()) / f"scroll-numba-{os.getuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        is_ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o022
        return str(folder) if is_ours else tempfile.mkdtemp(prefix="scroll-numba-")
    except OSError as error:
        raise InputError(
            f"no place to keep compiled code ({error}); name a folder that can be written to: set {NAME} (or TMPDIR)"
        ) from None

"""Runs that take long to make: made once for all processes of a test session, and each process works on a copy of its own."""

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

SHARED = "made-once"  # the folder beside those of the session's processes


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """The folder that `make` filled, in this process or in another one of the session; nobody may change what is in it."""
    base = factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / SHARED
    shared.mkdir(exist_ok=True)
    folder, is_made = shared / name, shared / f"{name}.made"
    with (shared / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not is_made.exists():
            shutil.rmtree(folder, ignore_errors=True)  # of a process that failed half-way
            folder.mkdir()
            make(folder)
            is_made.touch()
    return folder


def own_copy(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """A copy, times of the files included, of what was made once; its configurations still name the folder it was made in."""
    made, own = made_once(factory, name, make), factory.mktemp(name)
    shutil.copytree(made, own, symlinks=True, dirs_exist_ok=True)
    return own

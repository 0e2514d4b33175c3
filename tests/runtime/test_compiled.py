"""Compiled code that is kept is compiled again where it cannot be read, and is never a traceback."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = """
from typing import NamedTuple
from scroll.runtime.compiled import njit

class {name}(NamedTuple):
    first: int

@njit(cache=True)
def doubled(one):
    return 2 * one.first

print(doubled({name}(21)))
"""


def printed(folder: Path, name: str = "One") -> str:
    (folder / "kept.py").write_text(PROGRAM.format(name=name))
    command = [sys.executable, "-c", f"import sys; sys.path[:0] = [{str(folder)!r}, {str(ROOT)!r}]; import kept"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kept")
    assert printed(folder) == "42" and list((folder / "__pycache__").glob("*.nbi"))
    return folder


@pytest.mark.parametrize("ending", ["nbi", "nbc"])
def test_what_is_kept_and_cut_off_is_compiled_again(kept, ending):
    for path in (kept / "__pycache__").glob(f"*.{ending}"):
        path.write_bytes(path.read_bytes()[:-40])
    assert printed(kept) == "42"


def test_what_is_kept_of_code_with_other_names_is_compiled_again(kept):
    assert printed(kept, "Another") == "42"

"""What a door says when it is opened with the wrong Python, or when the place it was given is closed to it."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from scroll.command_line import run_door

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    "command",
    [
        ["ensemble/predict.py", "configs/demo.yaml", "--input", "data", "--output", "out"],
        ["scripts/demo.py"],
        ["-m", "stage1_3d.train", "configs/demo.yaml"],
    ],
)
def test_a_python_without_the_packages_is_told_which_one_to_use_in_one_line(command: list[str]) -> None:
    # -S: without site-packages, as the system's Python would be
    done = subprocess.run(
        [sys.executable, "-S", "-E", *command], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and "make setup" in done.stderr and ".venv/bin/activate" in done.stderr


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.ENOTDIR, errno.ENOSPC])
def test_a_place_that_is_closed_or_full_is_told_in_one_line(number, capsys):
    def main() -> None:
        raise OSError(number, os.strerror(number), "/scrolls/prob.zarr")

    with pytest.raises(SystemExit) as end:
        run_door(main)
    said = capsys.readouterr().err
    assert end.value.code == 2 and said.count("\n") == 1 and "/scrolls/prob.zarr" in said
    assert ("free some space" in said) == (number == errno.ENOSPC)


def test_an_error_that_nobody_can_mend_by_another_place_keeps_its_traceback():
    def main() -> None:
        raise OSError(errno.EIO, "input/output error", "/scrolls")

    with pytest.raises(OSError, match="input/output error"):
        run_door(main)


def test_a_folder_below_a_file_is_told_too(tmp_path, capsys):
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit) as end:
        run_door(lambda: (tmp_path / "file" / "out").mkdir(parents=True))
    assert end.value.code == 2 and "Not a directory" in capsys.readouterr().err

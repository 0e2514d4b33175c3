"""What a door says and returns when the place it was given is closed to it."""

import errno
import os

import pytest

from scroll.command_line import run_door


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

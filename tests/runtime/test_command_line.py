"""What a command says when it is started with the wrong Python, or when the place it was given is closed to it."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from scroll.runtime.command_line import run_command

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    "command",
    [
        ["ensemble/predict.py", "configs/demo.yaml", "--input", "data", "--output", "out"],
        ["scripts/demo.py"],
        ["-m", "stage1_3d.train", "configs/demo.yaml"],
    ],
)
def test_a_python_without_the_packages_is_refused_with_which_one_to_use_in_one_line(command: list[str]) -> None:
    # -S: without site-packages, as the system's Python would be
    done = subprocess.run(
        [sys.executable, "-S", "-E", *command], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and "make setup" in done.stderr and ".venv/bin/activate" in done.stderr


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.ENOTDIR, errno.ENOSPC])
def test_a_place_that_is_closed_or_full_is_reported_in_one_line(number, capsys):
    def main() -> None:
        raise OSError(number, os.strerror(number), "/scrolls/prob.zarr")

    with pytest.raises(SystemExit) as end:
        run_command(main)
    message = capsys.readouterr().err
    assert end.value.code == 2 and message.count("\n") == 1 and "/scrolls/prob.zarr" in message
    assert ("free some space" in message) == (number == errno.ENOSPC)


def test_an_error_that_nobody_can_mend_keeps_its_traceback():
    def main() -> None:
        raise OSError(errno.EBADF, "Bad file descriptor")

    with pytest.raises(OSError, match="Bad file descriptor"):
        run_command(main)


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (OSError(errno.EIO, "Input/output error", "/scrolls"), "'/scrolls'; the disk"),
        (OSError(errno.EMFILE, "Too many open files", "/scrolls/a.tif"), "ulimit -n"),
        (MemoryError(), "too little memory"),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 99 bytes"),
            "lower patch_size",
        ),
        (RuntimeError("can't start new thread"), "loader.workers"),
    ],
)
def test_what_the_machine_lacks_is_named_with_a_way_out_in_one_line(error, advice, capsys):
    def main() -> None:
        raise error

    with pytest.raises(SystemExit) as end:
        run_command(main)
    message = capsys.readouterr().err
    assert end.value.code == 2 and message.count("\n") == 1 and advice in message


@pytest.mark.parametrize("line", ["print('x' * 100, flush=True)", "print('x')", "sys.exit(print('x' * 2**20))"])
def test_a_reader_that_has_had_enough_is_no_error(line):
    program = (
        "import sys; from scroll.runtime.command_line import run_command\n"
        f"def main():\n for _ in range(1000): {line}\nrun_command(main)"
    )
    command = [sys.executable, "-c", program]
    process = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    assert not process.stderr.read() and process.wait() == 141


def test_a_name_that_the_terminal_cannot_show_is_no_error():
    program = "from scroll.runtime.command_line import run_command\nrun_command(lambda: print('\\udcff\\u03b1'))"
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "\\udcff\\u03b1\n", "")


def test_a_folder_below_a_file_is_asked_too(tmp_path, capsys):
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit) as end:
        run_command(lambda: (tmp_path / "file" / "out").mkdir(parents=True))
    assert end.value.code == 2 and "Not a directory" in capsys.readouterr().err

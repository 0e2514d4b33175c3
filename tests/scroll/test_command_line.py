"""What a door says when it is opened with the wrong Python."""

import subprocess
import sys
from pathlib import Path

import pytest

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

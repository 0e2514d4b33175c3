"""The package as pip installs it, with no clone about: `scroll-ensemble NAME` in any folder."""

import os
import subprocess
from collections.abc import Callable

import pytest
from kaggle_room import stock_python
from pipeline_run import REPOSITORY

from ensemble.commands import COMMANDS
from ensemble.kaggle.wheels import build_wheel

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Command:
    """Runs `scroll-ensemble` of a fresh environment, in a folder of its own, without the clone on Python's path."""
    folder = tmp_path_factory.mktemp("installed")
    python = stock_python(folder, [])
    wheel = build_wheel(REPOSITORY, folder)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    pip = [python, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", wheel]
    subprocess.run(pip, env=kept, check=True)
    (folder / "elsewhere").mkdir()

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        program = [python.with_name("scroll-ensemble"), *words]
        return subprocess.run(program, cwd=folder / "elsewhere", env=kept, capture_output=True, text=True, check=False)

    return run


def test_every_command_is_listed_in_its_group_and_is_there(command: Command) -> None:
    help_text = command("--help").stdout
    for group, commands in COMMANDS.items():
        assert f"\n{group}:\n" in help_text
        for name, (_, about) in commands.items():
            assert f"  {name} " in help_text and about in help_text
            done = command(name, "--help")
            assert done.returncode == 0 and done.stdout.startswith(f"usage: scroll-ensemble {name} "), done.stderr


def test_a_command_works_without_a_clone_and_by_either_spelling(command: Command) -> None:
    config = REPOSITORY / "configs" / "demo.yaml"
    done = command("check", str(config), "--set", "seed=x")
    assert done.returncode == 2 and "seed" in done.stderr
    assert command("check", str(config)).returncode == 0
    for spelling in ("scroll-status", "scroll_status"):
        done = command(spelling, "gone.zarr")
        assert done.returncode == 2 and "gone.zarr" in done.stderr and done.stderr.count("\n") == 1


def test_a_command_that_is_not_there_is_one_line_with_the_nearest_name(command: Command) -> None:
    done = command("predcit", "a.yaml")
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and not done.stdout
    assert "no command 'predcit'; did you mean 'predict'?" in done.stderr
    assert "did you mean" not in command("zzz").stderr


def test_what_needs_a_clone_says_so_in_one_line(command: Command) -> None:
    done = command("demo")
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "configs/demo.yaml" in done.stderr

"""scripts/environment.sh: which Python `make` takes, and the one line where there is none; small scripts stand in for Pythons."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
TOOLS = ("sh", "sed", "rm", "mkdir", "make", "grep", "awk", "touch")
PYTHON = """#!/bin/sh
case "$*" in
*ensurepip*) echo "{version} {kind}" ;;
"-m venv"*" .venv") mkdir -p .venv/bin && echo "$0" >.venv/made_by ;;
*) echo "{version}.4 (made up)" ;;
esac
"""
UV = '#!/bin/sh\nmkdir .venv && echo "uv $*" >.venv/made_by\n'


@dataclass(frozen=True)
class Computer:
    """A folder of the project without its code, and all that is on PATH."""

    root: Path

    def install(self, folder: str, name: str, version: str = "", kind: str = "whole", text: str = PYTHON) -> str:
        """Put a program on PATH; its path."""
        path = self.root / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.format(version=version, kind=kind))
        path.chmod(0o755)
        return str(path)

    def run(self, *command: str, path: tuple[str, ...] = ("bin", "usr")) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": ":".join(str(self.root / folder) for folder in (*path, "tools"))}
        return subprocess.run(
            command, cwd=self.root / "project", env=environment, capture_output=True, text=True, check=False
        )

    def ask(self, what: str, *python: str) -> str:
        """What the script prints where all is well."""
        done = self.run("sh", "scripts/environment.sh", what, *python)
        assert not done.returncode and not done.stderr, done.stderr
        return done.stdout.strip()

    def refusal(self, what: str, *python: str) -> str:
        """Its one line where it cannot go on."""
        done = self.run("sh", "scripts/environment.sh", what, *python)
        assert done.returncode == 1 and not done.stdout and done.stderr.count("\n") == 1
        return done.stderr

    def made_by(self) -> str:
        return (self.root / "project" / ".venv" / "made_by").read_text().strip()


@pytest.fixture
def computer(tmp_path: Path) -> Computer:
    (tmp_path / "project" / "scripts").mkdir(parents=True)
    for name in ("Makefile", "pyproject.toml", "constraints.txt", "scripts/environment.sh"):
        shutil.copy2(REPOSITORY / name, tmp_path / "project" / name)
    (tmp_path / "tools").mkdir()
    for name in TOOLS:
        (tmp_path / "tools" / name).symlink_to(str(shutil.which(name)))
    return Computer(tmp_path)


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13", "3.14"])
@pytest.mark.parametrize("name", ["python", "python3", "python{version}"])
def test_a_python_that_suits_is_found_by_any_of_its_names(computer: Computer, version: str, name: str) -> None:
    there = computer.install("bin", name.format(version=version), version)
    assert computer.ask("find") == there


def test_what_does_not_suit_or_does_not_run_is_passed_over(computer: Computer) -> None:
    computer.install("bin", "python3.11", text="#!/bin/sh\necho 'pyenv: python3.11: command not found' >&2\nexit 127\n")
    for name, version in (("python3", "3.10"), ("python", "2.7"), ("python3.12", "3.15")):
        computer.install("bin", name, version)
    there = computer.install("usr", "python3", "3.13")
    assert computer.ask("find") == there


def test_a_computer_without_a_python_hears_what_is_needed(computer: Computer) -> None:
    computer.install("bin", "python3", "3.9")
    message = computer.refusal("make")
    assert (
        "no Python 3.11 to 3.14" in message
        and "brew install" in message
        and "apt install" in message
        and "PYTHON=" in message
    )


def test_a_python_without_ensurepip_names_the_package_that_lacks(computer: Computer) -> None:
    bare = computer.install("bin", "python3", "3.12", "bare")
    message = computer.refusal("make")
    assert bare in message and "python3.12-venv (or python3-venv)" in message
    assert "python3.12-venv" in computer.refusal("make", bare)
    whole = computer.install("usr", "python3", "3.13")
    computer.ask("make")
    assert computer.made_by() == whole


def test_the_python_that_is_named_is_taken_or_refused_in_one_line(computer: Computer) -> None:
    computer.install("bin", "python3.11", "3.11")
    named = computer.install("my pythons", "mine", "3.13")
    old = computer.install("bin", "python3.10", "3.10")
    assert computer.ask("find", named) == named
    assert f"{old} is Python 3.10; give a Python 3.11 to 3.14" in computer.refusal("make", old)
    assert "PYTHON=python3.99 does not run" in computer.refusal("make", "python3.99")


def test_uv_helps_only_where_no_python_can(computer: Computer) -> None:
    computer.install("tools", "uv", text=UV)
    computer.ask("make")
    assert computer.made_by() == "uv venv --quiet --seed --python 3.11 .venv"
    bare = computer.install("bin", "python3.12", "3.12", "bare")
    computer.ask("make")
    assert computer.made_by() == f"uv venv --quiet --seed --python {bare} .venv"
    whole = computer.install("bin", "python3.13", "3.13")
    computer.ask("make")
    assert computer.made_by() == whole


def test_the_environment_is_made_anew_when_its_python_has_changed_or_gone(computer: Computer) -> None:
    first, second = (computer.install("bin", f"python3.{minor}", f"3.{minor}") for minor in (12, 13))
    assert computer.ask("stale") == "stale"
    computer.ask("make")
    inside = Path(computer.install("project/.venv/bin", "python", "3.12"))
    assert not computer.ask("stale") and not computer.ask("stale", first)
    assert computer.ask("stale", second) == "stale"
    computer.ask("make", first)
    assert inside.exists()
    computer.ask("make", second)
    assert computer.made_by() == second and not inside.exists()
    inside.symlink_to(computer.root / "uninstalled")
    assert computer.ask("stale") == "stale"
    inside.unlink()
    computer.install("project/.venv/bin", "python", text="#!/bin/sh\necho no pip\n")
    assert computer.ask("stale") == "stale"


def test_make_ends_in_that_line_and_runs_nothing_after_it(computer: Computer) -> None:
    done = computer.run("make", "demo")
    ours, theirs = done.stderr.splitlines()
    assert done.returncode and ours.startswith("error: no Python 3.11") and theirs.startswith("make: ***")
    assert not done.stdout and not (computer.root / "project" / ".venv").exists()


def test_make_installs_once_and_again_where_the_python_is_another(computer: Computer) -> None:
    for minor in (12, 13):
        text = PYTHON.replace("mkdir -p .venv/bin", 'mkdir -p .venv/bin && echo "#!/bin/sh" >.venv/bin/pip && '
        'sed "" "$0" >.venv/bin/python && chmod +x .venv/bin/*')  # fmt: skip
        computer.install("bin", f"python3.{minor}", f"3.{minor}", text=text)
    (computer.root / "tools" / "chmod").symlink_to(str(shutil.which("chmod")))
    assert "pip install" in computer.run("make", "setup").stdout and computer.made_by().endswith("python3.12")
    assert "Nothing to be done" in computer.run("make", "setup").stdout
    assert "Nothing to be done" in computer.run("make", "setup", "PYTHON=python3.12").stdout
    assert "pip install" in computer.run("make", "setup", "PYTHON=python3.13").stdout
    assert computer.made_by().endswith("python3.13")
    assert "Nothing to be done" in computer.run("make", "setup").stdout  # it stays with the one that was chosen

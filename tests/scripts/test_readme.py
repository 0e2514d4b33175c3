"""The README keeps its word: its commands exist and parse, its links lead somewhere, its table names real files."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
SHELL = re.compile(r"```(?:sh|bash|shell)\n(.*?)```", re.DOTALL)


def commands() -> list[str]:
    """Each command of the pages' shell blocks, continued lines joined, comments dropped."""
    found = []
    for page in PAGES:
        for block in SHELL.findall(page.read_text(encoding="utf-8")):
            lines = block.replace("\\\n", " ").splitlines()
            found += [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]
    return list(dict.fromkeys(found))


def options_of(command: list[str]) -> str:
    """The help text of `python script ...` or `python -m module ...`, of the subcommand where there is one."""
    length = 2 if command[0] == "-m" else 1
    program, rest = command[:length], command[length:]
    subcommand = rest[:1] if program[-1] in ("scripts/make_phantom.py", "scripts/bench.py") else []
    done = subprocess.run(
        [sys.executable, *program, *subcommand, "--help"], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{program}: {done.stderr}"
    return done.stdout


def test_there_are_commands_to_check() -> None:
    assert len(commands()) >= 5


@pytest.mark.parametrize("command", commands())
def test_a_command_of_the_pages_exists_and_takes_its_arguments(command: str) -> None:
    words = shlex.split(command, comments=True)
    words = [word for word in words if "=" not in word or word.startswith("-")] if words[0] != "make" else words
    if words[0] == "make":
        done = subprocess.run(["make", "-n", *words[1:]], cwd=REPOSITORY, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "python" in done.stdout or "pip" in done.stdout
    elif words[0].rpartition("/")[2].startswith("python"):
        told = options_of(words[1:])
        unknown = [word for word in words[1:] if word.startswith("--") and word.partition("=")[0] not in told]
        assert not unknown, f"{command}: {unknown} not in --help"
    configs = re.findall(r"configs/[\w./-]+\.yaml", command)
    assert all((REPOSITORY / name).exists() for name in configs)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_relative_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
    assert not [link for link in links if link and not (page.parent / link).exists()]


def test_the_files_to_open_are_there() -> None:
    table = re.search(r"\| to change \| open \|\n(.*?)\n\n?[^|]", (REPOSITORY / "README.md").read_text(), re.DOTALL)
    assert table is not None
    for row in table[1].splitlines()[1:]:
        folder = ""
        for name in re.findall(r"`([^`]+)`", row.split("|")[2]):
            if "/" in name:
                folder = name.rpartition("/")[0] + "/"
            assert list(REPOSITORY.glob((name if "/" in name else folder + name).rstrip("/"))), name


def test_overrides_travel_from_make_to_the_command() -> None:
    done = subprocess.run(
        ["make", "-n", "stage1", "CONFIG=configs/demo.yaml", "SET=a.b=1 c.d=2"],
        cwd=REPOSITORY, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "stage1_3d.train configs/demo.yaml --set a.b=1 --set c.d=2" in done.stdout

"""The pages of the documentation in pieces: fenced blocks, commands, links; for the tests beside this file."""

import re
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"`((?:make|python|scroll-ensemble|torchrun|tensorboard|pip|\.venv/bin/pip) [^`]+)`")
CONFIG_FILE = re.compile(r"# (configs/[\w-]+\.yaml)\n")

# Commands that no test runs, by how they begin, each with its reason. They are still taken apart: command, options, files, settings.
NOT_RUN = {
    "make test": "these are the tests",
    **dict.fromkeys(
        (
            "python scripts/export_dataset.py configs/demo.yaml",
            "make stage1 CONFIG=configs/demo_flat.yaml",
            "python scripts/export_member.py configs/demo_flat.yaml",
            "make demo CONFIG=configs/demo_with_flat.yaml",
        ),
        "trains for minutes; tests/pipeline/test_flat_fragments.py does it with a small network on a small scroll",
    ),
    "torchrun": "several GPUs; two processes on a CPU would fight for its cores",
    "pip install": "asks a package index",
    "kaggle ": "asks kaggle.com, with the reader's token",
    "nnUNetv2_": "trains for days; tests/external/test_trained_nnunet.py runs each of them on small cubes",
    "python scripts/catalogue.py": "asks the servers of the scroll data",
    "make kaggle-bundle": "asks a package index for wheels",
}


@dataclass(frozen=True)
class Block:
    """One fenced block: the page it stands on, what its fence says it is, and its text."""

    page: Path
    kind: str
    text: str


def blocks(page: Path) -> list[Block]:
    return [Block(page, kind, text) for kind, text in FENCE.findall(page.read_text(encoding="utf-8"))]


def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def commands_of(block: Block) -> list[str]:
    """Each command of a shell block, continued lines joined, lines of comment dropped."""
    lines = block.text.replace("\\\n", " ").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]


def commands() -> list[str]:
    """Every command of every shell block, once."""
    found = [line for page in PAGES for block in blocks(page) if block.kind == "sh" for line in commands_of(block)]
    return list(dict.fromkeys(found))


def mentioned_commands() -> list[str]:
    """Every command within a sentence, once."""
    return list(dict.fromkeys(found for page in PAGES for found in INLINE.findall(prose(page))))


def reason_not_to_run(command: str) -> str | None:
    return next((why for start, why in NOT_RUN.items() if command.startswith(start)), None)


def config_files() -> dict[str, str]:
    """Configurations that a page tells the reader to write: the path in the first line of a YAML block -> the block."""
    found = {}
    for page in PAGES:
        for block in blocks(page):
            message = CONFIG_FILE.match(block.text)
            if block.kind == "yaml" and message:
                found[message[1]] = block.text
    return found

"""A newcomer's walk: a clean clone, and every command of every page run in it, from top to bottom, with tiny phantoms."""

from pathlib import Path

import pytest
from documentation import PAGES, REPOSITORY, blocks, commands_of, reason_not_to_run
from sandbox import follow, fresh_clone

DOCS = REPOSITORY / "docs"
START = DOCS / "start.md"
PRESUPPOSED = {  # a page, and the page that makes what it begins with
    DOCS / "scale.md": (DOCS / "surface_competition.md", "runs/surface/stage2"),
}
OTHERS = [page for page in PAGES if page != START and any(block.kind == "sh" for block in blocks(page))]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where all pages but the first are followed, one after the other."""
    return fresh_clone(tmp_path_factory)


@pytest.mark.parametrize("page", OTHERS, ids=lambda page: page.name)
def test_every_command_of_a_page_runs(page: Path, clone: Path) -> None:
    needed, made = PRESUPPOSED.get(page, (page, "."))
    if not (clone / made).exists():
        follow(needed, clone)
    message = follow(page, clone)
    lines = [line for block in blocks(page) if block.kind == "sh" for line in commands_of(block)]
    assert [command for command, _ in message] == [line for line in lines if not reason_not_to_run(line)]

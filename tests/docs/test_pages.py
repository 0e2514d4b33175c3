"""The pages keep their word: links lead somewhere, the index is whole, what is shown as configuration or Python is sound."""

import ast
import re
import shutil
from importlib import import_module
from pathlib import Path

import pytest
from documentation import PAGES, REPOSITORY, blocks, config_files, prose

from stage1_3d.network import load_checked_settings

KINDS = {"sh", "text", "yaml", "python"}
LOOKS_LIKE_A_COMMAND = re.compile(r"^\s*(?:\$ )?(?:make|python\d?|torchrun|pip|git|bash|kaggle) \S", re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """Where a link may lead within a page, as GitHub names its headings."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    plain = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading) for heading in headings]
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_relative_link_leads_to_a_file_and_a_heading_of_it(page: Path) -> None:
    lost = []
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if "://" not in link and (not target.exists() or (anchor and anchor not in anchors(target))):
            lost.append(link)
    assert not lost


def test_the_index_names_every_page_once() -> None:
    links = re.findall(r"^- \[[^\]]+\]\(([^)]+)\)", (REPOSITORY / "docs" / "README.md").read_text(), re.MULTILINE)
    assert sorted(links) == sorted(page.name for page in PAGES if page.name != "README.md")


def test_the_index_has_the_four_kinds() -> None:
    assert anchors(REPOSITORY / "docs" / "README.md") >= {"start", "how-to", "reference", "explanation"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_command_hides_in_a_block_that_is_not_run(page: Path) -> None:
    assert {block.kind for block in blocks(page)} <= KINDS
    hidden = [block.text for block in blocks(page) if block.kind != "sh" and LOOKS_LIKE_A_COMMAND.search(block.text)]
    assert not hidden


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_configuration_that_a_page_names_is_there(page: Path) -> None:
    named = set(re.findall(r"configs/[\w/-]+\.yaml", page.read_text(encoding="utf-8")))
    assert not [name for name in named - set(config_files()) if not (REPOSITORY / name).exists()]


def test_every_configuration_that_a_page_shows_is_sound(tmp_path: Path) -> None:
    shown = [block for page in PAGES for block in blocks(page) if block.kind == "yaml"]
    assert len(shown) == len(config_files()) >= 2, "a YAML block begins with the line '# configs/<name>.yaml'"
    shutil.copytree(REPOSITORY / "configs", tmp_path / "configs")
    for name, text in config_files().items():
        assert not (tmp_path / name).exists(), f"{name} would overwrite one that is shipped"
        (tmp_path / name).write_text(text, encoding="utf-8")
        load_checked_settings(tmp_path / name, [])


def test_what_a_page_imports_can_be_imported() -> None:
    shown = [block for page in PAGES for block in blocks(page) if block.kind == "python"]
    imports = [node for block in shown for node in ast.walk(ast.parse(block.text)) if isinstance(node, ast.ImportFrom)]
    assert imports
    for node in imports:
        module = import_module(str(node.module))
        for name in node.names:
            assert hasattr(module, name.name) or import_module(f"{node.module}.{name.name}")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_of_the_code_that_a_page_names_is_there(page: Path) -> None:
    named = re.findall(
        r"`((?:scroll|stage1_3d|stage2_2d|ensemble|scripts|tests)/[\w/.*]+)`", page.read_text(encoding="utf-8")
    )
    assert not [name for name in named if not list(REPOSITORY.glob(name.rstrip("/")))]


def test_the_files_to_open_are_there() -> None:
    table = re.search(r"\| to change \| open \|\n(.*?)\n\n?[^|]", (REPOSITORY / "README.md").read_text(), re.DOTALL)
    assert table is not None
    for row in table[1].splitlines()[1:]:
        folder = ""
        for name in re.findall(r"`([^`]+)`", row.split("|")[2]):
            if "/" in name:
                folder = name.rpartition("/")[0] + "/"
            assert list(REPOSITORY.glob((name if "/" in name else folder + name).rstrip("/"))), name


def test_a_heading_becomes_the_anchor_that_github_makes_of_it(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Why it's so\n## The demo (`make demo`), two CPU cores\n```sh\n# no heading\n```\n")
    assert anchors(page) == {"why-its-so", "the-demo-make-demo-two-cpu-cores"}

"""A newcomer's walk: a clean clone, and every command of every page run in it, from top to bottom, with tiny phantoms."""

import json
from pathlib import Path

import pytest
import yaml
from documentation import PAGES, REPOSITORY, blocks, commands_of, reason_not_to_run
from sandbox import clone_into, follow, run, shrink

START = REPOSITORY / "docs" / "start.md"
DOCS = REPOSITORY / "docs"
PRESUPPOSED = {DOCS / "scale.md": DOCS / "surface_competition.md"}  # a trained run
OTHERS = [page for page in PAGES if page != START and any(block.kind == "sh" for block in blocks(page))]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("clone")
    clone_into(root)
    shrink(root)
    return root


@pytest.mark.parametrize("page", OTHERS, ids=lambda page: page.name)
def test_every_command_of_a_page_runs(page: Path, clone: Path) -> None:
    if page in PRESUPPOSED and not (clone / "runs" / "surface" / "stage1").exists():
        follow(PRESUPPOSED[page], clone)
    said = follow(page, clone)
    lines = [line for block in blocks(page) if block.kind == "sh" for line in commands_of(block)]
    assert [command for command, _ in said] == [line for line in lines if not reason_not_to_run(line)]


@pytest.fixture(scope="module")
def started(clone: Path) -> dict[str, str]:
    """The first half hour, command by command."""
    return dict(follow(START, clone))


def test_one_setting_changed_does_only_again_what_depends_on_it(started: dict[str, str]) -> None:
    said = next(text for command, text in started.items() if "min_area_um2" in command)
    assert "training" not in said.lower().split("== ensemble")[0].replace("--train", ""), said


def test_a_member_added_by_one_yaml_is_trained_and_weighed_beside_the_others(
    started: dict[str, str], clone: Path
) -> None:
    fit = json.loads((clone / "runs" / "demo" / "ensemble" / "fit.json").read_text())
    assert set(fit["weights"]) == {"cnn3d", "unet3d", "wide", "stage2"}
    score = json.loads((clone / "runs" / "demo" / "predict" / "score.json").read_text())
    assert "wide" in {row["name"] for row in score["rows"]}
    assert yaml.safe_load((clone / "runs" / "demo" / "settings.yaml").read_text())["stage1"]["members"]["wide"]


def test_the_first_half_hour_leaves_what_it_says(started: dict[str, str], clone: Path) -> None:
    for name in ("predict/report.html", "submission.csv", "preview.png", "stage1", "stage2", "ensemble/fit.json"):
        assert (clone / "runs" / "demo" / name).exists(), name


def test_a_misspelt_setting_is_told_with_what_was_probably_meant(clone: Path) -> None:
    with pytest.raises(AssertionError, match=r"unknown key 'ensemble\.min_area_um'; did you mean 'min_area_um2'"):
        run("make demo SET='ensemble.min_area_um=3'", clone)

"""A newcomer's first half hour: the first page, command by command, in a clean clone in which nothing was done before."""

import json
from pathlib import Path

import pytest
import yaml
from documentation import REPOSITORY
from sandbox import follow, fresh_clone, run

START = REPOSITORY / "docs" / "start.md"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def first_clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where nothing was done before the first half hour."""
    return fresh_clone(tmp_path_factory)


@pytest.fixture(scope="module")
def started(first_clone: Path) -> dict[str, str]:
    """The first half hour, command by command."""
    return dict(follow(START, first_clone))


def test_one_setting_changed_trains_nothing_again(started: dict[str, str]) -> None:
    first, changed = started["make demo"], next(text for command, text in started.items() if "min_area_um2" in command)
    assert first.count("already trained") == 0
    assert changed.count("already trained") == 6  # two members and stage two, two folds each
    assert "threshold" in changed and "report: runs/demo/predict/report.html" in changed


def test_a_member_added_by_one_yaml_is_trained_and_weighed_beside_the_others(
    started: dict[str, str], first_clone: Path
) -> None:
    fit = json.loads((first_clone / "runs" / "demo" / "ensemble" / "fit.json").read_text())
    assert set(fit["weights"]) == {"cnn3d", "unet3d", "wide", "stage2"}
    score = json.loads((first_clone / "runs" / "demo" / "predict" / "score.json").read_text())
    assert "wide" in {row["name"] for row in score["rows"]}
    assert yaml.safe_load((first_clone / "runs" / "demo" / "settings.yaml").read_text())["stage1"]["members"]["wide"]


def test_the_first_half_hour_leaves_what_it_says(started: dict[str, str], first_clone: Path) -> None:
    for name in ("predict/report.html", "submission.csv", "preview.png", "stage1", "stage2", "ensemble/fit.json"):
        assert (first_clone / "runs" / "demo" / name).exists(), name


def test_a_misspelt_setting_is_reported_with_what_was_probably_meant(first_clone: Path) -> None:
    with pytest.raises(AssertionError, match=r"unknown key 'ensemble\.min_area_um'; did you mean 'min_area_um2'"):
        run("make demo SET='ensemble.min_area_um=3'", first_clone)

"""A run that reads easy ink: letters stand out of the placebo, what is found on bare papyrus does not, brighter ink is found more."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pipeline_run import REPOSITORY
from placebo_run import PHANTOM, trained
from skimage.io import imread

from scroll.metrics.betti_matching.connected import connected_components
from scroll.runtime.files import read_json
from tests.steps import step

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Studies:
    """Folders of placebo.json: of a fragment with letters, and of one without ink, where letters were planted."""

    root: Path
    config: Path

    def judge(self, data: str, *options: object) -> Path:
        output = self.root / f"predict_{data}"
        source = self.root / data / "test"
        done = step("scripts/placebo.py", self.config, "--input", source, "--output", output, *options)
        assert done.returncode == 0, done.stderr
        assert "stand out of both blank copies" in done.stdout
        return output

    def written(self) -> Path:
        return self.judge("data", "--copies", 2, "--contrasts", "")

    def bare(self) -> Path:
        return self.judge("zero", "--copies", 1, "--contrasts", "0.25,1,4")


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> Studies:
    root = tmp_path_factory.mktemp("placebo")
    made = Studies(root, trained(root))
    phantom = [part for part in PHANTOM if part not in ("--preset", "easy", "--seed", "5")]
    where = ["--out", root / "zero", "--train", 1, "--test", 1, "--preset", "zero", "--seed", 77]
    done = step("scripts/make_phantom.py", "fragments", *where, *phantom, cwd=REPOSITORY)
    assert done.returncode == 0, done.stderr
    made.written()
    made.bare()
    return made


def only_fragment(folder: Path) -> dict[str, Any]:
    (fragment,) = read_json(folder / "placebo.json")["fragments"]
    return fragment


def table(fragment: dict[str, Any], title: str) -> list[dict[str, Any]]:
    return next(one["rows"] for one in fragment["tables"] if one["title"] == title)


def test_components_on_letters_are_less_likely_imagined_than_those_beside_them(studies: Studies) -> None:
    rows = table(only_fragment(studies.root / "predict_data"), "Found components")
    pieces = connected_components(imread(studies.root / "predict_data/a/ensemble/ink_mask.png")[None] > 0, 26)[0]
    truth = imread(studies.root / "data/heldout/a/inklabels.png") > 0
    on_letters, beside = [], []
    for row in rows:
        share = truth[pieces == row["component"]].mean()
        (on_letters if share >= 0.5 else beside).append(row["chance_imagined"])
    assert len(on_letters) >= 8 and len(beside) >= 3
    lower = np.mean(np.array(on_letters)[:, None] < np.array(beside)[None])
    assert lower > 0.7, (on_letters, beside)
    assert np.median(on_letters) < np.median(beside)


def test_what_is_found_on_bare_papyrus_may_be_imagined(studies: Studies) -> None:
    rows = table(only_fragment(studies.root / "predict_zero"), "Found components")
    assert np.mean([row["verdict"] == "may be imagined" for row in rows] or [True]) >= 0.9, rows


def test_brighter_planted_ink_is_found_more_often(studies: Studies) -> None:
    fragment = only_fragment(studies.root / "predict_zero")
    shares = [row["share"] for row in table(fragment, "Planted letters")]
    assert shares == sorted(shares) and shares[0] <= 0.25 and shares[-1] >= 0.75, shares
    assert 0.25 < fragment["half_found"]["contrast"] < 4


def test_nothing_is_told_to_be_impossible_and_the_placebos_area_is_told(studies: Studies) -> None:
    for folder in ("predict_data", "predict_zero"):
        fragment = only_fragment(studies.root / folder)
        rows = table(fragment, "Found components")
        assert all(row[key] > 0 for row in rows for key in ("chance_imagined", "p", "placebo_per_cm2"))
        copies = table(fragment, "Copies")
        assert [row["copy"] for row in copies] == ["phase-scrambled", "reversed", "depth-shuffled"]
        for row in copies:
            assert row["placebo_cm2"] == pytest.approx(row["copies"] * fragment["papyrus_cm2"], abs=0.02)
        assert f"{copies[1]['placebo_cm2']:.2f} cm2 of reversed placebo" in fragment["note"]


def test_pictures_lie_where_the_record_says(studies: Studies) -> None:
    for folder, count in (("predict_data", 2), ("predict_zero", 4)):
        pictures = only_fragment(studies.root / folder)["pictures"]
        assert len(pictures) == count and all(picture["alt"] for picture in pictures)
        assert all(imread(studies.root / folder / picture["path"]).std() > 5 for picture in pictures)


def test_a_second_time_nothing_is_predicted_again(studies: Studies) -> None:
    def maps() -> dict[Path, int]:
        found = [*(studies.root / "predict_zero").rglob("receipt.json")]
        return {path: path.stat().st_mtime_ns for path in found}

    before, content = maps(), read_json(studies.root / "predict_zero" / "placebo.json")
    assert len(before) == 2 * (1 + 3 + 3)  # one member and stage two: the fragment, its copies, one pass a contrast
    again = read_json(studies.bare() / "placebo.json")
    assert maps() == before and again == content

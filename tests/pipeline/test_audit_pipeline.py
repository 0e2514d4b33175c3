"""A run that reads easy ink: letters stand out of negative controls, what is found on bare papyrus does not, brighter ink is found more."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pipeline_run import REPOSITORY
from skimage.io import imread
from small_ink_run import PHANTOM, trained

from ensemble.audit.record import NAME, PAGE, Audit
from scroll.audit.verdict import BLIND, FOUND, NO_INK, NOT_TOLD
from scroll.metrics.betti_matching.connected import connected_components
from scroll.runtime.files import read_json, read_sealed
from scroll.runtime.record import as_record
from tests.steps import step

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Studies:
    """Folders of audit.json: of a fragment with letters, and of one without ink, where letters were planted."""

    root: Path
    config: Path

    def judge(self, data: str, *options: object) -> Path:
        output = self.root / f"predict_{data}"
        source = self.root / data / "test"
        done = step("scripts/audit.py", self.config, "--input", source, "--output", output, *options)
        assert done.returncode == 0, done.stderr
        assert "components stand out; the least chance" in done.stdout
        return output

    def written(self) -> Path:
        return self.judge("data", "--copies", 2, "--contrasts", "", "--depths", "4")

    def bare(self) -> Path:
        return self.judge("zero", "--copies", 1, "--contrasts", "0.25,1,4", "--depths", "4")


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> Studies:
    root = tmp_path_factory.mktemp("controls")
    made = Studies(root, trained(root))
    phantom = [part for part in PHANTOM if part not in ("--preset", "easy", "--seed", "5")]
    where = ["--out", root / "zero", "--train", 1, "--test", 1, "--preset", "zero", "--seed", 77]
    done = step("scripts/make_phantom.py", "fragments", *where, *phantom, cwd=REPOSITORY)
    assert done.returncode == 0, done.stderr
    made.written()
    made.bare()
    return made


def only_fragment(folder: Path) -> dict[str, Any]:
    (sheet,) = as_record(folder / NAME, read_sealed(folder / NAME, "audit it"), Audit).model_dump()["sheets"]
    return dict(sheet)


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


def test_nothing_is_called_impossible_and_the_area_of_negative_control_is_reported(studies: Studies) -> None:
    for folder in ("predict_data", "predict_zero"):
        fragment = only_fragment(studies.root / folder)
        rows = table(fragment, "Found components")
        assert all(row[key] > 0 for row in rows for key in ("chance_imagined", "p", "placebo_per_cm2"))
        copies = table(fragment, "Copies")
        assert [row["copy"] for row in copies] == ["phase-scrambled", "reversed", "depth-shuffled"]
        for row in copies:
            assert row["placebo_cm2"] == pytest.approx(row["copies"] * fragment["papyrus_cm2"], abs=0.02)
        assert f"{copies[1]['placebo_cm2']:.2f} cm2 of reversed copies" in " ".join(fragment["notes"])


def test_pictures_lie_where_the_record_says(studies: Studies) -> None:
    for folder, count in (("predict_data", 4), ("predict_zero", 6)):
        pictures = only_fragment(studies.root / folder)["pictures"]
        assert len(pictures) == count and all(picture["alt"] for picture in pictures)
        assert all(imread(studies.root / folder / picture["path"]).std() > 5 for picture in pictures)


def test_a_second_time_nothing_is_predicted_again(studies: Studies) -> None:
    def maps() -> dict[Path, int]:
        found = [*(studies.root / "predict_zero").rglob("receipt.json")]
        return {path: path.stat().st_mtime_ns for path in found}

    before, content = maps(), read_json(studies.root / "predict_zero" / NAME)
    assert (
        len(before) == 2 * (1 + 3 + 3) + 2
    )  # one member and stage two: the fragment, its copies, a pass a contrast; two other windows
    again = read_json(studies.bare() / NAME)
    assert maps() == before and again == content


def test_a_killed_audit_goes_on_with_what_is_missing(studies: Studies) -> None:
    """As a kill leaves it: no record yet, one pass of planted ink not begun, another without its receipt."""
    output = studies.root / "predict_zero"
    content = read_json(output / NAME)
    (output / NAME).unlink()
    shutil.rmtree(output / "a" / "placebo" / "planted-2")
    (output / "a" / "placebo" / "planted-3" / "cnn3d" / "receipt.json").unlink()
    kept = {path: path.stat().st_mtime_ns for path in output.rglob("receipt.json")}
    assert read_json(studies.bare() / NAME) == content
    again = {path: path.stat().st_mtime_ns for path in output.rglob("receipt.json")}
    changed = {path.relative_to(output).parts[2] for path in again if again[path] != kept.get(path)}
    assert changed == {"planted-2", "planted-3"} and len(again) > len(kept)


def test_letters_are_found_and_bare_papyrus_shows_none(studies: Studies) -> None:
    written, bare = (only_fragment(studies.root / name)["verdict"]["kind"] for name in ("predict_data", "predict_zero"))
    assert written in (FOUND, NOT_TOLD)  # so small a network on so little negative control
    assert bare == NO_INK


def test_every_member_s_figures_are_there_and_the_page_says_the_verdict_first(studies: Studies) -> None:
    sheet = only_fragment(studies.root / "predict_zero")
    assert [one["name"] for one in sheet["members"]] == ["cnn3d", "stage2", "ensemble"]
    member = sheet["members"][0]
    assert set(member["flagged"]) == {"real", "phase-scrambled", "reversed", "depth-shuffled"}
    assert member["direction"]["reversed"] >= 0 and [one["offset"] for one in member["depths"]] == [0, 4]
    assert member["is_trained_on"] is False and sheet["facts"]["trained_on"] == {"cnn3d": ("1", "2")}
    assert sheet["facts"]["window_mm"]["cnn3d"] == pytest.approx((64 * 4 * 7.91 / 1000,) * 2, abs=1e-3)
    page = (studies.root / "predict_zero" / PAGE).read_text(encoding="utf-8")
    assert page.index(sheet["verdict"]["kind"]) < page.index("<h2") and 'src="data:image/png' in page


def test_a_stack_whose_layers_hold_no_sheet_is_distinguished_from_one_without_ink(studies: Studies) -> None:
    """Only what lies behind the sheet: nothing can be found there, whatever is planted."""
    source = studies.root / "data" / "test" / "a"
    cut = studies.root / "cut" / "test" / "a"
    (cut / "surface_volume").mkdir(parents=True)
    for number, layer in enumerate(sorted((source / "surface_volume").glob("*.tif"))[-14:]):
        shutil.copy(layer, cut / "surface_volume" / f"{number:02}.tif")
    shutil.copy(source / "mask.png", cut / "mask.png")
    output = studies.root / "predict_cut"
    done = step("scripts/audit.py", studies.config, "--input", cut.parent, "--output", output)
    assert done.returncode == 0, done.stderr
    assert only_fragment(output)["verdict"]["kind"] == BLIND


def test_the_commands_of_before_still_answer_and_say_what_they_are_now(studies: Studies) -> None:
    source = studies.root / "zero" / "test"
    done = step("scripts/preflight.py", studies.config, "--input", source)
    assert done.returncode == 0 and "is now audit --look" in done.stdout and "preflight a: " in done.stdout
    options = ("--copies", 1, "--contrasts", "0.25,1,4", "--depths", "4")
    done = step(
        "scripts/placebo.py", studies.config, "--input", source, "--output", studies.root / "predict_zero", *options
    )
    assert done.returncode == 0 and "is now audit" in done.stdout and NO_INK in done.stdout


def test_a_member_is_audited_without_its_run(studies: Studies) -> None:
    member, source = studies.root / "members" / "cnn3d", studies.root / "zero" / "test"
    done = step("scripts/export_member.py", studies.config, "--member", "cnn3d", "--output", member)
    assert done.returncode == 0, done.stderr
    output = studies.root / "alone"
    few = ("--copies", 1, "--contrasts", "1,4", "--depths", "", "--letter-um", 870)
    where = ("--input", source, "--output", output)
    done = step(
        "scripts/audit.py", "--member", member, *where, *few, "--set", "data.bin_yx=4", "--set", "data.depth=[-10, 6]"
    )
    assert done.returncode == 0, done.stderr + done.stdout
    alone = only_fragment(output)
    assert [one["name"] for one in alone["members"]] == ["cnn3d", "ensemble"]
    fitted = read_sealed(studies.root / "run" / "ensemble" / "fit.json", "")["thresholds"]["cnn3d"]
    assert alone["members"][0]["threshold"] == fitted  # its card's
    assert alone["verdict"]["kind"] in (NO_INK, NOT_TOLD, BLIND, FOUND)


def test_where_papyrus_without_ink_is_known_it_tells_what_is_imagined(studies: Studies) -> None:
    """Chances rest on it, by its own area; everyone's share of it called ink is told; and it is predicted once."""
    blank = studies.root / "zero" / "test"
    copies = {row["copy"]: row for row in table(only_fragment(studies.root / "predict_data"), "Copies")}
    options = ("--copies", 2, "--contrasts", "", "--depths", "4", "--blank", blank)
    output = studies.judge("data", *options)
    sheet = only_fragment(output)
    rows = {row["copy"]: row for row in table(sheet, "Copies")}
    assert [name for name, row in rows.items() if row["chance_rests_on_it"] == "yes"] == ["blank papyrus"]
    assert {name: row["components"] for name, row in rows.items() if name in copies} == {
        name: row["components"] for name, row in copies.items()
    }
    bare = only_fragment(studies.root / "predict_zero")
    assert rows["blank papyrus"]["components"] == bare["found"]
    assert rows["blank papyrus"]["placebo_cm2"] == pytest.approx(bare["papyrus_cm2"], abs=0.01)
    for row in table(sheet, "Found components"):
        assert row["chance_imagined"] == row["by_copy"]["blank papyrus"]["chance_imagined"]
    shown = {one["name"]: one["flagged"]["blank papyrus"]["share"] for one in sheet["members"]}
    assert shown == {one["name"]: one["flagged"]["real"]["share"] for one in bare["members"]}
    assert any("what is on blank papyrus" in reason for reason in sheet["verdict"]["reasons"])
    made = {path: path.stat().st_mtime_ns for path in output.rglob("receipt.json")}
    studies.judge("data", *options)
    assert {path: path.stat().st_mtime_ns for path in output.rglob("receipt.json")} == made


def test_papyrus_that_is_audited_cannot_excuse_itself(studies: Studies) -> None:
    source, output = studies.root / "zero" / "test", studies.root / "itself"
    few = ("--copies", 1, "--contrasts", "", "--depths", "")
    done = step(
        "scripts/audit.py", studies.config, "--input", source, "--blank", source / "a", "--output", output, *few
    )
    assert done.returncode == 2 and "--blank: " in done.stderr and "would excuse what it shows itself" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1

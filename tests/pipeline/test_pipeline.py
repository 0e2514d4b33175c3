"""The whole chain on a phantom: what a run leaves, and what a second run leaves alone."""

import csv
import math
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pipeline_run import MEMBERS, REPOSITORY, Call, Run, changed, copied, predict_arguments, states
from tifffile import imread

import ensemble.calibrate
import ensemble.ink.predict
import ensemble.predict
import stage1_3d.train
import stage2_2d.train
from ensemble.ink.submission import read_submission
from scroll.config.reader import load_settings
from scroll.data.fragments import find_fragments
from scroll.metrics.fbeta import fbeta
from scroll.runtime.files import read_json
from scroll.volumes.ome_zarr import open_array

SHAPE, COARSE = (256, 256), (64, 64)


def test_every_file_that_the_readme_promises_is_there(run: Run) -> None:
    promised = re.search(r"## What a run leaves\n```text\n(.*?)```", (REPOSITORY / "README.md").read_text(), re.DOTALL)
    assert promised is not None
    lines = [line.split()[0] for line in promised[1].splitlines() if line.startswith("runs/demo_ink/")]
    assert len(lines) >= 7
    expected = {"settings.yaml", "ensemble/fit.json"}
    for k in range(2):
        for stage in [*(f"stage1/{member}" for member in MEMBERS), "stage2"]:
            expected |= {f"{stage}/fold{k}/{name}" for name in ("weights.safetensors", "history.jsonl", "receipt.json")}
            maps = ("ink.zarr",) if stage == "stage2" else ("prob.zarr", "flat.zarr")
            expected |= {f"{stage}/oof/{k + 1}/{name}" for name in maps}
    assert not [name for name in expected if not (run.run_dir / name).exists()]
    assert not [name for name in ("score.json", "report.html") if not (run.output / name).exists()]
    for name in ("ink_prob.tif", "ink_prob.png", "ink_mask.png"):
        assert (run.output / "a" / "ensemble" / name).exists()
    assert not list(run.root.rglob("*.part")), "something was left half written"
    assert not list(run.run_dir.rglob("resume.pt"))
    settings = load_settings(run.run_dir / "settings.yaml")
    assert settings == load_settings(run.config)


def test_maps_have_working_size_and_pictures_full_size(run: Run) -> None:
    for folder in [run.run_dir / "stage1" / m / "oof" / "1" for m in MEMBERS] + [run.output / "a" / m for m in MEMBERS]:
        prob, flat = open_array(folder / "prob.zarr"), open_array(folder / "flat.zarr")
        assert prob.shape == (8, *COARSE) and flat.shape == (1, *COARSE) and prob.dtype == flat.dtype == np.float16
        assert np.array_equal(prob[:].max(axis=0), flat[0])
        assert prob[:].min() >= 0 and prob[:].max() <= 1 and flat[:].std() > 0
    assert open_array(run.output / "a" / "stage2" / "ink.zarr").shape == (1, *COARSE)
    assert imread(run.output / "a" / "ensemble" / "ink_prob.tif").shape == SHAPE
    mask = np.asarray(Image.open(run.output / "a" / "ensemble" / "ink_mask.png"))
    assert mask.shape == SHAPE and set(np.unique(mask)) <= {0, 255}


def test_flat_maps_tell_the_size_of_their_own_pixels(run: Run) -> None:
    for path in ("run/stage1/cnn3d/oof/1/flat.zarr", "predict/a/unet3d/flat.zarr", "predict/a/stage2/ink.zarr"):
        entry = read_json(run.root / path / ".zattrs")["multiscales"][0]
        scale = entry["datasets"][0]["coordinateTransformations"][0]["scale"]
        assert scale == pytest.approx([1, 4 * 7.91, 4 * 7.91])
    entry = read_json(run.root / "predict/a/unet3d/prob.zarr/.zattrs")["multiscales"][0]
    assert entry["datasets"][0]["coordinateTransformations"][0]["scale"] == pytest.approx([7.91, 4 * 7.91, 4 * 7.91])


def test_the_submission_reads_back_as_the_mask(run: Run) -> None:
    mask = np.asarray(Image.open(run.output / "a" / "ensemble" / "ink_mask.png")) > 0
    read = read_submission(run.root / "submission.csv", {"a": SHAPE})
    assert list(read) == ["a"] and np.array_equal(read["a"], mask) and mask.any()
    with (run.root / "submission.csv").open() as file:
        assert next(csv.reader(file)) == ["Id", "Predicted"]


def test_the_score_has_a_finite_row_for_everyone_and_the_ensembles_is_that_of_its_mask(run: Run) -> None:
    score = read_json(run.output / "score.json")
    blends = ["mean of members", "equal mean", "ensemble"]
    assert [row["name"] for row in score["rows"]] == [*MEMBERS, "stage2", *blends]
    best = max(MEMBERS, key=score["oof_f05"].get)
    for row in score["rows"]:
        numbers = [value for key, value in row.items() if key not in ("name", "kind", "weight", "gain", "without")]
        assert all(math.isfinite(number) and 0 <= number <= 1 for number in numbers), row
        assert row["f05_low"] <= row["f05"] <= row["f05_high"] and row["gain"]["over"] == best
        f05_of_best = next(other["f05"] for other in score["rows"] if other["name"] == best)
        assert row["gain"]["difference"] == pytest.approx(row["f05"] - f05_of_best)
    assert sum(row["weight"] for row in score["rows"][:3]) == pytest.approx(1) and score["rows"][-1]["weight"] is None
    assert score["blocks"]["count"] >= 16 and score["blocks"]["edge_um"] < score["blocks"]["requested_um"]
    assert "phantom" in score["note"] and "predict.py" in score["commands"][-1]
    mask = np.asarray(Image.open(run.output / "a" / "ensemble" / "ink_mask.png")) > 0
    truth, papyrus = (
        np.asarray(Image.open(run.data / path)) > 0 for path in ("heldout/a/inklabels.png", "test/a/mask.png")
    )
    truth &= papyrus
    hits, false, missed = (np.count_nonzero(part) for part in (mask & truth, mask & ~truth, truth & ~mask))
    assert score["rows"][-1]["f05"] == pytest.approx(float(fbeta(hits, false, missed)), abs=1e-9)
    assert not (mask & ~papyrus).any()


def test_the_report_needs_nothing_from_elsewhere(run: Run) -> None:
    page = (run.output / "report.html").read_text(encoding="utf-8")
    assert not re.findall(r"""(?:src|href)\s*=\s*["'](?!data:|#)""", page) and "@import" not in page
    for name in (*MEMBERS, "stage2", "ensemble"):
        assert name in page
    assert page.count("data:image/") >= 6


def test_a_second_run_of_every_command_changes_nothing_and_takes_seconds(run: Run, call: Call) -> None:
    before = states(run)
    submission = (run.root / "submission.csv").read_bytes()
    assert len(before) > 40
    for main, arguments in (
        (stage1_3d.train.main, [run.config]),
        (stage2_2d.train.main, [run.config]),
        (ensemble.calibrate.main, [run.config]),
        (ensemble.predict.main, predict_arguments(run)),
    ):
        code, _, error = call(main, *arguments)
        assert code == 0, error
    assert states(run) == before
    assert (run.root / "submission.csv").read_bytes() == submission


def test_a_setting_of_stage_two_trains_stage_two_alone(run: Run, call: Call, tmp_path: Path) -> None:
    copy = copied(run, tmp_path)
    before = states(copy)
    code, _, error = call(stage2_2d.train.main, copy.config, "--set", "stage2.training.steps=3")
    assert code == 0, error
    touched = changed(before, copy)
    assert touched - {"run/settings.yaml"}
    assert all(name.startswith(("run/stage2/", "run/settings.yaml")) for name in touched), touched
    code, _, error = call(ensemble.predict.main, *predict_arguments(copy))
    assert (code, error.count("\n")) == (2, 1) and "ensemble.calibrate" in error and "fit.json" in error


def test_flattening_differently_does_not_run_the_networks_again(run: Run, call: Call, tmp_path: Path) -> None:
    copy = copied(run, tmp_path)
    before = states(copy)
    code, _, error = call(stage1_3d.train.main, copy.config, "--set", "stage1.flatten.reduce=mean")
    assert code == 0, error
    touched = changed(before, copy)
    assert any("flat.zarr" in name for name in touched)
    assert not [name for name in touched if "prob.zarr" in name or "weights" in name]
    flat, prob = (open_array(copy.run_dir / "stage1/cnn3d/oof/1" / name)[:] for name in ("flat.zarr", "prob.zarr"))
    assert flat[0].astype(np.float32) == pytest.approx(prob.astype(np.float32).mean(axis=0), abs=1e-3)


def test_a_lost_map_is_made_again(run: Run, call: Call, tmp_path: Path) -> None:
    copy = copied(run, tmp_path)
    flat = copy.run_dir / "stage1" / "cnn3d" / "oof" / "1" / "flat.zarr"
    values = open_array(flat)[:]
    shutil.rmtree(flat)
    code, _, error = call(stage2_2d.train.main, copy.config)
    assert code == 2 and "make stage1" in error
    assert call(stage1_3d.train.main, copy.config)[0] == 0
    assert np.array_equal(open_array(flat)[:], values)


@pytest.mark.parametrize("setting", ["data.bin_yx=2", "data.depth=[-5, 3]"])
def test_results_of_other_data_settings_are_never_mixed_in(run: Run, call: Call, setting: str) -> None:
    before = states(run)
    for main, arguments, command in (
        (stage2_2d.train.main, [run.config], "make stage1"),
        (ensemble.calibrate.main, [run.config], "make stage1"),
        (ensemble.predict.main, predict_arguments(run), "make stage2"),
    ):
        code, _, error = call(main, *arguments, "--set", setting)
        assert code == 2 and error.count("\n") == 1 and command in error, error
    assert states(run) == before
    assert load_settings(run.run_dir / "settings.yaml") == load_settings(run.config)


def test_later_steps_name_the_missing_earlier_one(run: Run, call: Call, tmp_path: Path) -> None:
    empty = ["--set", f"run_dir={tmp_path / 'new'}"]
    for main, arguments, command in (
        (stage2_2d.train.main, [run.config], "make stage1"),
        (ensemble.calibrate.main, [run.config], "make stage2"),
        (ensemble.predict.main, predict_arguments(run), "make stage2"),
    ):
        code, _, error = call(main, *arguments, *empty)
        assert code == 2 and error.count("\n") == 1 and command in error, error


def test_what_was_predicted_in_another_precision_is_predicted_anew(run: Run, tmp_path: Path) -> None:
    """Its rounding is in every number."""
    names = (*MEMBERS, "stage2")

    def predicted(*overrides: str) -> dict[str, tuple[str, int]]:
        settings = load_settings(run.config, overrides)
        fragment = find_fragments(run.data / "test", settings.data)[0]
        ensemble.ink.predict.predict_with_each(settings, fragment, tmp_path)
        files = {name: tmp_path / name / "receipt.json" for name in names}
        return {name: (read_json(file)["key"], file.stat().st_mtime_ns) for name, file in files.items()}

    first = predicted()
    assert predicted() == first
    second = predicted("stage2.training.precision=bf16")
    assert [name for name in names if second[name][0] != first[name][0]] == ["stage2"]
    third = predicted("stage2.training.precision=bf16", "stage1.members.unet3d.training.precision=bf16")
    assert [name for name in names if third[name][0] != second[name][0]] == ["unet3d", "stage2"]

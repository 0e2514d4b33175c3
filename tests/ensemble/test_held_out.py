"""A validation mask is the held-out truth of the report, and no pixel in it, unsupervised or off the papyrus touches a fit."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ensemble.ink.fit import calibrate, print_fit
from ensemble.ink.predictors import FullSize, flat_map
from ensemble.ink.score import read_truth
from scroll.config.labels import LabelVersions
from scroll.config.schema import Settings
from scroll.data.fragments import training_fragments
from scroll.inference.prediction_store import RowWriter
from scroll.metrics.fbeta import fbeta
from scroll.report.page import write_report
from scroll.report.score_record import NAME, InkScores
from scroll.report.tables import held_out_table
from scroll.runtime.files import read_json
from scroll.runtime.receipt import write_receipt
from scroll.runtime.record import write_record
from tests.data.scroll_fragments import write_fragment

SHAPE = (40, 48)
CONTRAST = {"good": 0.5, "noise": 0.0, "stage2": 0.2}
REGIONS = ("unsupervised", "validation", "off the papyrus")


def picture(path: Path, pixels: np.ndarray) -> None:
    Image.fromarray(pixels.astype(np.uint8) * 255).save(path)


def region(name: str) -> np.ndarray:
    """Columns of the sheet: 0 to 3 are no papyrus, 4 to 11 unsupervised, 12 to 23 held out."""
    there = np.zeros(SHAPE, bool)
    there[:, {"off the papyrus": slice(0, 4), "unsupervised": slice(4, 12), "validation": slice(12, 24)}[name]] = True
    return there


def fitted_run(root: Path, changed: str | None = None, has_validation: bool = True, **data: object) -> Settings:
    """Two sheets with out-of-fold maps of three predictors; the label of the first is turned round in the region `changed`."""
    settings = Settings.model_validate(
        {
            "run_dir": root / "run",
            "data": {"root": root / "data", "cache_dir": root / "cache", "depth": (-1, 1), "bin_yx": 2} | data,
            "stage1": {"members": {"good": {"network": "cnn3d"}, "noise": {"network": "cnn3d"}}},
        }
    )
    rng, inks = np.random.default_rng(0), {}
    for name in ("1", "2"):
        ink = inks[name] = np.kron(rng.random((10, 12)) < 0.3, np.ones((4, 4))).astype(bool)
        label = ink ^ region(changed) if changed and name == "1" else ink
        folder = write_fragment(
            settings.data.root / "train" / name, np.zeros((3, *SHAPE), np.uint16), ~region("off the papyrus"), label
        )
        picture(folder / "supervision_mask.png", ~region("unsupervised"))
        if has_validation and name == "1":
            picture(folder / "1_validation_mask_v1.png", region("validation"))
    for fragment in training_fragments(settings.data):
        coarse = inks[fragment.id][:: fragment.data.bin_yx, :: fragment.data.bin_yx]
        for name, contrast in CONTRAST.items():
            prob = np.clip(0.3 + contrast * coarse + rng.normal(0, 0.15, coarse.shape), 0, 1)
            write_map(settings, name, fragment, prob)
    for stage in ("stage1/good", "stage1/noise", "stage2"):
        for fold in range(2):
            weights = settings.run_dir / stage / f"fold{fold}" / "weights.safetensors"
            weights.parent.mkdir(parents=True)
            weights.write_text(f"{stage} {fold}")
    return settings


def write_map(settings: Settings, name: str, fragment, prob: np.ndarray) -> None:
    folder = settings.folder.oof(name, fragment.id)
    path = folder / ("ink.zarr" if name == "stage2" else "flat.zarr")
    writer = RowWriter(path, "key", (1, *prob.shape), 16.0, "cyx")
    writer.write(0, prob[None].astype(np.float32))
    writer.finish()
    write_receipt(folder, "key", data=fragment.key, weights={})


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> Settings:
    return fitted_run(tmp_path_factory.mktemp("plain"))


def fit_of(settings: Settings) -> dict:
    """All that was fitted, and what speaks for it, without what the mask holds out."""
    return calibrate(settings).model_dump(exclude={"held_out"})


@pytest.mark.parametrize("changed", REGIONS)
def test_other_values_where_nothing_is_trained_on_change_no_fit(plain, tmp_path, changed):
    assert fit_of(fitted_run(tmp_path, changed)) == fit_of(plain)


def test_other_values_where_labels_are_known_do_change_it(plain, tmp_path):
    run = fitted_run(tmp_path, "validation", has_validation=False)
    assert fit_of(run)["thresholds"] != fit_of(plain)["thresholds"]


def test_soft_labels_of_0_and_1_are_fitted_as_hard_ones_and_greys_as_ink_from_one_half(plain, tmp_path):
    soft = fitted_run(tmp_path / "soft", grey_labels="soft")
    assert fit_of(soft) | {"made_from": ""} == fit_of(plain) | {"made_from": ""}
    grey = fitted_run(tmp_path / "grey", grey_labels="soft", bin_yx=1)
    cut = fitted_run(tmp_path / "cut", grey_labels=128, bin_yx=1)
    for run in (grey, cut):
        for path in run.data.root.glob("train/*/inklabels.png"):
            ink = np.asarray(Image.open(path)) > 0
            shades = np.random.default_rng(5).integers(0, 128, ink.shape) + 128 * ink
            Image.fromarray(shades.astype(np.uint8)).save(path)
        for fragment in training_fragments(run.data):
            for name in CONTRAST:
                write_receipt(run.folder.oof(name, fragment.id), "key", data=fragment.key, weights={})
    assert fit_of(grey) | {"made_from": ""} == fit_of(cut) | {"made_from": ""}


def test_the_table_scores_the_held_out_pixels_alone_at_the_fitted_threshold(plain, capsys):
    fit = calibrate(plain)
    found = fit.held_out
    assert found is not None and found.sheets == ("1",) and list(found.rows) == list(fit.thresholds)
    sheet = training_fragments(plain.data)[0]
    for name in CONTRAST:
        prob = FullSize(flat_map(plain.folder.oof(name, "1"), name, ""), 2, SHAPE)[:]
        message, ink, there = prob >= fit.thresholds[name], sheet.held_out_label.ink, region("validation")
        tp, fp, fn = (int((part & there).sum()) for part in (message & ink, message & ~ink, ~message & ink))
        row = found.rows[name]
        assert row.all == row.sheets["1"]
        assert row.all.f05 == pytest.approx(float(fbeta(tp, fp, fn)))
        assert 0 <= row.all.low <= row.all.f05 <= row.all.high <= 1 and row.all.high > row.all.low
    print_fit(fit)
    message = capsys.readouterr().out
    assert "held out by validation mask" in message and f"1 {found.rows['good'].all.f05:.4f}" in message
    table = held_out_table(found)
    assert table["heads"] == ["all", "1"] and [row["name"] for row in table["rows"]] == list(found.rows)


def test_without_a_validation_mask_nothing_is_reported_and_files_are_as_before(tmp_path):
    run = fitted_run(tmp_path, has_validation=False)
    assert calibrate(run).held_out is None
    assert "held_out" not in read_json(run.folder.fit)
    assert "held_out" not in InkScores().model_dump()


def test_the_table_is_on_the_page(plain, tmp_path):
    write_record(tmp_path / NAME, InkScores(title="t", held_out=calibrate(plain).held_out))
    html = write_report(tmp_path / "run", tmp_path).read_text()
    assert "Held out by validation mask" in html and 'data-label="all"' in html


def test_a_truth_is_scored_inside_its_validation_mask_alone_as_yes_or_no_and_in_its_newest_version(plain, tmp_path):
    data = plain.data.model_copy(update={"grey_labels": "soft", "label_versions": LabelVersions(inklabels=7)})
    sheet = replace(training_fragments(plain.data)[0], data=data)
    shades = np.random.default_rng(0).integers(0, 256, SHAPE).astype(np.uint8)
    Image.fromarray(shades).save(tmp_path / "inklabels_v2.png")
    Image.fromarray(255 - shades).save(tmp_path / "inklabels.png")
    truth = read_truth(sheet, tmp_path)
    assert truth.target.dtype == bool and np.array_equal(~truth.ignore, sheet.full_mask)
    assert np.array_equal(truth.target, (shades >= 128) & sheet.full_mask)
    picture(tmp_path / "validation_mask.png", region("validation"))
    picture(tmp_path / "supervision_mask.png", region("unsupervised"))
    truth = read_truth(sheet, tmp_path)
    assert np.array_equal(~truth.ignore, region("validation"))
    assert np.array_equal(truth.target, (shades >= 128) & region("validation"))

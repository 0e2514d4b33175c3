"""Weights and thresholds come from out-of-fold predictions alone, and a fit that no longer fits is refused."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from ensemble.ink.fit import calibrate, print_fit, read_fit
from ensemble.ink.predictors import predictor_names
from scroll.config.schema import Settings
from scroll.data.fragments import training_fragments
from scroll.errors import InputError, MissingInputError
from scroll.inference.prediction_store import RowWriter
from scroll.metrics.bootstrap import gain_of
from scroll.metrics.fbeta import fbeta
from scroll.runtime.files import read_json
from scroll.runtime.receipt import write_receipt

SHAPE = (40, 48)
SURE = {"good": 0.6, "noise": 0.0, "stage2": 0.25}  # how far ink is above papyrus


def write_picture(path: Path, pixels: np.ndarray) -> None:
    Image.fromarray(pixels.astype(np.uint8) * 255).save(path)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Two labelled fragments and three predictors' out-of-fold maps; no test fragment, no held-out truth anywhere."""
    member = {"network": "cnn3d"}
    made = Settings.model_validate(
        {
            "run_dir": tmp_path / "run",
            "data": {"root": tmp_path / "data", "cache_dir": tmp_path / "cache", "depth": (-1, 1), "bin_yx": 1},
            "stage1": {"members": {"good": member, "noise": member}},
        }
    )
    rng = np.random.default_rng(0)
    for name in ("1", "2"):
        folder = made.data.root / "train" / name
        (folder / "surface_volume").mkdir(parents=True)
        for layer in range(3):
            tifffile.imwrite(folder / "surface_volume" / f"{layer:02d}.tif", np.zeros(SHAPE, np.uint16))
        ink = np.kron(rng.random((10, 12)) < 0.3, np.ones((4, 4))).astype(bool)
        write_picture(folder / "inklabels.png", ink)
        mask = np.ones(SHAPE, bool)
        mask[:, :4] = False
        write_picture(folder / "mask.png", mask)
    for fragment in training_fragments(made.data):
        for name, contrast in SURE.items():
            noise = rng.normal(0, 0.12, SHAPE)
            write_map(made, name, fragment, np.clip(0.3 + contrast * fragment.label.target + noise, 0, 1))
    for stage in ("stage1/good", "stage1/noise", "stage2"):
        for fold in range(2):
            weights = made.run_dir / stage / f"fold{fold}" / "weights.safetensors"
            weights.parent.mkdir(parents=True)
            weights.write_text(f"{stage} {fold}")
    return made


def write_map(settings: Settings, name: str, fragment: object, prob: np.ndarray) -> None:
    folder = settings.folder.oof(name, fragment.id)
    writer = RowWriter(folder / ("ink.zarr" if name == "stage2" else "flat.zarr"), "key", (1, *SHAPE), 8.0, "cyx")
    writer.write(0, prob[None])
    writer.finish()
    write_receipt(folder, "key", data=fragment.key, weights={})


def changed(settings: Settings, **ensemble: object) -> Settings:
    return settings.model_copy(update={"ensemble": settings.ensemble.model_copy(update=ensemble)})


def test_it_needs_no_test_data_and_what_lies_there_changes_nothing(settings: Settings) -> None:
    assert not (settings.data.root / "test").exists() and not (settings.data.root / "heldout").exists()
    first = calibrate(settings)
    shutil.copytree(settings.data.root / "train", settings.data.root / "test")
    (settings.data.root / "heldout" / "1").mkdir(parents=True)
    write_picture(settings.data.root / "heldout" / "1" / "inklabels.png", np.ones(SHAPE, bool))
    assert calibrate(settings) == first == read_fit(settings)
    assert first.fragments == ("1", "2") == tuple(read_json(settings.folder.fit)["fragments"])


def test_the_better_predictor_weighs_more_and_noise_little(settings: Settings) -> None:
    weights = calibrate(settings).weights
    assert list(weights) == predictor_names(settings) == ["good", "noise", "stage2"]
    assert sum(weights.values()) == pytest.approx(1)
    assert weights["good"] > max(weights["noise"], weights["stage2"]) and weights["good"] > 0.5


def test_equal_weights_are_equal(settings: Settings) -> None:
    fit = calibrate(changed(settings, weights="equal"))
    assert [*fit.weights.values()] == pytest.approx([1 / 3] * 3)
    assert fit.thresholds["ensemble"] == fit.thresholds["equal mean"]
    assert fit.oof_f05["ensemble"] == fit.oof_f05["equal mean"]


def test_every_figure_has_an_interval_and_what_fitting_gains_is_reported_twice(settings: Settings, capsys) -> None:
    fit = calibrate(settings)
    assert list(fit.oof_interval) == [*predictor_names(settings), "ensemble", "equal mean", "mean of members"]
    for name, (low, high) in fit.oof_interval.items():
        assert 0 <= low <= fit.oof_f05[name] <= high <= 1 and high > low
    assert fit.best_member == "good" and fit.blocks.count >= 16
    where_fitted, left_out = fit.gain_where_fitted, fit.left_out
    assert where_fitted.difference == pytest.approx(fit.oof_f05["ensemble"] - fit.oof_f05["equal mean"])
    assert left_out.left_out == (("1",), ("2",)) and left_out.verdict == "better", "noise is weighed down"
    print_fit(fit)
    message = capsys.readouterr().out
    assert f"left out: {left_out.difference:+.4f}" in message and "), better" in message
    assert f"({fit.oof_interval['good'][0]:.3f} to {fit.oof_interval['good'][1]:.3f})" in message


def test_equal_weights_gain_nothing_over_equal_weights(settings: Settings, capsys) -> None:
    fit = calibrate(changed(settings, weights="equal"))
    assert fit.left_out is None
    assert fit.gain_where_fitted == gain_of(0, 0, 0) and fit.gain_where_fitted.verdict == "inside noise"
    print_fit(fit)
    assert "where they were fitted: +0.0000" in capsys.readouterr().out


def test_the_f05_it_tells_is_that_of_its_threshold_and_no_other_is_better(settings: Settings) -> None:
    fit = calibrate(settings)
    maps = {f: stored_map(settings, "good", f.id) for f in training_fragments(settings.data)}

    def f05(threshold: float) -> float:
        hits = false = missed = 0
        for fragment, prob in maps.items():
            found, ink = (part & fragment.full_mask for part in (prob >= threshold, fragment.full_label.target))
            hits, false = hits + np.count_nonzero(found & ink), false + np.count_nonzero(found & ~ink)
            missed += np.count_nonzero(ink & ~found)
        return float(fbeta(hits, false, missed))

    assert fit.oof_f05["good"] == pytest.approx(f05(fit.thresholds["good"]), abs=1e-6)
    assert fit.oof_f05["good"] >= max(f05(t) for t in np.linspace(0, 1, 101)) - 1e-9


def stored_map(settings: Settings, name: str, fragment_id: str) -> np.ndarray:
    from ensemble.ink.predictors import flat_map

    return flat_map(settings.folder.oof(name, fragment_id), name, "")


def test_a_given_threshold_is_taken_for_everyone(settings: Settings) -> None:
    assert set(calibrate(changed(settings, threshold=0.4)).thresholds.values()) == {0.4}


@pytest.mark.parametrize("stale", ["weights", "settings", "data"])
def test_a_stale_fit_is_refused_with_the_command_that_renews_it(settings: Settings, stale: str) -> None:
    calibrate(settings)
    now = settings
    if stale == "weights":
        (settings.run_dir / "stage1" / "noise" / "fold1" / "weights.safetensors").write_text("trained again")
    elif stale == "settings":
        now = changed(settings, weights="equal")
    else:
        now = settings.model_copy(update={"data": settings.data.model_copy(update={"bin_yx": 2})})
    with pytest.raises(InputError, match=r"fit\.json: was fitted for other .*make stage2 .*ensemble\.calibrate"):
        read_fit(now)


def test_a_fit_that_was_never_made_names_the_command(settings: Settings) -> None:
    with pytest.raises(MissingInputError, match=r"fit\.json: not there; .*make stage2"):
        read_fit(settings)


def test_a_missing_or_outdated_out_of_fold_map_is_refused(settings: Settings) -> None:
    label = settings.data.root / "train" / "2" / "inklabels.png"
    write_picture(label, ~(np.asarray(Image.open(label)) > 0))
    with pytest.raises(InputError, match=r"oof/2: predicted from other files .*make stage1"):
        calibrate(settings)
    shutil.rmtree(settings.folder.oof("stage2", "1"))
    with pytest.raises(MissingInputError, match="make stage2"):
        calibrate(settings)
    assert not settings.folder.fit.exists()


def test_an_outdated_weights_file_is_noticed(settings: Settings) -> None:
    weights = settings.run_dir / "stage1" / "good" / "fold0" / "weights.safetensors"
    fragment = training_fragments(settings.data)[0]
    write_receipt(settings.folder.oof("good", "1"), "key", data=fragment.key, weights={str(weights): "another hash"})
    with pytest.raises(InputError, match=r"predicted by other weights than those in .*fold0/weights"):
        calibrate(settings)

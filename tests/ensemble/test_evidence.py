"""Out-of-fold evidence adds up to what is known otherwise, and leaving a member out costs what the member is worth."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble.ink.evidence import judged
from ensemble.ink.fit import calibrate
from ensemble.ink.patches import picked as picked_windows
from ensemble.ink.patches import windows_of
from ensemble.ink.predictors import ENSEMBLE, flat_map, predictor_names
from ensemble.ink.weights import equal_weights
from ensemble.surface.evidence import PARTS, by_fold
from ensemble.surface.patches import LEAST_LABELLED, edge_of, picked, ranked_blocks
from scroll.config.schema import FoldSettings, Settings
from scroll.data.fragments import training_fragments
from scroll.data.labels import Label
from scroll.metrics.fbeta import fbeta
from scroll.phantom.dataset import COMMAND_FILE
from scroll.report.scored import rebuild_commands
from scroll.runtime.files import read_json, write_json
from tests.ensemble.test_calibrate import settings as settings

REPOSITORY = Path(__file__).resolve().parents[2]

__all__ = ["settings"]


def test_folds_sum_to_all_and_curves_hold_the_chosen_threshold(settings: Settings) -> None:
    fit = calibrate(settings)
    evidence = fit.evidence
    assert [fold.pieces for fold in evidence.folds] == [("1",), ("2",)]
    for name in [*predictor_names(settings), ENSEMBLE]:
        low, high = sorted(one["f05"] for one in evidence.by_fold[name])
        assert low - 1e-9 <= evidence.all[name]["f05"] <= high + 1e-9
        assert evidence.all[name]["f05"] == pytest.approx(fit.oof_f05[name])
        sweep = evidence.sweep[name]
        assert max(sweep.f05) <= fit.oof_f05[name] + 1e-9, "the chosen threshold is the best of all"
        nearest = int(np.argmin(np.abs(np.subtract(sweep.threshold, fit.thresholds[name]))))
        assert sweep.f05[nearest] == pytest.approx(fit.oof_f05[name], abs=0.05)
        assert sum(evidence.reliability[name].count) == 2 * 40 * 44, "every pixel of the papyrus once"


def test_without_the_good_member_the_ensemble_is_worse_and_without_noise_it_is_not(settings: Settings) -> None:
    without = calibrate(settings).without
    assert list(without) == predictor_names(settings)
    good, noise = without["good"], without["noise"]
    assert good.loss.difference > 0.02 and good.loss.verdict == "better"
    assert abs(noise.loss.difference) < good.loss.difference / 2
    assert "good" not in good.weights and sum(good.weights.values()) == pytest.approx(1)


def test_a_fit_of_an_older_version_gets_its_evidence_without_a_new_training(settings: Settings) -> None:
    whole = calibrate(settings)
    old = {key: value for key, value in read_json(settings.folder.fit).items() if key not in ("evidence", "without")}
    write_json(settings.folder.fit, old)
    assert calibrate(settings) == whole


def test_bands_of_rows_are_judged_by_the_fold_that_held_them_out(settings: Settings) -> None:
    by_region = settings.model_copy(update={"folds": FoldSettings(by="region", count=2, buffer_px=0)})
    fragments, names = training_fragments(settings.data), predictor_names(settings)
    maps = {f.id: [flat_map(settings.folder.oof(name, f.id), name, "") for name in names] for f in fragments}
    whole = judged(settings, fragments, maps, equal_weights(3), 80.0)
    bands = judged(by_region, fragments, maps, equal_weights(3), 80.0)
    assert set(bands.levels) == {(name, fold) for name in "12" for fold in range(2)}
    assert np.array_equal(whole.total, bands.total) and bands.threshold == whole.threshold
    rows = bands.levels["1", 0].sum(), bands.levels["1", 1].sum()
    assert rows == (20 * 44, 20 * 44)


def test_means_by_fold_are_of_the_cubes_that_the_fold_held_out() -> None:
    parts = [dict.fromkeys(PARTS, value) for value in (0.2, 0.4, 0.9)]
    found = by_fold({"a": parts}, ["x", "y", "z"], {"x": 1, "y": 0, "z": 1, "not looked at": 2})
    assert [one["score"] for one in found.by_fold["a"]] == pytest.approx([0.4, 0.55])
    assert found.all["a"]["topo"] == pytest.approx(0.5)
    assert [(one.fold, one.pieces) for one in found.folds] == [(0, ("y",)), (1, ("x", "z"))]


def test_the_worst_and_the_best_windows_are_where_the_mask_is_wrong_and_right() -> None:
    truth = np.zeros((90, 90), bool)
    truth[::2] = True
    mask = truth.copy()
    mask[:30, :30] = ~truth[:30, :30]  # all wrong
    mask[60:, 60:] &= np.arange(30) < 15  # half missed
    known = np.ones_like(truth)
    known[30:60, 30:60] = False
    windows = windows_of("a", mask, Label(truth, ~known), 30)
    assert len(windows) == 8, "where nothing is known there is nothing to look at"
    chosen = picked_windows(windows)
    assert [kind for kind, _ in chosen] == ["worst"] * 3 + ["best"] * 3
    assert chosen[0][1].score == 0 and chosen[0][1].box == (slice(0, 30), slice(0, 30)) and chosen[0][1].wrong == 900
    assert chosen[1][1].score == pytest.approx(float(fbeta(225, 0, 225))) and chosen[-1][1].score == 1
    boxes = [str(window.box) for _, window in chosen]
    assert len(set(boxes)) == 6


def test_of_few_windows_none_is_worst_and_best_at_once() -> None:
    truth = np.ones((30, 90), bool)
    chosen = picked_windows(windows_of("a", truth, Label(truth, ~truth), 30))
    assert [kind for kind, _ in chosen] == ["worst", "best"] and chosen[0][1] is not chosen[1][1]


def test_blocks_are_ranked_by_how_well_the_surface_is_met() -> None:
    label = np.zeros((96, 96, 96), np.uint8)
    label[:, 20], label[:, 70] = 1, 1
    label[:48, 70, :48] = 2
    mask = label == 1
    mask[48:, 20, 48:] = False  # one block's sheet is lost
    blocks = ranked_blocks(mask, label, "cube")
    assert len(blocks) == 7, "a block without a labelled sheet is not looked at"
    assert blocks[0].score == 0 and blocks[0].corner == (48, 0, 48) and blocks[1].score == 1
    kinds = [kind for kind, _ in picked([blocks])]
    assert kinds == ["worst"] * 3 + ["best"] * 3 and LEAST_LABELLED < 48 * 48


@given(st.integers(1, 700))
def test_blocks_cover_an_axis_with_edges_of_about_the_same_length(length: int) -> None:
    edge = edge_of(length)
    assert edge <= length and -(-length // edge) == max(1, round(length / 48))


def test_the_commands_name_every_step_from_the_data_to_the_score(settings: Settings) -> None:
    drawn = "python scripts/make_phantom.py fragments --out data"
    (settings.data.root / COMMAND_FILE).write_text(drawn + "\n")
    argv = ["ensemble/predict.py", "my run.yaml", "--truth", "held out"]
    lines = rebuild_commands(settings, argv)
    config = settings.run_dir / "settings.yaml"
    assert lines[-1] == "python ensemble/predict.py 'my run.yaml' --truth 'held out'" and drawn in lines
    steps = [line for line in lines if line.startswith("python -m")]
    assert steps == [
        f"python -m {step} {config}" for step in ("stage1_3d.train", "stage2_2d.train", "ensemble.calibrate")
    ]
    assert lines.index(drawn) < lines.index(steps[0])


@pytest.mark.parametrize(
    ("program", "message"),
    [
        (
            str(REPOSITORY / "scripts" / "compare.py"),
            "python scripts/compare.py --seeds 3",
        ),  # a link; not what it leads to
        ("scroll-ensemble compare", "scroll-ensemble compare --seeds 3"),
    ],
)
def test_the_last_command_is_the_one_that_was_typed(settings: Settings, program: str, message: str) -> None:
    assert rebuild_commands(settings, [program, "--seeds", "3"])[-1] == message

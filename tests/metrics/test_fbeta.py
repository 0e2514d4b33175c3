"""The ink score: against scikit-learn on the pixels themselves, by hand, and in the empty cases."""

import math

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import metrics as sklearn_metrics

from scroll.errors import InputError
from scroll.metrics import fbeta as ink

SHAPE = (40, 30)
ALL = np.ones(SHAPE, bool)


def noise(seed: int, shape: tuple[int, int] = SHAPE) -> np.ndarray:
    return np.random.default_rng(seed).random(shape).astype(np.float32)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, ink.LEVELS - 1))
def test_every_number_agrees_with_sklearn_on_the_pixels(seed: int, level: int) -> None:
    prob = np.floor(noise(seed) * 50) / 64  # levels are exact, so that nothing is lost
    truth, valid = noise(seed + 1) < 0.2 + 0.5 * prob, noise(seed + 2) < 0.8
    threshold = level / ink.LEVELS
    score = ink.ink_score({"1": ink.level_counts(prob, truth, valid)}, threshold)
    p, t = prob[valid], truth[valid]
    assert score.f05 == pytest.approx(sklearn_metrics.fbeta_score(t, p >= threshold, beta=0.5, zero_division=0))
    assert score.precision == pytest.approx(sklearn_metrics.precision_score(t, p >= threshold, zero_division=0))
    assert score.recall == pytest.approx(sklearn_metrics.recall_score(t, p >= threshold))
    assert score.ap == pytest.approx(sklearn_metrics.average_precision_score(t, p))
    assert score.auc == pytest.approx(sklearn_metrics.roc_auc_score(t, p))


@settings(max_examples=60, deadline=None)
@given(arrays(np.float32, SHAPE, elements=st.floats(0, 1, width=32)), st.integers(0, ink.LEVELS - 1))
def test_a_threshold_on_a_level_parts_the_pixels_exactly(prob: np.ndarray, level: int) -> None:
    counts = ink.level_counts(prob, ALL, ALL)
    assert counts[1, level:].sum() == (prob >= np.float32(level / ink.LEVELS)).sum()


def test_the_auc_is_that_of_the_prediction_and_not_of_the_truth() -> None:
    truth = noise(1, (300, 300)) < 0.3
    valid = np.ones_like(truth)
    blind = ink.level_counts(noise(2, truth.shape), truth, valid)
    assert ink.auc(blind) == pytest.approx(0.5, abs=0.01)
    assert ink.average_precision(blind) == pytest.approx(0.3, abs=0.02)
    seeing = np.clip(0.3 * truth + 0.7 * noise(3, truth.shape), 0, 0.999)
    forward, inverted = (ink.auc(ink.level_counts(prob, truth, valid)) for prob in (seeing, 1 - seeing))
    assert 0.7 < forward < 0.95
    assert inverted == pytest.approx(1 - forward, abs=1e-3)


def test_histograms_add_up_over_strips_and_over_fragments() -> None:
    prob, truth = noise(1), noise(2) < 0.4
    whole = ink.level_counts(prob, truth, ALL)
    parts = [ink.level_counts(prob[rows], truth[rows], ALL[rows]) for rows in (slice(0, 7), slice(7, 40))]
    assert np.array_equal(whole, parts[0] + parts[1])
    pooled = ink.ink_score({"whole": whole}, 0.5)
    split = ink.ink_score({"a": parts[0], "b": parts[1]}, 0.5)
    assert (pooled.f05, pooled.auc) == (split.f05, split.auc)
    assert pooled.f05_mean == pooled.f05


def test_small_strips_of_a_stored_array_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    prob, truth, valid = noise(1), noise(2) < 0.4, noise(3) < 0.5
    whole = ink.level_counts(prob, truth, valid)
    monkeypatch.setattr(ink, "STRIP_PIXELS", 100)
    stored = [zarr.array(array, chunks=(16, 16)) for array in (prob.astype(np.float16), truth, valid)]
    halved = ink.level_counts(prob.astype(np.float16), truth, valid)
    assert np.array_equal(ink.level_counts(*stored), halved)
    assert np.array_equal(ink.level_counts(prob, truth, valid), whole)


def test_the_mean_over_fragments_counts_fragments_and_not_pixels() -> None:
    right, wrong = np.zeros((2, 2, ink.LEVELS), np.int64)
    right[1, -1] = 1  # one pixel of ink, found
    wrong[1, 0] = 1000  # a thousand, all missed
    score = ink.ink_score({"1": right, "2": wrong}, 0.5)
    assert score.f05_mean == 0.5
    assert score.f05 == pytest.approx(1.25 / (1.25 + 0.25 * 1000))


def test_hand_worked_f_half() -> None:
    assert ink.fbeta(6, 2, 4) == pytest.approx(1.25 * 0.75 * 0.6 / (0.25 * 0.75 + 0.6))
    assert ink.fbeta(6, 2, 4, beta=1) == pytest.approx(12 / 18)
    assert ink.fbeta([6, 0], [2, 0], [4, 0]) == pytest.approx([0.7142857, 1.0])


def test_the_empty_cases() -> None:
    empty = np.zeros(SHAPE)
    nothing = ink.ink_score({"1": ink.level_counts(empty, empty, ALL)}, 0.5)
    assert (nothing.f05, nothing.precision, nothing.recall) == (1, 1, 1)
    assert math.isnan(nothing.ap) and math.isnan(nothing.auc)
    assert nothing.as_row()["auc"] is None
    missed = ink.ink_score({"1": ink.level_counts(empty, ALL, ALL)}, 0.5)
    invented = ink.ink_score({"1": ink.level_counts(empty + 1, empty, ALL)}, 0.5)
    assert (missed.f05, missed.precision, missed.recall) == (0, 0, 0)
    assert (invented.f05, invented.precision, invented.recall) == (0, 0, 0)
    masked_out = ink.ink_score({"1": ink.level_counts(empty + 1, empty, empty)}, 0.5)
    assert masked_out.f05 == 1


def test_outside_the_mask_anything_may_stand() -> None:
    prob, valid = noise(1), ALL.copy()
    prob[0], valid[0] = np.nan, False
    assert ink.level_counts(prob, ALL, valid).sum() == valid.sum()


@pytest.mark.parametrize("bad", [np.nan, -0.5, 1.5, np.inf])
def test_what_is_no_probability_is_refused(bad: float) -> None:
    prob = noise(1)
    prob[3, 4] = bad
    with pytest.raises(InputError, match="1 valid pixels"):
        ink.level_counts(prob, ALL, ALL)


def test_maps_of_two_shapes_are_refused() -> None:
    with pytest.raises(InputError, match=r"\(40, 30\).*\(30, 40\)"):
        ink.level_counts(noise(1), ALL.T, ALL)
    with pytest.raises(InputError, match="no fragment"):
        ink.ink_score({}, 0.5)
    with pytest.raises(InputError, match="threshold"):
        ink.ink_score({"1": ink.level_counts(noise(1), ALL, ALL)}, 50)

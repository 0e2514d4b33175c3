"""Sweeps agree with scores taken one threshold at a time, and a reliability curve with what was drawn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scroll.metrics.calibration import Reliability, figures, reliability, sweep
from scroll.metrics.fbeta import LEVELS, ink_score, level_counts


def counts_of(seed: int, shape=(40, 50)):
    rng = np.random.default_rng(seed)
    prob = rng.random(shape)
    return level_counts(prob, rng.random(shape) < prob, np.ones(shape, bool))


@settings(deadline=None)  # the first compiles
@given(st.integers(0, 50), st.integers(0, 63))
def test_a_sweep_holds_the_score_at_each_of_its_thresholds(seed, point):
    counts = counts_of(seed)
    swept = sweep(counts)
    score = ink_score({"a": counts}, swept.threshold[point])
    assert swept.f05[point] == pytest.approx(score.f05)
    assert swept.precision[point] == pytest.approx(score.precision)
    assert swept.recall[point] == pytest.approx(score.recall)


def test_probabilities_that_are_true_lie_on_the_diagonal_and_doubled_ones_do_not():
    rng = np.random.default_rng(1)
    prob, known = rng.random((600, 600)) / 2, np.ones((600, 600), bool)
    ink = rng.random(prob.shape) < prob
    curve = reliability(level_counts(prob, ink, known))
    assert np.abs(np.subtract(curve.predicted, curve.observed)).max() < 0.01 and curve.error < 0.01
    assert sum(curve.count) == prob.size and len(curve.count) == 5, "nothing above one half was said"
    assert reliability(level_counts(2 * prob, ink, known)).error == pytest.approx(0.25, abs=0.01)


def test_an_empty_histogram_has_no_curve_and_no_error():
    assert reliability(np.zeros((2, LEVELS), np.int64)) == Reliability(predicted=(), observed=(), count=(), error=None)


def test_figures_are_those_of_the_ink_score_and_ap_without_ink_is_none():
    counts = counts_of(3)
    score = ink_score({"a": counts}, 0.3)
    assert figures(counts, 0.3) == pytest.approx(
        {"f05": score.f05, "precision": score.precision, "recall": score.recall, "ap": score.ap}
    )
    assert figures(np.stack([counts[0], np.zeros(LEVELS, np.int64)]), 0.3)["ap"] is None

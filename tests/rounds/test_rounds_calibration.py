"""Calibrated probabilities: what is said with 0.3 is so three times in ten, whoever said it."""

import numpy as np
import pytest

from scroll.metrics.calibration import reliability
from scroll.metrics.fbeta import LEVELS, level_counts
from scroll.rounds.calibration import Platt, fit_platt, log_odds


def drawn(slope, offset, seed=1, pixels=200_000):
    """Pixels whose truth follows the line of a predictor that says too much or too little."""
    rng = np.random.default_rng(seed)
    message = rng.beta(0.7, 1.5, pixels).astype(np.float32)
    ink = rng.random(pixels) < Platt(slope, offset).at(message)
    return message[None], ink[None], level_counts(message[None], ink[None], np.ones((1, pixels), bool))


@pytest.mark.parametrize(("slope", "offset"), [(1.0, 0.0), (0.4, -0.5), (2.0, 1.0), (0.7, -2.0)])
def test_the_line_that_made_the_labels_is_found_and_mends_them(slope, offset):
    message, ink, counts = drawn(slope, offset)
    found = fit_platt(counts)
    assert found.slope == pytest.approx(slope, abs=0.05) and found.offset == pytest.approx(offset, abs=0.05)
    mended = reliability(level_counts(found.at(message), ink, np.ones(ink.shape, bool)))
    assert mended.error is not None and mended.error < 0.01


def test_order_stays_and_a_blend_that_says_nothing_or_the_opposite_says_how_rare_ink_is():
    message, _, counts = drawn(1.0, 0.0)
    assert (np.diff(fit_platt(counts).at(np.linspace(0, 1, 50))) >= 0).all()
    ink = np.random.default_rng(3).random(message.shape) < 0.2 * (1 - message)
    opposite = fit_platt(level_counts(message, ink, np.ones(ink.shape, bool)))
    assert opposite.slope == 0
    np.testing.assert_allclose(opposite.at(np.array([0.1, 0.9])), ink.mean(), atol=1e-3)


def sure_and_wrong(seed, pixels=4000):
    """A network that calls almost everything ink, as one that was trained on a few letters and little else."""
    rng = np.random.default_rng(seed)
    message = np.where(rng.random(pixels) < 0.5, 1 - rng.beta(0.3, 4, pixels), rng.random(pixels)).astype(np.float32)[
        None
    ]
    return message, rng.random(message.shape) < 0.05 + 0.3 * message**4


@pytest.mark.parametrize("seed", range(8))
def test_no_line_fits_better_however_wrong_the_blend_is(seed):
    message, ink = sure_and_wrong(seed)
    found = fit_platt(level_counts(message, ink, np.ones(ink.shape, bool)))

    def misfit(slope, offset):
        prob = Platt(slope, offset).at(message).astype(np.float64)
        return -np.log(np.maximum(np.where(ink, prob, 1 - prob), 1e-12)).mean()

    least = min(misfit(slope, offset) for slope in np.linspace(0, 2, 41) for offset in np.linspace(-4, 2, 61))
    assert 0 < found.slope < 0.5 and misfit(*found) < least + 1e-4


def test_few_pixels_and_none_give_finite_numbers():
    nothing = np.zeros((2, LEVELS), np.int64)
    assert fit_platt(nothing) == Platt(1.0, 0.0)
    for row, level in ((0, 10), (1, 4000), (0, 0), (1, LEVELS - 1)):
        one = nothing.copy()
        one[row, level] = 5
        assert np.isfinite(fit_platt(one).at(np.array([0.0, 0.5, 1.0]))).all()


def test_log_odds_are_kept_off_certainty():
    np.testing.assert_allclose(log_odds(np.array([0.0, 0.5, 1.0])), [-9.21024, 0, 9.21024], atol=1e-4)

"""The fitted threshold: the best there is, in the middle of its plateau, and the same in another implementation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import fbeta_score

from ensemble.ink.weights import fit_threshold
from scroll.errors import InputError
from scroll.metrics.fbeta import LEVELS, confusion_at_levels, fbeta, ink_score, level_counts


def counts_of(prob: np.ndarray, truth: np.ndarray) -> np.ndarray:
    return level_counts(prob[None], truth[None], np.ones((1, prob.size)))


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000))
def test_no_other_threshold_is_better(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.random(200) < 0.3
    truth[0] = True
    prob = np.floor(np.clip(0.3 * truth + 0.6 * rng.random(200), 0, 1) * 64) / 64
    fit = fit_threshold(counts_of(prob, truth))
    f05 = ink_score({"1": counts_of(prob, truth)}, fit).f05
    every = []
    for threshold in np.unique(prob):
        ink = prob >= threshold
        every.append(fbeta((ink & truth).sum(), (ink & ~truth).sum(), (~ink & truth).sum()))
    assert f05 == pytest.approx(max(every))
    assert fbeta_score(truth, prob >= fit, beta=0.5) == pytest.approx(f05)


def test_between_ink_and_no_ink_it_lies_in_the_middle() -> None:
    fit = fit_threshold(counts_of(np.array([0.25, 0.25, 0.75]), np.array([0, 0, 1])))
    assert fit == pytest.approx(0.5, abs=2 / LEVELS)


def test_of_two_plateaus_the_longer_is_taken() -> None:
    counts = np.zeros((2, LEVELS), np.int64)
    counts[0, 50], counts[1, 100], counts[0, 200], counts[1, 3000] = 1000, 4, 2, 4
    fit = fit_threshold(
        counts
    )  # levels 51..100: 8 found, 2 wrong; levels 201..3000: 4 found, 4 missed; F0.5 = 5/6 in both
    curve = fbeta(*confusion_at_levels(counts))
    assert curve[[51, 100, 201, 3000]] == pytest.approx(5 / 6)
    assert fit == pytest.approx((201 + 3000) / 2 / LEVELS, abs=1 / LEVELS)


def test_without_ink_there_is_nothing_to_fit() -> None:
    with pytest.raises(InputError, match="no ink"):
        fit_threshold(counts_of(np.array([0.2, 0.9]), np.array([0, 0])))
    with pytest.raises(InputError, match="shape"):
        fit_threshold(np.ones((2, 10), np.int64))

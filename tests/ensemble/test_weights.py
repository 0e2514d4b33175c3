"""Fitted weights: who is right gets the weight, equals share it, and nobody is worse off than with the mean."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ensemble.ink.weights import best_f05, climb_f05, equal_weights, fit_weights, log_loss, sample_pixels
from scroll.errors import InputError
from scroll.metrics.fbeta import confusion_at_levels, fbeta, level_counts


def members(seed: int, n: int = 2000, skill: tuple[float, ...] = (0.0, 0.5, 0.9)) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.random(n) < 0.3
    return np.stack([s * truth * 0.8 + (1 - s) * rng.random(n) + s * 0.1 for s in skill]).astype(np.float32), truth


@pytest.mark.parametrize("place", [0, 1, 2, 3])
def test_a_perfect_member_among_noise_gets_all_the_weight(place: int) -> None:
    rng = np.random.default_rng(place)
    truth = rng.random(3000) < 0.2
    probs = rng.random((4, 3000))
    probs[place] = truth
    assert fit_weights(probs, truth)[place] > 0.99


def test_two_equal_members_share() -> None:
    rng = np.random.default_rng(0)
    truth = rng.random(20_000) < 0.5
    probs = np.clip(0.25 + 0.5 * truth + 0.25 * rng.standard_normal((2, truth.size)), 0, 1)
    assert fit_weights(probs, truth) == pytest.approx([0.5, 0.5], abs=0.05)
    assert fit_weights(probs[[0, 0]], truth) == pytest.approx([0.5, 0.5])


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 10_000),
    st.lists(st.floats(0, 1), min_size=2, max_size=6),
    st.sampled_from([40, 10_000]),
)
def test_never_worse_than_the_equal_mean(seed: int, skill: list[float], max_pixels: int) -> None:
    probs, truth = members(seed, 300, tuple(skill))
    fitted = fit_weights(probs, truth, max_pixels)
    assert fitted.sum() == pytest.approx(1)
    assert (fitted >= 0).all()
    equal = log_loss(probs, truth, equal_weights(len(skill)))
    assert log_loss(probs, truth, fitted) <= equal


def test_no_other_weights_are_better() -> None:
    probs, truth = members(1, skill=(0.2, 0.4, 0.5))
    best = log_loss(probs, truth, fit_weights(probs, truth))
    grid = [(a, b, 1 - a - b) for a in np.linspace(0, 1, 41) for b in np.linspace(0, 1, 41) if a + b <= 1]
    assert best <= min(log_loss(probs, truth, weights) for weights in grid) + 1e-9


def test_the_order_of_members_does_not_matter() -> None:
    probs, truth = members(3)
    assert fit_weights(probs[::-1], truth) == pytest.approx(fit_weights(probs, truth)[::-1], abs=1e-4)


def test_a_subset_is_spread_over_all_pixels_and_always_the_same() -> None:
    pixels = sample_pixels(10_000, 500, seed=3)
    assert np.array_equal(pixels, sample_pixels(10_000, 500, seed=3))
    assert not np.array_equal(pixels, sample_pixels(10_000, 500, seed=4))
    assert np.array_equal(pixels // 20, np.arange(500))
    probs, truth = members(4, 20_000)
    assert np.array_equal(fit_weights(probs, truth, max_pixels=500), fit_weights(probs, truth, max_pixels=500))
    assert fit_weights(probs, truth, max_pixels=5000) == pytest.approx(fit_weights(probs, truth), abs=0.1)


def test_log_loss_by_hand() -> None:
    probs, truth = np.array([[0.8, 0.4], [0.6, 0.2]]), np.array([1, 0])
    assert log_loss(probs, truth, [0.5, 0.5]) == pytest.approx(-np.log(0.7))


def test_one_member_has_all_the_weight_and_none_is_an_error() -> None:
    probs, truth = members(5)
    assert fit_weights(probs[:1], truth).tolist() == [1.0]
    with pytest.raises(InputError, match="no member"):
        fit_weights(np.zeros((0, 5)), np.zeros(5))


def test_what_cannot_be_fitted_on_is_refused() -> None:
    probs, truth = members(6)
    with pytest.raises(InputError, match="do not belong together"):
        fit_weights(probs, truth[:-1])
    with pytest.raises(InputError, match="member 1"):
        fit_weights(np.stack([probs[0], probs[1] * np.nan]), truth)
    with pytest.raises(InputError, match="member 0"):
        fit_weights(probs * 8 - 4, truth)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.lists(st.floats(0, 1), min_size=2, max_size=4))
def test_climbing_never_ends_below_its_start_and_stays_a_mean(seed: int, skill: list[float]) -> None:
    probs, truth = members(seed, 3000, tuple(skill))
    probs = np.clip(probs, 0, 1)
    start = equal_weights(len(probs))
    weights = climb_f05(probs, truth, start)
    assert weights.min() >= 0 and weights.sum() == pytest.approx(1)
    assert best_f05(probs, truth, weights) >= best_f05(probs, truth, start)


def test_climbing_leaves_the_noise_behind() -> None:
    rng = np.random.default_rng(3)
    truth = rng.random(5000) < 0.2
    probs = (
        np.stack([rng.random(5000), np.where(truth, 0.6, 0.4) + 0.15 * rng.standard_normal(5000)])
        .clip(0, 1)
        .astype(np.float32)
    )
    weights = climb_f05(probs, truth, equal_weights(2))
    assert weights[1] > 0.85
    assert best_f05(probs, truth, weights) > best_f05(probs, truth, equal_weights(2)) + 0.05


def climbed_slowly(probs: np.ndarray, truth: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Every move scored when it comes up, by the histogram of the score."""

    def score(weights: np.ndarray) -> float:
        mixed = np.clip(weights.astype(np.float32) @ probs, 0, 1)[None]
        counts = level_counts(mixed, truth[None], np.ones(mixed.shape, bool))
        return float(np.max(fbeta(*confusion_at_levels(counts))))

    weights, best = start, score(start)
    for step in (0.2, 0.1, 0.05, 0.025):
        has_moved = True
        while has_moved:
            has_moved = False
            for giver, taker in permutations(range(len(weights)), 2):
                moved = weights.copy()
                share = min(step, moved[giver])
                moved[giver] -= share
                moved[taker] += share
                f05 = score(moved) if share > 0 else best
                if f05 > best + 1e-4:
                    weights, best, has_moved = moved, f05, True
    return weights


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000), st.lists(st.floats(0, 1), min_size=2, max_size=5))
def test_climbing_takes_the_moves_that_scoring_every_one_anew_takes(seed: int, skill: list[float]) -> None:
    probs, truth = members(seed, 2000, tuple(skill))
    probs = np.clip(probs, 0, 1)
    start = equal_weights(len(probs))
    assert climb_f05(probs, truth, start).tobytes() == climbed_slowly(probs, truth, start).tobytes()


def test_a_probability_that_is_none_is_named_while_climbing() -> None:
    with pytest.raises(InputError, match="1 valid pixels"):
        best_f05(np.array([[0.5, np.nan]], np.float32), np.array([True, False]), equal_weights(1))


def test_best_f05_by_hand() -> None:
    probs = np.array([[0.9, 0.8, 0.3, 0.1]], np.float32)
    truth = np.array([True, False, True, False])
    # the highest alone: precision 1, recall 1/2 -> 1.25 * 0.5 / (0.25 + 0.5)
    assert best_f05(probs, truth, np.ones(1)) == pytest.approx(0.625 / 0.75)

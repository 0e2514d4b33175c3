"""Intervals of a mean over cubes: pairs cancel, scrolls count, one cube says nothing."""

import numpy as np
import pytest

from scroll.metrics.cube_bootstrap import resampled_means


def test_a_constant_difference_is_certain_however_much_the_cubes_differ():
    hard = np.random.default_rng(1).random(12)
    drawn = resampled_means([hard + 0.05, hard], ["a"] * 6 + ["b"] * 6)
    gain = drawn.gain(0, 1)
    assert (gain.difference, gain.low, gain.high) == pytest.approx((0.05, 0.05, 0.05))
    assert gain.verdict == "better"
    low, high = drawn.interval(0)
    assert low < drawn.means[0] < high


def test_scrolls_that_differ_widen_the_interval_and_cubes_alone_do_not():
    scores = np.array([[0.2] * 8 + [0.8] * 8])
    of_two = resampled_means(scores, ["a"] * 8 + ["b"] * 8).interval(0)
    of_one = resampled_means(scores, ["a"] * 16).interval(0)
    assert of_two == pytest.approx((0.2, 0.8))
    assert of_one[0] > 0.25 and of_one[1] < 0.75


def test_of_a_single_cube_nothing_is_known():
    drawn = resampled_means([[0.4], [0.3]], ["a"])
    assert drawn.interval(0) == (0, 1) and drawn.gain(0, 1).verdict == "inside noise"


def test_the_same_seed_draws_the_same():
    scores = np.random.default_rng(2).random((2, 9))
    first, again = (resampled_means(scores, list("aaabbbccc"), seed=5).draws for _ in range(2))
    assert np.array_equal(first, again)

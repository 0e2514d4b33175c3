"""The interval covers what it promises to cover, a difference is held against the same draws, and nothing is made of nothing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scroll.metrics.bootstrap import (
    BLOCK_UM,
    LEAST_BLOCKS,
    block_counts,
    block_edge_um,
    known_um2,
    resampled,
    resampled_means,
    resampled_seeds,
)
from scroll.metrics.fbeta import fbeta


def population(rng: np.random.Generator, blocks: int) -> np.ndarray:
    """Blocks as they come: letters in four of five of them, found to a varying share, and some false ink. (B, 3)."""
    ink = rng.gamma(1.5, 800, blocks) * (rng.random(blocks) < 0.8)
    found = rng.beta(6, 3, blocks)
    return np.rint(np.stack([ink * found, rng.gamma(2, 60, blocks), ink * (1 - found)], axis=1))


@pytest.mark.parametrize("blocks", [16, 60])
def test_the_interval_covers_the_true_value_about_as_often_as_it_says(blocks: int) -> None:
    rng = np.random.default_rng(0)
    truth = float(fbeta(*population(rng, 200_000).sum(axis=0)))
    intervals = [resampled(population(rng, blocks)[None], seed, draws=500).interval(0) for seed in range(400)]
    covered = np.mean([low <= truth <= high for low, high in intervals])
    assert 0.87 <= covered <= 0.99  # of few blocks with few letters a little less than 95 %


def test_more_blocks_make_the_interval_narrower() -> None:
    rng = np.random.default_rng(1)
    widths = {}
    for blocks in (20, 80, 320):
        spans = [resampled(population(rng, blocks)[None], draws=500).interval(0) for _ in range(10)]
        widths[blocks] = np.mean([high - low for low, high in spans])
    assert widths[20] > 1.6 * widths[80] > 1.6 * 1.6 * widths[320]  # as one over the root of their number: twice


def test_the_difference_of_two_candidates_covers_the_true_one_and_is_surer_for_being_paired() -> None:
    rng = np.random.default_rng(2)

    def pair(blocks: int) -> np.ndarray:
        first = population(rng, blocks)
        fewer = np.rint(first[:, 0] * rng.beta(40, 2, blocks))  # finds less of the same ink
        return np.stack([first, np.stack([fewer, first[:, 1], first[:, 2] + first[:, 0] - fewer], axis=1)])

    whole = pair(200_000).sum(axis=1)
    truth = float(fbeta(*whole[0]) - fbeta(*whole[1]))
    drawn = [resampled(pair(40), seed, draws=500) for seed in range(200)]
    gains = [one.gain(0, 1) for one in drawn]
    assert 0.87 <= np.mean([gain.low <= truth <= gain.high for gain in gains]) <= 0.99
    own = np.mean([high - low for low, high in (one.interval(0) for one in drawn)])
    assert np.mean([gain.high - gain.low for gain in gains]) < own / 3
    assert np.mean([gain.verdict == "better" for gain in gains]) > 0.9
    assert all(one.gain(1, 0).verdict == "worse" for one in drawn if one.gain(0, 1).verdict == "better")


@given(st.integers(0, 100), st.integers(1, 40))
def test_a_candidate_against_itself_gains_exactly_nothing(seed: int, blocks: int) -> None:
    own = population(np.random.default_rng(seed), blocks)
    gain = resampled(np.stack([own, own[::-1], own]), seed, draws=50).gain(0, 2)
    assert gain.difference == 0 and gain.low <= 0 <= gain.high and gain.verdict == "inside noise"
    assert blocks == 1 or gain.low == gain.high == 0


def test_two_blocks_by_hand() -> None:
    """Drawn with replacement: both the one, both the other, or one of each; F0.5 is 1.25 tp / (1.25 tp + fp + 0.25 fn)."""
    drawn = resampled([[[6, 2, 4], [0, 8, 0]]], draws=4000)
    assert drawn.scores[0] == pytest.approx(7.5 / (7.5 + 10 + 1)) and drawn.count == 2
    values, times = np.unique(drawn.draws[0].round(6), return_counts=True)
    np.testing.assert_allclose(values, [0, 7.5 / 18.5, 7.5 / 10.5], atol=1e-6)
    np.testing.assert_allclose(times / 4000, [0.25, 0.5, 0.25], atol=0.03)
    assert drawn.interval(0) == pytest.approx((0, 7.5 / 10.5))


def test_a_slow_bootstrap_of_the_same_blocks_has_the_same_spread() -> None:
    counts = population(np.random.default_rng(5), 30)
    rng, scores = np.random.default_rng(6), []
    for _ in range(3000):
        tp, fp, fn = sum(counts[int(rng.integers(30))] for _ in range(30))
        scores.append(1.25 * tp / (1.25 * tp + 0.25 * fn + fp))
    draws = resampled(counts[None], draws=3000).draws[0]
    np.testing.assert_allclose(np.quantile(draws, (0.05, 0.5, 0.95)), np.quantile(scores, (0.05, 0.5, 0.95)), atol=0.01)


def test_draws_depend_on_the_seed_alone() -> None:
    counts = population(np.random.default_rng(7), 20)[None]
    assert np.array_equal(resampled(counts, 3).draws, resampled(counts, 3).draws)
    assert not np.array_equal(resampled(counts, 3).draws, resampled(counts, 4).draws)


def test_nothing_is_known_of_no_block_and_of_one() -> None:
    none = resampled(np.zeros((2, 0, 3)))
    assert none.scores.tolist() == [1, 1] and none.interval(0) == (0, 1)
    assert none.gain(0, 1).verdict == "inside noise"
    one = resampled([[[6, 2, 4]], [[0, 2, 10]]])
    assert one.interval(0) == (0, 1) and one.gain(0, 1).verdict == "inside noise" and one.gain(0, 1).difference > 0.5
    empty = resampled(np.zeros((1, 9, 3)))  # papyrus without ink on which none was claimed
    assert empty.scores[0] == 1 and empty.interval(0) == (1, 1)


def test_trainings_that_differ_make_the_interval_of_their_mean_wider() -> None:
    rng = np.random.default_rng(8)
    same = population(rng, 40)
    better, worse = (np.rint(same * factor) for factor in ([1.0, 0.6, 1.0], [1.0, 2.5, 1.0]))
    alike = resampled_seeds(np.stack([[same], [same], [same]]))
    unlike = resampled_seeds(np.stack([[better], [same], [worse]]))
    (low, high), (low_unlike, high_unlike) = alike.interval(0), unlike.interval(0)
    assert high_unlike - low_unlike > 1.2 * (high - low)
    assert alike.scores[0] == pytest.approx(resampled(same[None]).scores[0])
    expected = np.mean([fbeta(*one.sum(axis=0)) for one in (better, same, worse)])
    assert unlike.scores[0] == pytest.approx(expected)


def test_a_training_that_is_drawn_is_looked_at_on_the_same_blocks_as_the_others() -> None:
    """Two seeds whose errors undo each other block by block: their mean hardly varies, and drawn apart it would."""
    rng = np.random.default_rng(9)
    share = rng.uniform(0.2, 0.8, 50)
    one = np.stack([1000 * share, np.zeros(50), 1000 * (1 - share)], axis=1)
    other = np.stack([1000 * (1 - share), np.zeros(50), 1000 * share], axis=1)
    draws = resampled_seeds(np.stack([[one], [other]])).draws[0]
    apart = [resampled(counts[None], seed).draws[0] for seed, counts in enumerate((one, other))]
    is_of_both = np.abs(draws - np.median(draws)) < 0.004  # about half of the draws hold each seed once
    assert is_of_both.mean() > 0.4
    assert draws[is_of_both].std() < np.mean(apart, axis=0).std() / 4


@given(st.integers(1, 70), st.integers(1, 50), st.floats(0.5, 80), st.integers(0, 50))
def test_blocks_take_every_known_pixel_once_and_are_no_larger_than_asked(
    height: int, width: int, edge: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    decided, truth, known = (rng.random((height, width)) < share for share in (0.3, 0.2, 0.7))
    counts = block_counts(decided, truth, known, edge)
    hits, false, missed = (
        np.count_nonzero(part & known) for part in (decided & truth, decided & ~truth, truth & ~decided)
    )
    assert counts.sum(axis=0).tolist() == [hits, false, missed]
    assert (counts.sum(axis=1) <= max(1.0, edge + 1) ** 2).all()
    assert len(counts) >= np.count_nonzero(known) / max(1.0, edge) ** 2


def test_blocks_by_hand() -> None:
    known = np.ones((4, 6), bool)
    known[:2, :2] = False  # one block of nothing known
    truth, decided = np.zeros((4, 6), bool), np.zeros((4, 6), bool)
    truth[0, :3] = decided[0, 2:4] = decided[3, 5] = True
    assert block_counts(decided, truth, known, 2).tolist() == [[1, 1, 0], *[[0, 0, 0]] * 3, [0, 1, 0]]


@given(st.integers(1, 3), st.floats(0.3, 40.0), st.integers(0, 20))
def test_small_sheets_are_cut_into_smaller_blocks_so_that_there_are_enough(
    sheets: int, edge_mm: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    known = [rng.random((60, 50 + 10 * i)) < 0.9 for i in range(sheets)]
    um = edge_mm * 1000 / 60
    edge_um = block_edge_um(known_um2(known, [um] * sheets))
    assert edge_um <= BLOCK_UM
    assert sum(len(block_counts(k, k, k, edge_um / um)) for k in known) >= LEAST_BLOCKS
    if edge_um < BLOCK_UM:
        assert sum(np.count_nonzero(k) for k in known) * um**2 == pytest.approx(LEAST_BLOCKS * edge_um**2)


def test_a_constant_difference_is_certain_however_much_the_cubes_differ() -> None:
    hard = np.random.default_rng(1).random(12)
    drawn = resampled_means([hard + 0.05, hard], ["a"] * 6 + ["b"] * 6)
    gain = drawn.gain(0, 1)
    assert (gain.difference, gain.low, gain.high) == pytest.approx((0.05, 0.05, 0.05))
    assert gain.verdict == "better"
    low, high = drawn.interval(0)
    assert low < drawn.scores[0] < high


def test_scrolls_that_differ_widen_the_interval_and_cubes_alone_do_not() -> None:
    scores = np.array([[0.2] * 8 + [0.8] * 8])
    of_two = resampled_means(scores, ["a"] * 8 + ["b"] * 8).interval(0)
    of_one = resampled_means(scores, ["a"] * 16).interval(0)
    assert of_two == pytest.approx((0.2, 0.8))
    assert of_one[0] > 0.25 and of_one[1] < 0.75


def test_of_a_single_cube_nothing_is_known() -> None:
    drawn = resampled_means([[0.4], [0.3]], ["a"])
    assert drawn.interval(0) == (0, 1) and drawn.gain(0, 1).verdict == "inside noise"


def test_the_same_seed_draws_the_same() -> None:
    scores = np.random.default_rng(2).random((2, 9))
    first, again = (resampled_means(scores, list("aaabbbccc"), seed=5).draws for _ in range(2))
    assert np.array_equal(first, again)

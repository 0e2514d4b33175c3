"""What fitting weights gains is told by data that no weight and no threshold was fitted on."""

import numpy as np
import pytest

from ensemble.ink.left_out import SheetRows, fitted_weights, left_out_gain, left_out_groups
from ensemble.ink.weights import equal_weights
from scroll.metrics.fbeta import fbeta

SHAPE = (96, 80)


def part(source: str, noises: tuple[float, ...], seed: int, helpful: bool = True) -> SheetRows:
    """Strokes, and predictors that see them through noise; one that is not `helpful` sees the strokes of another sheet."""
    rng = np.random.default_rng(seed)
    ink = np.kron(rng.random((12, 10)) < 0.25, np.ones((8, 8))).astype(bool)
    other = np.kron(rng.random((12, 10)) < 0.25, np.ones((8, 8))).astype(bool)
    known = np.ones(SHAPE, bool)
    known[:, :5] = False
    seen = ink if helpful else other
    maps = [np.clip(0.3 + 0.4 * seen + rng.normal(0, sd, SHAPE), 0, 1).astype(np.float32) for sd in noises]
    return SheetRows(maps, ink, known, source, pixel_um=30.0)


def test_volumes_are_left_out_whole_and_each_once() -> None:
    parts = [part(source, (0.1,), i) for i, source in enumerate("aabbc")]
    groups = left_out_groups(parts)
    assert [sorted({p.source for p in group}) for group in groups] == [["a"], ["b"], ["c"]]
    assert sorted(len(group) for group in groups) == [1, 2, 2]


def test_many_volumes_are_left_out_in_few_groups() -> None:
    parts = [part(f"v{i:02d}", (0.1,), i) for i in range(20)]
    groups = left_out_groups(parts)
    assert len(groups) == 8 and sorted(p.source for group in groups for p in group) == sorted(p.source for p in parts)


def test_of_a_single_volume_halves_that_lie_a_block_apart_are_left_out() -> None:
    whole = part("a", (0.1,), 0)
    (upper,), (lower,) = left_out_groups([whole])
    block = 21  # 96 x 75 pixels of 30 um in 16 squares, whose edge is 636 um
    assert len(upper.ink) + block + len(lower.ink) == len(whole.ink) and abs(len(upper.ink) - len(lower.ink)) <= 1
    for half, rows in ((upper, slice(0, len(upper.ink))), (lower, slice(len(upper.ink) + block, None))):
        assert np.array_equal(half.ink, whole.ink[rows]) and np.array_equal(half.maps[0], whole.maps[0][rows])
    assert (upper.source, lower.source) == ("a, upper half", "a, lower half")


def test_of_a_sheet_lower_than_a_block_a_quarter_above_and_one_below_remain() -> None:
    low = part("a", (0.1,), 0).rows(slice(0, 8), "a")
    wide = SheetRows([np.tile(low.maps[0], 40)], np.tile(low.ink, 40), np.tile(low.known, 40), "a", 30.0)
    assert [[len(p.ink) for p in group] for group in left_out_groups([wide])] == [[2], [2]]


def test_weights_that_help_everywhere_gain_on_what_they_did_not_see() -> None:
    found = left_out_gain([part(str(i), (0.1, 0.8, 0.8), i) for i in range(3)])
    assert found is not None and found.verdict == "better"
    assert found.difference == pytest.approx(found.fitted_f05 - found.equal_f05) and found.low > 0
    assert found.left_out == (("0",), ("1",), ("2",)) and found.blocks.count >= 16


def test_weights_that_fit_the_noise_gain_nothing_on_what_they_did_not_see() -> None:
    """Nine alike predictors: there is nothing to fit, whatever the fit on the same data says."""
    found = [left_out_gain([part(str(i), (0.5,) * 9, seed * 10 + i) for i in range(2)]) for seed in range(3)]
    assert all(one is not None and one.difference < 0.005 for one in found)
    assert sum(one is not None and one.verdict == "better" for one in found) == 0


def test_a_threshold_of_the_left_out_part_is_never_looked_at() -> None:
    """One sheet's probabilities are half the other's: at the other's threshold nothing of it is found, and all of the other is claimed."""
    plain, dim = part("a", (0.02, 0.02), 0), part("b", (0.02, 0.02), 1)
    dim = SheetRows([one / 2 for one in dim.maps], dim.ink, dim.known, "b", 30.0)
    ink, known = ([np.count_nonzero(mask & p.known) for p in (plain, dim)] for mask in (plain.ink, plain.known))
    missed = np.count_nonzero(dim.ink & dim.known)
    found = left_out_gain([plain, dim])
    assert found is not None
    assert found.equal_f05 == pytest.approx(float(fbeta(ink[0], known[0] - ink[0], missed)), abs=0.01)
    given = left_out_gain([plain, plain], threshold=0.5)
    assert given is not None and given.equal_f05 > 0.99


def test_it_says_nothing_where_nothing_can_be_fitted() -> None:
    bare = part("b", (0.1, 0.1), 1)
    bare = SheetRows(bare.maps, bare.ink & False, bare.known, "b", 30.0)
    assert left_out_gain([part("a", (0.1, 0.1), 0), bare]) is None


def test_few_pixels_give_nearly_the_weights_of_all() -> None:
    parts = [part(str(i), (0.15, 0.3, 0.6), i) for i in range(2)]
    few, every = fitted_weights(parts, 2000), fitted_weights(parts, 10**6)
    assert few.sum() == pytest.approx(1) and np.abs(few - every).max() < 0.3
    assert every[0] > equal_weights(3)[0]

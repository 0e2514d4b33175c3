"""Variation of information: against scikit-image, by hand, and in the empty cases."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from skimage.metrics import variation_of_information

from scroll.metrics import voi

pairs_of_masks = array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=8).flatmap(
    lambda shape: st.tuples(arrays(bool, shape), arrays(bool, shape))
)


@settings(max_examples=60, deadline=None)
@given(pairs_of_masks)
def test_agrees_with_scikit_image_on_the_voxels_of_either(masks: tuple[np.ndarray, np.ndarray]) -> None:
    either = masks[0] | masks[1]
    labels = [voi.components(mask)[either] for mask in masks]
    expected = sum(variation_of_information(*labels)) if either.any() else 0.0
    assert voi.voi(*masks) == pytest.approx(expected, abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 30))
def test_a_table_and_a_list_of_runs_count_alike(seed: int, numbers: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, numbers, (2, 5, 6, 7)).astype(np.uint32)
    in_table = voi.joint_histogram(a, b)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(voi, "TABLE_CELLS", 0)
        assert np.array_equal(voi.joint_histogram(a, b), in_table)
    for first, second, voxels in in_table:
        assert voxels == ((a == first) & (b == second)).sum()
    assert in_table[:, 2].sum() == ((a != 0) | (b != 0)).sum()


def test_one_bar_that_falls_in_two_equal_halves_is_one_bit() -> None:
    whole, halves = np.ones((1, 1, 9), bool), np.ones((1, 1, 9), bool)
    halves[0, 0, 4] = False
    share = np.array([4, 4, 1]) / 9
    assert voi.voi(halves, whole) == pytest.approx(-(share * np.log2(share)).sum())
    assert voi.voi_score(1.0) == pytest.approx(1 / 1.3)


def test_voxels_that_touch_at_a_corner_are_one_piece() -> None:
    diagonal = np.eye(3, dtype=bool)[None]
    assert voi.components(diagonal).max() == 1


def test_nothing_against_nothing_and_nothing_against_one_piece_leave_no_question_open() -> None:
    empty, one = np.zeros((3, 3, 3), bool), np.zeros((3, 3, 3), bool)
    one[1] = True
    assert voi.voi(empty, empty) == voi.voi(empty, one) == voi.voi(one, one) == 0.0

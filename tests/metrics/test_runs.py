"""What is counted by runs is what the labelled voxels say."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from scroll.metrics.betti_matching.betti import cavities, components
from scroll.metrics.betti_matching.runs import count_cavities, count_pieces, runs_of


@given(arrays(bool, st.tuples(*[st.integers(1, 7)] * 3), elements=st.booleans(), fill=st.nothing()))
def test_pieces_and_cavities_of_small_masks(mask):
    assert count_pieces(mask) == components(mask).max()
    assert count_cavities(mask) == len(cavities(mask)[1])


@pytest.mark.parametrize("share", [0.02, 0.3, 0.5, 0.7, 0.95, 0.995])
def test_pieces_and_cavities_of_noise(share):
    mask = np.random.default_rng(3).random((23, 31, 40)) < share
    assert count_pieces(mask) == components(mask).max()
    assert count_cavities(mask) == len(cavities(mask)[1])


@given(arrays(bool, st.tuples(*[st.integers(1, 6)] * 3), elements=st.booleans(), fill=st.nothing()))
def test_runs_are_the_mask(mask):
    runs, again = runs_of(mask), np.zeros(mask.shape, bool)
    rows = again.reshape(-1, mask.shape[2])
    for row in range(len(rows)):
        for run in range(runs.begins[row], runs.begins[row + 1]):
            rows[row, runs.firsts[run] : runs.ends[run]] = True
    assert np.array_equal(again, mask)


def test_a_mask_without_a_voxel_has_none():
    for shape in ((0, 3, 3), (3, 0, 3), (3, 3, 0)):
        assert count_pieces(np.zeros(shape, bool)) == count_cavities(np.zeros(shape, bool)) == 0

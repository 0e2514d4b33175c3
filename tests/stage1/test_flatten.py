"""Flattening: the same pooling as the loss uses, against numpy; a constant stays a constant."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy.special import logsumexp

from scroll.config.schema import FlattenSettings
from scroll.errors import InputError
from scroll.training.losses import pool_depth
from stage1_3d.flatten import depth_window, flattened

VALUES = arrays(np.float32, array_shapes(min_dims=3, max_dims=3, max_side=9), elements=st.floats(-20, 20, width=32))
POOLS = ("max", "mean", "logsumexp", "topk")
ORACLES = {
    "max": lambda v: v.max(0),
    "mean": lambda v: v.mean(0),
    "logsumexp": lambda v: logsumexp(v, axis=0) - np.log(len(v)),
    "topk": lambda v: np.sort(v, axis=0)[::-1][: max(1, round(len(v) / 4))].mean(0),
}


@pytest.mark.parametrize("how", POOLS)
@given(values=VALUES)
def test_it_is_numpys_answer_and_that_of_the_loss(how: str, values: np.ndarray) -> None:
    flat = flattened(values, how)
    assert flat.shape == (1, *values.shape[1:]) and flat.dtype == np.float32
    assert flat[0] == pytest.approx(ORACLES[how](values.astype(np.float64)), abs=1e-4)
    assert flat[0] == pytest.approx(pool_depth(torch.from_numpy(values), how).numpy(), abs=1e-4)


@pytest.mark.parametrize("how", [*POOLS, "layers"])
@given(value=st.floats(0, 1, width=16), depth=st.integers(1, 20))
def test_a_constant_stays_that_constant(how: str, value: float, depth: int) -> None:
    assert flattened(np.full((depth, 2, 3), value, np.float16), how) == pytest.approx(value, abs=1e-6)


@given(values=VALUES)
def test_layers_are_left_as_they_are(values: np.ndarray) -> None:
    assert np.array_equal(flattened(values, "layers"), values)


def test_an_unknown_way_is_reported_in_one_line() -> None:
    with pytest.raises(InputError, match="unknown way to flatten 'median'; there are max"):
        flattened(np.zeros((2, 2, 2)), "median")


@pytest.mark.parametrize("window", [(-9, 2), (0, 9), (-20, -10), (8, 9)])
def test_a_window_outside_the_predicted_layers_is_reported_in_one_line(window: tuple[int, int]) -> None:
    with pytest.raises(InputError, match=r"stage1\.flatten\.window .* data\.depth \(-8, 8\)") as error:
        depth_window(FlattenSettings(window=window), (-8, 8))
    assert "\n" not in str(error.value)


def test_the_window_counts_from_the_sheets_centre() -> None:
    assert depth_window(FlattenSettings(window=(-3, 5)), (-8, 8)) == slice(5, 13)
    assert depth_window(FlattenSettings(), (-8, 8)) == slice(0, 16)

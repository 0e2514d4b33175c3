"""A coarse map seen at full resolution is what torch's bilinear interpolation gives, strip by strip or whole."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ensemble.ink.predictors import FullSize

SHAPES = st.tuples(st.integers(1, 40), st.integers(1, 40))


def coarse_map(shape: tuple[int, int], bin_yx: int, seed: int = 0) -> np.ndarray:
    rows, columns = (-(-length // bin_yx) for length in shape)
    return np.random.default_rng(seed).random((rows, columns)).astype(np.float32)


@given(shape=SHAPES, bin_yx=st.integers(1, 6), seed=st.integers(0, 99))
def test_it_is_torchs_bilinear_interpolation(shape: tuple[int, int], bin_yx: int, seed: int) -> None:
    coarse = coarse_map(shape, bin_yx, seed)
    whole = torch.nn.functional.interpolate(
        torch.from_numpy(coarse)[None, None], scale_factor=bin_yx, mode="bilinear", align_corners=False
    )[0, 0, : shape[0], : shape[1]]
    seen = FullSize(coarse, bin_yx, shape)[:]
    assert seen.shape == shape and seen.dtype == np.float32
    assert seen == pytest.approx(whole.numpy(), abs=1e-5)


@given(SHAPES, st.integers(1, 6), st.data())
def test_any_strip_is_a_strip_of_the_whole(shape: tuple[int, int], bin_yx: int, data: st.DataObject) -> None:
    seen = FullSize(coarse_map(shape, bin_yx), bin_yx, shape)
    rows, columns = (data.draw(st.slices(length)) for length in shape)
    whole = seen[:]
    assert np.array_equal(seen[rows], whole[rows])
    assert np.array_equal(seen[rows, columns], whole[rows, columns])
    assert np.array_equal(seen[..., rows, columns], whole[rows, columns])


@given(SHAPES, st.integers(1, 6), st.floats(0, 1, width=16))
def test_a_constant_stays_that_constant(shape: tuple[int, int], bin_yx: int, value: float) -> None:
    coarse = np.full_like(coarse_map(shape, bin_yx), value)
    assert FullSize(coarse, bin_yx, shape)[:] == pytest.approx(value, abs=1e-6)


def test_a_strip_costs_what_a_strip_is_wide_not_what_lies_above_it() -> None:
    class Counted(np.ndarray):
        """Notes how many rows are cut out of it."""

        cut: list[int]

        def __getitem__(self, key: object) -> np.ndarray:
            found = np.asarray(self).__getitem__(key)
            if isinstance(key, slice):
                self.cut.append(len(found))
            return found

    coarse = coarse_map((4000, 8), 2).view(Counted)
    coarse.cut = []
    FullSize(coarse, 2, (4000, 8))[3900:3910]
    assert max(coarse.cut) <= 7

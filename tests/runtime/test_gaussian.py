"""The compiled Gaussian is scipy's, bit by bit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from scroll.runtime.gaussian import gaussian

sigmas = st.one_of(st.floats(0.0, 6.0), st.tuples(*[st.sampled_from([0.0, 0.2, 0.7, 2.0])] * 3))


@settings(max_examples=80, deadline=None)
@given(
    st.integers(0, 2**32),
    st.tuples(*[st.integers(1, 14)] * 3),
    sigmas,
    st.sampled_from([2.0, 3.0, 4.0]),
    st.sampled_from(["reflect", "nearest"]),
)
def test_a_blur_has_scipys_bits(seed, shape, sigma_vox, truncate, border):
    volume = np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)
    before = volume.copy()
    found = gaussian(volume, sigma_vox, truncate=truncate, border=border)
    assert found.tobytes() == gaussian_filter(volume, sigma_vox, truncate=truncate, mode=border).tobytes()
    assert found.dtype == np.float32 and np.array_equal(volume, before)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_slope_has_scipys_bits(axis):
    volume = np.random.default_rng(axis).standard_normal((9, 1, 20), dtype=np.float32)
    for shaped in (volume, np.moveaxis(volume, 0, 2), np.moveaxis(volume, 2, 1)):
        order = [int(a == axis) for a in range(3)]
        expected = gaussian_filter(shaped, 1.3, order=order, truncate=3.0)
        assert gaussian(shaped, 1.3, slope_along=axis, truncate=3.0).tobytes() == expected.tobytes()


def test_nothing_blurred_is_nothing():
    assert gaussian(np.zeros((0, 3, 2), np.float32), 1.0).shape == (0, 3, 2)


def test_another_type_is_refused():
    with pytest.raises(ValueError, match=r"float64 \(2, 2, 2\)"):
        gaussian(np.zeros((2, 2, 2)), 1.0)

"""Small components: what is small is an area on papyrus, not a number of pixels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy.ndimage import label

from ensemble.ink.postprocess import drop_small
from scroll.errors import InputError

masks = arrays(bool, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12))


@settings(max_examples=100, deadline=None)
@given(masks, st.integers(0, 20))
def test_it_agrees_with_scipy_component_by_component(mask: np.ndarray, min_pixels: int) -> None:
    labels, count = label(mask, np.ones((3, 3)))
    expected = np.zeros_like(mask)
    for number in range(1, count + 1):
        expected |= (labels == number) & ((labels == number).sum() >= min_pixels)
    kept = drop_small(mask, min_area_um2=min_pixels * 16.0, pixel_um=4.0)
    assert kept.dtype == np.bool_
    assert np.array_equal(kept, expected)
    assert np.array_equal(drop_small(kept, min_pixels * 16.0, 4.0), kept)


def test_ten_thousand_pixels_of_4_um_are_0_16_mm2() -> None:
    mask = np.zeros((230, 230), bool)
    mask[:100, :100] = True  # 10,000 pixels
    mask[120:219, 120:221] = True  # 9,999
    kept = drop_small(mask, min_area_um2=160_000, pixel_um=4.0)
    assert kept.sum() == 10_000 and kept[:100, :100].all()
    assert drop_small(mask, min_area_um2=160_000, pixel_um=3.24).sum() == 0
    assert np.array_equal(drop_small(mask, min_area_um2=160_000, pixel_um=7.91), mask)


def test_corners_hold_together() -> None:
    diagonal = np.eye(6, dtype=bool)
    assert np.array_equal(drop_small(diagonal, 6, 1.0), diagonal)
    assert not drop_small(diagonal, 7, 1.0).any()


def test_the_mask_given_is_left_as_it_was() -> None:
    mask = np.ones((3, 3), bool)
    mask_before = mask.copy()
    drop_small(mask, 100, 1.0)[:] = False
    drop_small(mask, 0, 1.0)[:] = False
    assert np.array_equal(mask, mask_before)


def test_what_is_no_mask_or_no_area_is_refused() -> None:
    mask = np.ones((3, 3), bool)
    for bad_mask, area, pixel_um, message in [
        (mask.astype(np.uint8), 1, 1, "uint8"),
        (mask[None], 1, 1, r"\(1, 3, 3\)"),
        (mask, -1, 1, "-1"),
        (mask, 1, 0, "pixel_um 0"),
        (mask, float("nan"), 1, "nan"),
    ]:
        with pytest.raises(InputError, match=message):
            drop_small(bad_mask, area, pixel_um)

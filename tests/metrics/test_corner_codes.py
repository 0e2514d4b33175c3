"""Corner codes: packing there and back, the ball, and the counts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra.numpy import array_shapes, arrays

from scroll.metrics.betti_matching import corner_codes

masks = array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=9).flatmap(lambda shape: arrays(bool, shape))


@settings(max_examples=40, deadline=None)
@given(masks)
def test_packed_rows_come_back(mask: np.ndarray) -> None:
    words = corner_codes.pack(mask)
    assert np.array_equal(corner_codes.unpack(words, mask.shape[2])[1:-1, 1:-1], mask)
    assert int(np.bitwise_count(words).sum()) == mask.sum()


@settings(max_examples=40, deadline=None)
@given(masks)
def test_the_histogram_counts_every_border_corner_by_its_own_code(mask: np.ndarray) -> None:
    padded = np.pad(mask, 1)
    expected = np.zeros(256, np.int64)
    for z, y, x in np.ndindex(*(side + 1 for side in mask.shape)):
        cube = padded[z : z + 2, y : y + 2, x : x + 2]
        expected[int(cube.ravel() @ [128, 64, 32, 16, 8, 4, 2, 1])] += 1
    expected[[0, 255]] = 0
    assert np.array_equal(corner_codes.corner_histogram(mask), expected)


@pytest.mark.parametrize("radius_vox", [0.0, 1.0, 1.5, 2.0, 3.0, 4.2, 6.0])
def test_a_dilated_point_is_the_ball(radius_vox: float) -> None:
    point = np.zeros((15, 15, 140), bool)
    point[7, 7, 64] = True
    corners = np.ascontiguousarray(corner_codes.pack(point)[1:-1, 1:-1])
    grown = corner_codes.unpack(corner_codes.dilate(corners, corner_codes.ball_half_widths(radius_vox)), 140)
    z, y, x = np.ogrid[:15, :15, :140]
    assert np.array_equal(grown, np.sqrt((z - 7.0) ** 2 + (y - 7) ** 2 + (x - 64) ** 2) <= radius_vox)


def test_the_competition_ball_has_33_corners() -> None:
    assert (2 * corner_codes.ball_half_widths(2.0)[:, 0] + 1).sum() == 33

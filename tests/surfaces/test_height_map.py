"""A surface out of probabilities: where the ridge lies to a fraction of a voxel, one sheet, and no more than is there."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scroll.errors import InputError
from scroll.surfaces.geometry import check_surface
from scroll.surfaces.height_map import height_map_surface

SHAPE = (40, 30, 50)


def sheet(heights, depth=40, sigma=1.5, peak=0.9):
    """Probabilities (Z, Y, X) with a ridge at heights (Y, X)."""
    z = np.arange(depth)[:, None, None]
    return (peak * np.exp(-((z - heights) ** 2) / 2 / sigma**2)).astype(np.float32)


def wavy(phase=0.0, base=20.0):
    i, j = np.indices(SHAPE[1:])
    return base + 4 * np.sin(j / 9 + phase) + 0.05 * i


@settings(max_examples=25, deadline=None)
@given(st.floats(0, 6), st.floats(12, 26), st.floats(1.0, 2.5), st.sampled_from([np.float16, np.float32, np.float64]))
def test_the_ridge_is_found_to_a_fraction_of_a_voxel(phase, base, sigma, dtype):
    heights = wavy(phase, base)
    surface = height_map_surface(sheet(heights, sigma=sigma).astype(dtype))
    assert surface.valid.all() and surface.cell_vox == (1.0, 1.0)
    i, j = np.indices(heights.shape)
    np.testing.assert_array_equal(surface.points[..., 1], i)
    np.testing.assert_array_equal(surface.points[..., 2], j)
    assert np.abs(surface.points[..., 0] - heights).max() < 0.3  # to round it to a voxel would be off by 0.5
    assert np.abs(surface.points[..., 0] - heights).mean() < 0.1


@pytest.mark.parametrize(("axis", "normal"), [(0, (1, 0, 0)), (1, (0, -1, 0)), (2, (0, 0, 1))])
def test_any_axis_may_be_the_height(axis, normal):
    cube = np.moveaxis(sheet(wavy()), 0, axis)
    surface = height_map_surface(cube, axis)
    flat = height_map_surface(sheet(wavy()))
    others = [k for k in range(3) if k != axis]
    np.testing.assert_array_equal(surface.points[..., axis], flat.points[..., 0])
    np.testing.assert_array_equal(surface.points[..., others], flat.points[..., 1:])
    assert (surface.normals[surface.valid] @ normal > 0.5).all()


def test_a_band_of_equal_probabilities_is_cut_at_its_middle():
    prob = np.zeros((20, 8, 9), np.float32)
    prob[7:12] = 1
    surface = height_map_surface(prob)
    np.testing.assert_allclose(surface.points[..., 0], 9, atol=1e-5)


def test_where_nothing_is_predicted_there_is_no_surface():
    prob = sheet(wavy())
    prob[:, 10:14, 20:30] = np.nan
    prob[:, 20:, 40:] *= 0.3
    surface = height_map_surface(prob)
    expected = np.ones(SHAPE[1:], bool)
    expected[10:14, 20:30] = expected[20:, 40:] = False
    np.testing.assert_array_equal(surface.valid, expected)
    assert (surface.points[~expected] == -1).all()


def test_nan_above_the_ridge_does_not_move_it():
    prob = sheet(wavy())
    prob[30:] = np.nan
    np.testing.assert_array_equal(height_map_surface(prob).points, height_map_surface(sheet(wavy())).points)


def two_sheets():
    """A sheet at about 10 that is stronger on the left, one at about 28 that is stronger on the right."""
    low, high = wavy(0.0, 10.0), wavy(0.0, 28.0)
    right = np.indices(low.shape)[1] >= 30
    return low, high, np.maximum(sheet(low) * np.where(right, 0.8, 1), sheet(high) * np.where(right, 1, 0.8))


def test_one_of_two_sheets_is_followed_though_the_other_becomes_stronger():
    low, high, prob = two_sheets()
    surface = height_map_surface(prob)  # the larger part, 30 of 50 columns, has the lower sheet in front
    assert surface.valid.all() and np.abs(surface.points[..., 0] - low).max() < 0.3
    other = height_map_surface(prob, seed_zyx=(27, 5, 5))
    assert other.valid.all() and np.abs(other.points[..., 0] - high).max() < 0.3


def test_a_sheet_that_ends_is_not_continued_on_another():
    low, _, prob = two_sheets()
    z = np.arange(40)[:, None, None]
    gone = (np.abs(z - low) < 8) & (np.indices(prob.shape)[2] >= 30)
    surface = height_map_surface(np.where(gone, 0, prob), seed_zyx=(10, 5, 5))
    np.testing.assert_array_equal(surface.valid.any(axis=0), np.arange(50) < 30)


def test_where_a_spiral_meets_itself_both_sides_are_cut():
    i, j = np.indices((41, 41))
    turn = (np.arctan2(i - 20, j - 20) + np.pi) / 2 / np.pi  # a staircase about the middle, 12 voxels a turn
    heights = 8 + 12 * turn
    prob = np.maximum(sheet(heights, 40, 1.0), np.zeros((40, 41, 41), np.float32))
    surface = height_map_surface(prob)
    for axis in (0, 1):
        steps = np.abs(np.diff(surface.points[..., 0], axis=axis))
        both = surface.valid[1:] & surface.valid[:-1] if axis == 0 else surface.valid[:, 1:] & surface.valid[:, :-1]
        assert steps[both].max() <= 2
    assert surface.valid.mean() > 0.85 and not surface.valid[19:21, :15].all()


def test_every_point_lies_on_a_ridge_and_its_geometry_is_sound():
    *_, prob = two_sheets()
    surface = height_map_surface(prob)
    assert surface.valid.all()
    check_surface(surface, prob.shape)
    nearest = np.rint(surface.points).astype(int)
    assert (prob[tuple(np.moveaxis(nearest, -1, 0))] >= 0.5).all()


@pytest.mark.parametrize(
    ("prob", "options", "said"),
    [
        (np.zeros((4, 5)), {}, r"\(4, 5\) float64"),
        (np.zeros((4, 0, 5)), {}, r"\(4, 0, 5\)"),
        (np.ones((4, 5, 6), np.uint8), {}, r"uint8 .*expected .*floating"),
        (np.zeros((4, 5, 6)), {"axis": 3}, r"axis 3"),
        (np.full((4, 5, 6), 0.3), {}, r"highest probability is 0\.3; expected 0\.5 .*lower min_prob"),
        (np.full((4, 5, 6), np.nan), {}, r"highest probability is 0; expected 0\.5"),
        (np.full((4, 5, 6), 0.3), {"seed_zyx": (1, 1, 1)}, r"seed \(1, 1, 1\) reaches 0\.3; expected 0\.5"),
        (np.ones((4, 5, 6)), {"seed_zyx": (1, 5, 1)}, r"seed \(1, 5, 1\) lies outside"),
    ],
)  # fmt: skip
def test_what_holds_no_sheet_is_refused(prob, options, said):
    with pytest.raises(InputError, match=said):
        height_map_surface(prob, **options)

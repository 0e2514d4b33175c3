"""A surface that contradicts itself or its volume is refused with the numbers; one that is only odd is warned about."""

import re
import warnings
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from known_sheets import cylinder, plane, traced

from scroll.errors import InputError
from scroll.surfaces.geometry import check_surface, contradictions, doubts, measure

VOLUME = (100, 300, 400)
AXIS = (200.0, 300.0)


def problems_of(surface, volume_shape_zyx=None, axis_yx=None):
    geometry = measure(surface, volume_shape_zyx, axis_yx)
    return contradictions(geometry, volume_shape_zyx) + doubts(geometry)


def silent(*arguments):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return check_surface(*arguments)


def test_a_sound_sheet_gives_no_problem_and_its_measures():
    surface = traced(cylinder((12, 40)), 4.0)
    assert problems_of(surface, VOLUME, AXIS) == []
    geometry = silent(surface, VOLUME, AXIS)
    assert geometry.spacing_vox == pytest.approx((4, 4), rel=1e-5) and geometry.cell_vox == (4.0, 4.0)
    low, high = geometry.bbox_zyx
    np.testing.assert_array_equal(low, surface.points.min(axis=(0, 1)))
    np.testing.assert_array_equal(high, surface.points.max(axis=(0, 1)))
    assert (geometry.valid, geometry.outside, geometry.torn, geometry.folded, geometry.opposed, geometry.inward) == (
        1,
        0,
        0,
        0,
        0,
        0,
    )


@settings(max_examples=50, deadline=None)
@given(st.floats(0.05, 20), st.floats(0.05, 20))
def test_spacing_is_compared_with_the_cell_along_rows_and_columns_apart(down, right):
    surface = traced(plane((6, 7), (10.0 * down, 10.0 * right)), 10.0)
    problems = [problem for problem in problems_of(surface) if "torn" not in problem]
    wrong = [name for name, ratio in (("rows", down), ("columns", right)) if not 0.501 < ratio < 1.999]
    if any(abs(ratio - edge) < 0.01 for ratio in (down, right) for edge in (0.5, 2)):
        return  # on the line
    assert [problem.split()[0] for problem in problems] == wrong
    for problem in problems:
        ratio = down if problem.startswith("rows") else right
        assert "cell says 10" in problem
        figures = re.search(r"are ([\d.e+-]+) voxels apart.*a ratio of ([\d.e+-]+);", problem)
        assert figures is not None
        assert [float(number) for number in figures.groups()] == pytest.approx(
            [10 * ratio, ratio], rel=0.06
        )  # two digits


def test_a_spacing_that_contradicts_the_scale_is_refused_in_one_line():
    surface = traced(plane((6, 7), (20.0, 20.0)), 1.0)
    with pytest.raises(
        InputError, match=r"known sheet: rows are 20 voxels apart .*ratio of 20.*columns are 20"
    ) as error:
        check_surface(surface)
    assert "\n" not in str(error.value)


def test_a_sheet_wholly_outside_the_volume_is_refused_and_one_partly_outside_warned_about():
    surface = traced(plane((10, 10), origin=(10, 0, 0)), 4.0)
    silent(surface, (20, 40, 40))
    with pytest.raises(InputError, match=r"spans 10 0 0 to 10 36 36 \(z y x\), wholly outside the volume of 10 40 40"):
        check_surface(surface, (10, 40, 40))
    with pytest.warns(UserWarning, match=r"50\.0% of its valid points lie outside the volume"):
        assert check_surface(surface, (20, 20, 40)).outside == 0.5
    assert np.isnan(check_surface(surface).outside)  # without a volume nobody knows


def test_swapped_axes_show_in_where_the_sheet_lies():
    surface = traced(plane((10, 10), origin=(90, 200, 300)), 4.0)
    silent(surface, VOLUME)
    with pytest.raises(InputError, match="wholly outside"):
        check_surface(traced(surface.points[..., ::-1], 4.0), VOLUME)


@pytest.mark.parametrize("place", [(-0.5, 1, 1), (19.5, 1, 1)])
def test_a_voxel_reaches_half_a_voxel_from_its_centre(place):
    points = plane((2, 2), (1.0, 1.0), origin=place)
    assert measure(traced(points, 1.0), (20, 20, 20)).outside == 0
    assert measure(traced(points + np.float32([np.sign(place[0]) * 0.01, 0, 0]), 1.0), (20, 20, 20)).outside == 1


def test_a_surface_without_points_is_refused():
    with pytest.raises(InputError, match="no valid point"):
        check_surface(traced(plane((5, 6)), 4.0, np.zeros((5, 6))))


def test_a_surface_with_hardly_a_point_is_warned_about():
    valid = np.zeros((60, 60))
    valid[3:6, 3:6] = 1
    with pytest.warns(UserWarning, match=r"only 0\.25% of its points are valid"):
        assert check_surface(traced(plane((60, 60)), 4.0, valid)).valid == 9 / 3600


def test_a_lone_point_has_no_spacing_and_no_complaint_of_it():
    valid = np.zeros((5, 6))
    valid[2, 3] = 1
    geometry = silent(traced(plane((5, 6)), 4.0, valid))
    assert np.isnan(geometry.spacing_vox).all() and np.isnan(geometry.torn) and np.isnan(geometry.folded)


def test_reversed_winding_shows_against_the_axis():
    turned = traced(cylinder((12, 40))[:, ::-1], 4.0)
    assert measure(turned, None, AXIS).inward == 1
    with pytest.warns(UserWarning, match=r"100\.0% of normals point towards the scroll's axis"):
        check_surface(turned, VOLUME, AXIS)
    silent(turned, VOLUME)  # nothing tells without the axis


def test_normals_against_the_grid_are_reported():
    surface = traced(cylinder((12, 40)), 4.0)
    flipped = replace(surface, normals=-surface.normals)
    with pytest.warns(UserWarning, match=r"100\.0% of normals point against dP/dcolumn x dP/drow"):
        assert check_surface(flipped).opposed == 1


def test_a_fold_shows_in_neighbouring_quads_that_face_opposite_sides():
    points = plane((10, 21))
    points[:, 11:] = points[:, 9::-1][:, : points.shape[1] - 11] + np.float32(
        [3, 0, 0]
    )  # back over itself, 3 voxels above
    with pytest.warns(UserWarning, match="so it is folded"):
        assert check_surface(traced(points, 4.0)).folded == 9 / (9 * 19 + 8 * 20)  # along one column of nine quads


def test_a_tear_shows_in_neighbours_more_than_four_cells_apart():
    points = plane((10, 21), (9.0, 4.0))
    points[:, 11:, 0] += 15.4  # 15.9 voxels to the next column
    assert silent(traced(points, (9.0, 4.0))).torn == 0
    points[:, 11:, 0] += 0.2
    with pytest.warns(UserWarning, match=r"2\.6% of neighbours are more than 4 cells apart"):
        assert check_surface(traced(points, (9.0, 4.0))).torn == 10 / (10 * 20 + 9 * 21)


def test_on_a_large_surface_strips_find_what_the_whole_would():
    shape = (1600, 1600)  # more than is looked at
    surface = traced(plane(shape, (2.0, 2.0), slope=0.2), 2.0, np.random.default_rng(0).random(shape) < 0.7)
    geometry = measure(surface, (300, 3000, 9000))
    inside = surface.points[surface.valid]
    outside = (inside > np.array([300, 3000, 9000]) - 0.5).any(axis=-1).mean()
    assert geometry.valid == pytest.approx(0.7, abs=0.01) and geometry.outside == pytest.approx(outside, abs=0.01)
    assert geometry.spacing_vox == pytest.approx((2, 2), rel=1e-3)
    np.testing.assert_allclose(geometry.bbox_zyx, [inside.min(axis=0), inside.max(axis=0)], atol=5)

"""Flattening a phantom has a known answer: along the known surface is the known ink."""

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from scroll.phantom.cube import draw_scroll
from scroll.phantom.settings import cube_settings
from scroll.phantom.surface import draw_surfaces, effective_radius, trace_surface


@pytest.fixture(scope="module")
def drawn():
    return draw_surfaces(cube_settings("easy", 144), 2)


def along_the_normal(volume, surface, depth_vox, order=(0, 1, 2)):
    """Values of a (Z, Y, X) volume at a depth below the valid points of a surface."""
    places = (surface.points - depth_vox * surface.normals)[surface.valid][:, order]
    return map_coordinates(volume, places.T, order=1, output=np.float32)


def ink_dice(drawn, shift_vox=0.0, order=(0, 1, 2)):
    cube, surfaces = drawn
    both = found_or_true = 0
    for surface in surfaces:
        found = np.max([along_the_normal(cube.ink, surface, d + shift_vox, order) for d in (-1, 0, 1)], axis=0) > 127
        truth = surface.ink[surface.valid]
        both, found_or_true = both + 2 * (found & truth).sum(), found_or_true + found.sum() + truth.sum()
    return both / found_or_true


def test_sampling_along_the_known_surface_gives_the_known_ink(drawn):
    assert ink_dice(drawn) >= 0.85


def test_a_surface_four_voxels_off_finds_no_ink(drawn):
    assert ink_dice(drawn, shift_vox=4.0) < 0.5
    assert ink_dice(drawn, shift_vox=-4.0) < 0.5


@pytest.mark.parametrize("order", [(2, 1, 0), (0, 2, 1), (1, 0, 2)])
def test_swapped_axes_find_no_ink(drawn, order):
    assert ink_dice(drawn, order=order) < 0.5


def test_normals_are_unit_vectors_that_leave_the_papyrus(drawn):
    cube, surfaces = drawn
    for surface in surfaces:
        np.testing.assert_allclose(np.linalg.norm(surface.normals[surface.valid], axis=-1), 1, atol=1e-5)
    inner = np.concatenate([along_the_normal(cube.paper, s, 4.0) for s in surfaces])
    outer = np.concatenate([along_the_normal(cube.paper, s, -2.5) for s in surfaces])
    assert inner.mean() > 1.5 * outer.mean() and np.median(inner) > 200 and np.median(outer) < 60


def test_invalid_points_are_minus_one_and_valid_ones_lie_in_the_cube(drawn):
    _, surfaces = drawn
    for surface in surfaces:
        assert (surface.points[~surface.valid] == -1).all()
        inside = surface.points[surface.valid]
        assert inside[:, 0].min() > 0 and inside.min() >= 0 and inside.max() <= 143
        assert not surface.ink[~surface.valid].any()


def test_grid_points_are_a_step_apart(drawn):
    _, surfaces = drawn
    surface = max(surfaces, key=lambda s: s.valid.sum())
    for axis in (0, 1):
        steps = np.linalg.norm(np.diff(surface.points, axis=axis), axis=-1)
        both = surface.valid[1:] & surface.valid[:-1] if axis == 0 else surface.valid[:, 1:] & surface.valid[:, :-1]
        assert 3.0 < np.median(steps[both]) < 6.0  # a bulging wrap is longer than the circle it is counted along


def test_every_point_lies_on_its_wrap():
    settings = cube_settings("default", 64)
    scroll = draw_scroll(settings, 1)
    surface = trace_surface(scroll, scroll.labelled[0])
    radius = effective_radius(scroll.spiral, surface.points[surface.valid].astype(float))
    face = scroll.wraps.face[surface.wrap]
    assert face.min() - 0.1 <= radius.min() and radius.max() <= face.max() + 0.1


def test_a_wrap_that_is_not_there_is_refused():
    scroll = draw_scroll(cube_settings("default", 32), 1)
    with pytest.raises(ValueError, match="wrap 99"):
        trace_surface(scroll, 99)

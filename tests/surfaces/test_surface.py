"""The grid of points, its normals, and any tile of its canvas."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from known_sheets import cylinder, plane, traced, whole_quads

from scroll.surfaces.surface import normals_of

SHAPES = st.tuples(st.integers(2, 9), st.integers(2, 9))
CELLS = st.sampled_from([1.0, 2.0, 3.0, 4.0, 7.0, 20.0, 64.0, 75.0, 93.0, 99.0])


def masks(shape, seed, share=0.8):
    return np.random.default_rng(seed).random(shape) < share


@settings(max_examples=60, deadline=None)
@given(SHAPES, st.tuples(CELLS, CELLS), st.integers(0, 99))
def test_one_pixel_a_cell_gives_the_grid_points_to_the_last_bit(shape, cells, seed):
    valid = masks(shape, seed)
    surface = traced(plane(shape, cells, slope=0.3), cells, valid)
    tile = surface.tile(slice(None, None, int(cells[0])), slice(None, None, int(cells[1])))
    has_normal = valid & (surface.normals != 0).any(axis=-1)  # a lone point has no direction
    np.testing.assert_array_equal(tile.valid, has_normal)
    np.testing.assert_array_equal(tile.points[has_normal], surface.points[has_normal])
    np.testing.assert_allclose(tile.normals[has_normal], surface.normals[has_normal], atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(SHAPES, CELLS, st.integers(1, 5), st.integers(0, 99))
def test_a_tile_cut_in_pieces_is_the_whole_tile(shape, cell, pixel, seed):
    rng = np.random.default_rng(seed)
    points = plane(shape, (cell, cell)) + rng.normal(0, 0.2 * cell, (*shape, 3)).astype(np.float32)
    surface = traced(points, cell, masks(shape, seed))
    whole = surface.tile(slice(None), slice(None), pixel)
    height, width = surface.canvas_shape(pixel)
    assert whole.valid.shape == (height, width)
    row, column = rng.integers(0, height + 1), rng.integers(0, width + 1)
    for rows in (slice(0, row), slice(row, height)):
        for columns in (slice(0, column), slice(column, width)):
            piece = surface.tile(rows, columns, pixel)
            for name in ("points", "normals", "valid"):
                np.testing.assert_array_equal(getattr(piece, name), getattr(whole, name)[rows, columns])


def test_between_grid_points_a_tile_is_bilinear():
    surface = traced(plane((3, 4), (4.0, 5.0)), (4.0, 5.0))
    tile = surface.tile(slice(None), slice(None))
    i, j = np.indices((9, 16))
    np.testing.assert_allclose(tile.points[:9, :16, 0], 10.0)
    np.testing.assert_allclose(tile.points[:9, :16, 1], 20.0 + i, atol=1e-5)
    np.testing.assert_allclose(tile.points[:9, :16, 2], 30.0 + j, atol=1e-5)
    assert tile.valid[:9, :16].all()
    assert not tile.valid[9:].any() and not tile.valid[:, 16:].any()  # beyond the last grid point nothing is known


def test_the_centre_of_a_coarse_pixel_is_amid_the_fine_pixels_it_covers():
    surface = traced(plane((9, 9), (4.0, 4.0)), 4.0)
    fine = surface.tile(slice(None), slice(None), 1)
    coarse = surface.tile(slice(None), slice(None), 4)
    for i, j in ((0, 0), (1, 3), (7, 7)):
        covered = fine.points[4 * i : 4 * i + 4, 4 * j : 4 * j + 4].reshape(-1, 3)
        np.testing.assert_allclose(coarse.points[i, j], covered.mean(axis=0), atol=1e-5)


def test_the_last_row_of_a_grid_is_not_lost_to_rounding():
    for cell in (75.0, 77.0, 91.0, 93.0, 99.0):
        surface = traced(plane((58, 3), (cell, cell)), cell)
        assert surface.tile(slice(None, None, int(cell)), slice(0, 1)).valid.all()


def test_normals_of_a_plane_stand_on_it():
    for slope, expected in ((0.0, (1, 0, 0)), (1.0, (0.5**0.5, 0, -(0.5**0.5))), (-0.75, (0.8, 0, 0.6))):
        points = plane((5, 6), (3.0, 2.0), slope=slope)
        np.testing.assert_allclose(
            normals_of(points, np.ones((5, 6), bool)), np.broadcast_to(expected, (5, 6, 3)), atol=1e-5
        )


def test_normals_point_out_of_a_cylinder_whose_columns_run_anticlockwise():
    points = cylinder(shape=(6, 70))
    outward = points[..., 1:] - (200.0, 300.0)
    outward /= np.linalg.norm(outward, axis=-1, keepdims=True)
    valid = np.ones(points.shape[:2], bool)
    normals = normals_of(points, valid)
    np.testing.assert_allclose(normals[:, 1:-1, 0], 0, atol=1e-5)
    np.testing.assert_allclose(normals[:, 1:-1, 1:], outward[:, 1:-1], atol=1e-4)
    np.testing.assert_allclose(normals_of(points[:, ::-1], valid), -normals[:, ::-1], atol=1e-4)


def test_normals_of_a_large_grid_are_those_of_its_pieces():
    shape = (2200, 1000)  # more than is worked on at once
    points = plane(shape) + np.random.default_rng(0).normal(0, 0.5, (*shape, 3)).astype(np.float32)
    valid = masks(shape, 1, 0.9)
    normals = normals_of(points, valid)
    for rows in (slice(0, 5), slice(1000, 1100), slice(2050, 2110), slice(2195, 2200)):
        around = slice(max(0, rows.start - 1), rows.stop + 1)
        expected = normals_of(points[around], valid[around])[rows.start - around.start :][: rows.stop - rows.start]
        np.testing.assert_array_equal(normals[rows], expected)
    assert (normals[valid] != 0).any(axis=-1).mean() > 0.95 and (normals[~valid] == 0).all()


def test_normals_are_unit_vectors_again_after_upsampling():
    surface = traced(cylinder(radius=9.0, cell_vox=6.0, shape=(4, 9)), 6.0)  # 39 degrees between neighbours
    tile = surface.tile(slice(None), slice(None))
    np.testing.assert_allclose(np.linalg.norm(tile.normals[tile.valid], axis=-1), 1, atol=1e-6)
    assert (tile.normals[~tile.valid] == 0).all() and (tile.points[~tile.valid] == -1).all()


@settings(max_examples=60, deadline=None)
@given(SHAPES, st.integers(0, 999), st.sampled_from([2.0, 3.0, 5.0]))
def test_an_invalid_vertex_poisons_its_quads_and_no_others(shape, seed, cell):
    valid = masks(shape, seed, 0.7)
    surface = traced(plane(shape, (cell, cell)), cell, valid)
    tile = surface.tile(slice(None), slice(None))
    quads = whole_quads(valid)
    for i in range(tile.valid.shape[0]):
        for j in range(tile.valid.shape[1]):
            (a, down), (b, right) = divmod(i, int(cell)), divmod(j, int(cell))
            if not (down and right):
                continue  # on a line of the grid, see below
            inside = a < quads.shape[0] and b < quads.shape[1]
            assert tile.valid[i, j] == (inside and quads[a, b])


def test_a_pixel_on_the_line_between_two_valid_vertices_needs_no_third():
    valid = np.array([[1, 1, 1], [1, 1, 0]], bool)
    tile = traced(plane((2, 3), (4.0, 4.0)), 4.0, valid).tile(slice(None), slice(None))
    expected = np.zeros((8, 12), bool)
    expected[:5, :5] = True
    expected[0, :8] = True  # vertex (0, 2) itself has no neighbour in its column, and so no normal
    np.testing.assert_array_equal(tile.valid, expected)


@pytest.mark.parametrize("box", [(slice(3, 3), slice(None)), (slice(None), slice(999, None))])
def test_an_empty_tile_is_empty(box):
    tile = traced(plane((3, 3)), 4.0).tile(*box)
    assert 0 in tile.valid.shape and tile.points.shape == (*tile.valid.shape, 3)

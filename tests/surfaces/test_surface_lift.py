"""Lifting: every voxel of the band and none beyond it, the nearest sheet wins, and no piece knows the order of the others."""

import itertools
from collections import deque
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from scroll.errors import InputError
from scroll.surfaces.lift import INK, NO_INK, UNKNOWN, Painted, image_band, label_bands, lift, lift_into, lifted_blocks
from scroll.surfaces.sample import Offsets, Source, sample_along_normals
from scroll.surfaces.surface import Surface, normals_of
from scroll.volumes.ome_zarr import create_ome_zarr
from tests.peak_memory import with_peak_bytes


def surface_of(points, cell):
    valid = np.ones(points.shape[:2], bool)
    return Surface(points.astype(np.float32), normals_of(points.astype(np.float32), valid), valid, cell, Path("drawn"))


def flat(rows=8, columns=9, depth=10.0, cell=4.0, corner=(3, 5)):
    """A sheet at z = depth whose normal points along z; grid point (0, 0) at y, x = corner."""
    y, x = np.meshgrid(np.arange(rows) * cell + corner[0], np.arange(columns) * cell + corner[1], indexing="ij")
    return surface_of(np.stack([np.full_like(y, depth), y, x], axis=-1), (cell, cell))


def full(surface, value=200):
    return np.full(surface.canvas_shape(), value, np.uint8)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1.0, 2.5, 4.0, 11.0]))
def test_a_tilted_plane_becomes_the_voxels_whose_distance_is_in_the_band(seed, cell):
    rng = np.random.default_rng(seed)
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    count = int(40 / cell) + 1
    rows, columns = np.meshgrid(*[np.arange(count) * cell] * 2, indexing="ij")
    points = np.array([30.0, 30, 30]) + (rows - 20)[..., None] * turn[0] + (columns - 20)[..., None] * turn[1]
    surface = surface_of(points, (cell, cell))
    start = rng.uniform(-7, 6)
    band = (start, start + rng.uniform(0.5, 8))
    voxels = lift([image_band(surface, full(surface), band)], (61, 60, 59))
    away = np.stack(np.indices(voxels.shape), axis=-1) - surface.points[0, 0].astype(np.float64)
    depth, row, column = away @ surface.normals[1, 1].astype(np.float64), away @ turn[0], away @ turn[1]
    edges = [depth - band[0], band[1] - depth, row, (count - 1) * cell - row, column, (count - 1) * cell - column]
    inside = np.min(edges, axis=0)
    clear = np.abs(inside) > 0.01
    np.testing.assert_array_equal((voxels == 200)[clear], (inside > 0)[clear])
    assert set(np.unique(voxels)) <= {0, 200}


def spiral(turn=1.2, cell=4.0, height=40):
    """A wrap and more of a spiral about z; columns run round it, so normals point out."""
    arc = np.arange(0, turn * 2 * np.pi * 30, cell)
    angle = arc / 30
    radius = 24 + 14 * angle / (2 * np.pi)
    z, angle = np.meshgrid(np.arange(0, height, cell) + 2.0, angle, indexing="ij")
    radius = np.broadcast_to(radius, z.shape)
    return surface_of(np.stack([z, 50 + radius * np.sin(angle), 50 + radius * np.cos(angle)], axis=-1), (cell, cell))


def wrinkled(cell=4.0, size=72):
    rows, columns = np.meshgrid(*[np.arange(0, size, cell)] * 2, indexing="ij")
    bend = 6 * np.sin(rows / 11) + 5 * np.cos(columns / 9 + rows / 17)
    return surface_of(np.stack([40 + bend, rows + 10, columns + 10], axis=-1), (cell, cell))


@pytest.mark.parametrize("draw", [spiral, wrinkled])
@pytest.mark.parametrize("band", [(-3.0, 4.0), (0.0, 2.0), (-5.0, -1.0)])
def test_on_bent_sheets_no_voxel_is_missed_and_none_lies_half_a_voxel_beyond(draw, band):
    """Oracle: the nearest of points a fifth of a voxel apart on the sheet, for voxels picked at random."""
    surface = draw()
    voxels = lift([image_band(surface, full(surface), band)], (70, 100, 100)) > 0
    rows, columns = (np.arange(0, n - 1, 0.2 / cell) for n, cell in zip(surface.shape, surface.cell_vox, strict=True))
    places = np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1)
    dense, normals = (bilinear(grid, places).reshape(-1, 3) for grid in (surface.points, surface.normals))
    picked = np.random.default_rng(0).integers(0, voxels.shape, (40_000, 3))
    near, number = cKDTree(dense).query(picked, distance_upper_bound=8)
    painted, is_near = voxels[tuple(picked.T)], np.isfinite(near)
    assert not painted[~is_near].any()
    picked, number, near, painted = picked[is_near], number[is_near], near[is_near], painted[is_near]
    depth = np.einsum("ij,ij->i", picked - dense[number], normals[number])
    foot = places.reshape(-1, 2)[number]
    inner = ((foot > 0.25) & (foot < np.array(surface.shape) - 1.25)).all(axis=-1)
    well_inside = inner & (depth > band[0] + 0.1) & (depth < band[1] - 0.1)
    assert well_inside.sum() > 200
    assert painted[well_inside].all()
    beyond = inner & ((depth < band[0] - 0.5) | (depth > band[1] + 0.5))
    assert beyond.sum() > 2000
    assert not painted[beyond].any()


def bilinear(grid, places):
    first = np.minimum(np.floor(places).astype(int), np.array(grid.shape[:2]) - 2)
    share = places - first
    total = 0
    for down, right in itertools.product((0, 1), repeat=2):
        weight = np.abs(1 - down - share[..., 0]) * np.abs(1 - right - share[..., 1])
        total = total + weight[..., None] * grid[first[..., 0] + down, first[..., 1] + right]
    return total


def test_a_voxel_over_a_point_of_a_strongly_bent_sheet_is_painted_to_the_hundredth_of_its_depth():
    """Foot and depth are drawn; the sheet is then moved so that what is there is a voxel's centre."""
    angle, z = np.meshgrid(np.arange(-0.6, 1.4, 0.4), np.arange(0, 20, 4.0), indexing="xy")
    bent = surface_of(np.stack([z, 10 * np.sin(angle), 10 * np.cos(angle)], axis=-1), (4.0, 4.0))
    image = np.random.default_rng(0).integers(1, 255, bent.canvas_shape(), dtype=np.uint8)
    rng = np.random.default_rng(1)
    for _ in range(200):
        row, column = rng.integers(0, 16), rng.choice([6, rng.integers(0, 16)])  # over column 6 the sheet faces along x
        foot = np.clip([row + rng.uniform(-0.4, 0.4), column + rng.uniform(-0.4, 0.4)], 0, 16) / 4
        depth = rng.choice(
            [rng.uniform(0.02, 5.98), rng.uniform(5.9, 5.98), rng.uniform(6.02, 6.1), rng.uniform(-0.1, -0.02)]
        )
        point, normal = (bilinear(grid.astype(np.float64), foot[None])[0] for grid in (bent.points, bent.normals))
        place = point + depth * normal / np.linalg.norm(normal)
        moved = replace(bent, points=bent.points - place.astype(np.float32))
        (value,) = lift([image_band(moved, image, (0, 6))], (1, 1, 1)).ravel()
        assert value == (image[row, column] if 0 < depth < 6 else 0), (foot, depth)


def test_a_sheet_a_hair_beyond_a_voxel_still_begins_with_it():
    surface = flat(depth=10 + 4e-4)
    voxels = lift([image_band(surface, full(surface), (0, 3))], (20, 40, 45))
    assert np.flatnonzero(voxels[:, 10, 10]).tolist() == [10, 11, 12]


def test_each_column_bears_its_own_pixels_value():
    surface = flat()
    image = np.random.default_rng(0).integers(1, 255, surface.canvas_shape(), dtype=np.uint8)
    voxels = lift([image_band(surface, image, (-2, 3))], (20, 40, 45))
    assert not voxels[:8].any()
    assert not voxels[13:].any()
    for z in range(8, 13):
        np.testing.assert_array_equal(voxels[z, 3:32, 5:38], image[:29, :33])


def test_coarse_pixels_cover_the_voxels_they_are_the_mean_of():
    surface = flat()
    image = np.random.default_rng(1).integers(1, 255, surface.canvas_shape(4), dtype=np.uint8)
    voxels = lift([image_band(surface, image, (0, 1), pixel_vox=4)], (20, 40, 45))
    np.testing.assert_array_equal(voxels[10, 3:31, 5:37], np.kron(image[:7, :8], np.ones((4, 4), np.uint8)))


def test_what_was_lifted_is_sampled_back_as_it_was():
    surface = wrinkled()
    image = np.random.default_rng(2).integers(1, 255, surface.canvas_shape(), dtype=np.uint8)
    image = np.kron(image[::8, ::8], np.ones((8, 8), np.uint8))[: image.shape[0], : image.shape[1]]
    voxels = lift([image_band(surface, image, (-3, 4))], (100, 100, 100))
    got = sample_along_normals(surface.tile(slice(None), slice(None)), Offsets(-2, 3), [Source(voxels)], order=0)[0]
    valid = ~np.isnan(got).any(axis=0)
    assert (got == image)[:, valid].mean() > 0.9  # voxels of a pixel's edge belong to either side


def test_there_is_nothing_above_an_invalid_point():
    surface = flat()
    surface.valid[3, 4] = False
    voxels = lift([image_band(surface, full(surface), (0, 1))], (20, 40, 45))[10] > 0
    assert not voxels[3 + 9 : 3 + 16, 5 + 13 : 5 + 20].any()  # the four cells about it
    assert voxels.sum() == 29 * 33 - 7 * 7


def test_a_valid_point_without_a_normal_is_as_good_as_invalid():
    surface = flat()
    surface.normals[3, 4] = 0
    without = replace(surface, valid=surface.valid.copy())
    without.valid[3, 4] = False
    np.testing.assert_array_equal(
        *(lift([image_band(sheet, full(sheet), (-1, 2))], (20, 40, 45)) for sheet in (surface, without))
    )


def test_of_two_sheets_that_claim_a_voxel_the_nearer_has_it_whatever_their_order():
    low, high = flat(depth=8.0), flat(depth=14.0)
    both = [image_band(low, full(low, 1), (-5, 6)), image_band(high, full(high, 2), (-5, 6))]
    voxels = lift(both, (25, 40, 45))
    assert voxels[:, 10, 10].tolist() == [0] * 3 + [1] * 8 + [2] * 9 + [0] * 5  # 11 is 3 from either: the higher value
    np.testing.assert_array_equal(lift(both[::-1], (25, 40, 45)), voxels)


@pytest.mark.parametrize("block", [(7, 9, 11), (64, 64, 64), (1, 200, 200)])
def test_blocks_of_any_size_make_up_the_same_volume(block):
    sheets = [image_band(s, full(s, value), (-4, 5)) for value, s in enumerate((spiral(), wrinkled()), 1)]
    whole = lift(sheets, (100, 100, 100))
    again = np.zeros_like(whole)
    for box, voxels in lifted_blocks(sheets[::-1], whole.shape, block):
        assert not again[box].any()
        again[box] = voxels
    np.testing.assert_array_equal(again, whole)


def test_a_cut_out_is_that_part_of_the_whole():
    sheet = [image_band(spiral(), full(spiral()), (-4, 5))]
    whole = lift(sheet, (100, 100, 100))
    np.testing.assert_array_equal(lift(sheet, (30, 40, 50), (5, 20, 13)), whole[5:35, 20:60, 13:63])
    beyond = lift(sheet, (30, 120, 120), (-3, -10, -10))
    np.testing.assert_array_equal(beyond[3:, 10:110, 10:110], whole[:27])


def test_at_a_coarser_level_a_voxel_is_painted_where_its_centre_lies_in_the_band():
    surface = flat(depth=12.0)
    voxels = lift([image_band(surface, full(surface), (-2, 6))], (16, 30, 30), level=1)
    centres = np.arange(16) * 2 + 0.5
    np.testing.assert_array_equal(voxels[:, 10, 10] > 0, (centres >= 10) & (centres < 18))
    rows = np.arange(30) * 2 + 0.5
    np.testing.assert_array_equal(voxels[6, :, 10] > 0, (rows >= 3) & (rows <= 31))


def test_a_training_label_tells_ink_from_papyrus_and_both_from_what_nobody_knows():
    surface = flat()
    ink, known = np.zeros((2, *surface.canvas_shape()), bool)
    ink[:, 10:], known[:20] = True, True
    voxels = lift([label_bands(surface, ink, known, ink_band=(-1, 3), papyrus_band=(-1, 9))], (25, 40, 45))
    assert voxels[:, 3 + 5, 5 + 20].tolist() == [UNKNOWN] * 9 + [INK] * 4 + [UNKNOWN] * 12
    assert voxels[:, 3 + 5, 5 + 2].tolist() == [UNKNOWN] * 9 + [NO_INK] * 10 + [UNKNOWN] * 6
    assert not voxels[:, 3 + 22].any()


def test_at_a_coarser_level_ink_is_as_deep_as_at_the_finest():
    surface = flat(depth=10.5)
    ink = np.ones(surface.canvas_shape(), bool)
    voxels = lift([label_bands(surface, ink, ink, ink_band=(0, 4), papyrus_band=(0, 10))], (12, 20, 20), level=1)
    assert np.flatnonzero(voxels[:, 8, 10] == INK).tolist() == [5, 6]  # centres 10.5 and 12.5


def test_ink_may_lie_above_the_papyrus():
    surface = flat()
    ink = np.ones(surface.canvas_shape(), bool)
    voxels = lift([label_bands(surface, ink, ink, ink_band=(-3, 2), papyrus_band=(0, 9))], (25, 40, 45))
    assert voxels[:, 8, 25].tolist() == [UNKNOWN] * 7 + [INK] * 5 + [UNKNOWN] * 13


def test_what_is_unknown_on_the_nearer_sheet_is_not_taken_for_the_farther_one():
    near, far = flat(depth=10.0), flat(depth=13.0)
    nothing, everything = np.zeros((2, *near.canvas_shape()), bool)
    everything[...] = True
    sheets = [
        label_bands(near, everything, nothing, (0, 2), (0, 8)),
        label_bands(far, nothing, everything, (0, 2), (-4, 8)),
    ]
    assert lift(sheets, (25, 40, 45))[:, 8, 25].tolist() == [0] * 9 + [1] + [0] * 2 + [1] * 9 + [0] * 4


def test_a_whole_scroll_is_filled_chunk_by_chunk_only_where_the_sheet_is(tmp_path):
    shape, corner = (14376, 7888, 8096), np.float32([5000, 3000, 6000])
    one = wrinkled()
    one.points[...] = np.rint(one.points * 64) / 64  # float32 keeps these that far out as well
    surface = replace(one, points=one.points + corner)
    array = create_ome_zarr(tmp_path / "label.zarr", shape, "u1", (64, 64, 64), 7.91)
    _, peak = with_peak_bytes(lambda: lift_into(array, [image_band(surface, full(surface), (-4, 5))]))
    truth = lift([image_band(one, full(one), (-4, 5))], (100, 100, 100))
    np.testing.assert_array_equal(array[5000:5100, 3000:3100, 6000:6100], truth)
    touched = {tuple(np.array(v) // 64) for v in np.argwhere(truth) + corner.astype(int)}
    stored = {
        tuple(map(int, file.parts[-3:]))
        for file in (tmp_path / "label.zarr/0").rglob("*")
        if file.name.isdigit() and file.is_file()
    }
    assert stored == touched
    assert peak < 16 * 2**20


def test_a_larger_sheet_costs_no_more_memory_than_its_grid():
    peaks = []
    for columns in (50, 400):
        surface = flat(rows=20, columns=columns, depth=30.0)
        sheet = [image_band(surface, full(surface), (-4, 5))]
        _, peak = with_peak_bytes(lambda sheet=sheet: deque(lifted_blocks(sheet, (64, 100, 1700), (64, 64, 64)), 0))
        peaks.append(peak)
    assert peaks[1] < peaks[0] + 2**17


def test_into_an_array_in_shards_each_is_written_once(tmp_path):
    sheet = [image_band(spiral(), full(spiral()), (-4, 5))]
    array = create_ome_zarr(
        tmp_path / "s.zarr", (100, 100, 100), "u1", (16,) * 3, 7.91, version="0.5", shards=(32,) * 3
    )
    lift_into(array, sheet)
    np.testing.assert_array_equal(array[...], lift(sheet, (100, 100, 100)))


@pytest.mark.parametrize("wrong", [np.zeros((3, 3), np.uint8), np.zeros((32, 36), bool)])
def test_a_picture_that_is_not_the_canvas_is_refused(wrong):
    with pytest.raises(InputError, match=r"expected \(32, 36\) uint8"):
        image_band(flat(), wrong, (0, 1))


def test_a_band_that_ends_before_it_begins_is_refused():
    with pytest.raises(InputError, match="ends before it begins"):
        image_band(flat(), full(flat()), (2, 2))


def test_a_sheet_without_a_valid_cell_paints_nothing():
    surface = flat()
    surface.valid[::2] = False
    assert not lift([image_band(surface, full(surface), (-3, 3))], (25, 40, 45)).any()
    array = zarr.create_array(zarr.storage.MemoryStore(), shape=(25, 40, 45), chunks=(8, 8, 8), dtype="u1")
    lift_into(array, [image_band(surface, full(surface), (-3, 3))])
    assert array.nchunks_initialized == 0


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 2]))
def test_pictures_lifted_together_are_those_lifted_one_by_one(seed, pixel_vox):
    rng = np.random.default_rng(seed)
    sheets = [
        flat(depth=10.0),
        flat(depth=12.0),
        wrinkled(),
        flat(depth=14.0),
    ]  # 10 and 14: as near to what lies between
    pictures = [rng.integers(0, 256, (3, *sheet.canvas_shape(pixel_vox)), dtype=np.uint8) for sheet in sheets]
    bands = np.sort(rng.uniform(-4, 4, (256, 2)).round(), axis=1) + np.array([0, 0.5])
    alone = [
        lift(
            [Painted(*sheet_and_image, bands, pixel_vox) for sheet_and_image in zip(sheets, of_one, strict=True)],
            (60, 50, 50),
        )
        for of_one in zip(*pictures, strict=True)
    ]
    together = lift([Painted(*one, bands, pixel_vox) for one in zip(sheets, pictures, strict=True)], (60, 50, 50))
    assert together.any() and np.array_equal(together, np.stack(alone))

"""Sampling along normals: exact where the answer is known, scipy's answer elsewhere, and no chunk read that is not needed."""

import itertools
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates
from zarr.storage import MemoryStore, WrapperStore

from scroll.errors import InputError
from scroll.surfaces import sample
from scroll.surfaces.sample import Offsets, Source, sample_along_normals
from scroll.surfaces.surface import Surface, Tile, normals_of
from scroll.volumes import open_volume
from scroll.volumes.binning import block_mean
from scroll.volumes.chunk_cache import CachedChunks, cached
from scroll.volumes.ome_zarr import create_ome_zarr
from tests.peak_memory import with_peak_bytes

compiling = settings(deadline=None)  # the first example of a kind is
TYPES = [np.uint8, np.uint16, np.int16, np.float16, np.float32, np.float64, np.dtype(">u2")]


def random_tile(rng, shape, size=(5, 6), reach=1.3):
    """Points in and around a volume, normals any way, a tenth invalid."""
    span = np.array(shape)
    points = (rng.random((*size, 3)) * reach - (reach - 1) / 2) * span
    normals = rng.normal(size=(*size, 3))
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    return Tile(points.astype(np.float32), normals.astype(np.float32), rng.random(size) > 0.1)


def places(tile, offsets, level=0, origin=(0, 0, 0)):
    """Where the samples lie in a source, (N, h, w, 3) float64, as the documentation says it."""
    depth = offsets.values.astype(np.float64)[:, None, None, None]
    return (tile.points.astype(np.float64) + depth * tile.normals + 0.5) / 2**level - 0.5 - np.array(origin)


def straight_tile(start, shape, axis=0):
    """A flat sheet on whole voxels with its normal along an axis."""
    rows, columns = np.indices(shape, dtype=np.float32)
    others = [a for a in range(3) if a != axis]
    points = np.empty((*shape, 3), np.float32)
    points[..., axis], points[..., others[0]], points[..., others[1]] = (
        start[axis],
        rows + start[others[0]],
        columns + start[others[1]],
    )
    normals = np.zeros_like(points)
    normals[..., axis] = 1
    return Tile(points, normals, np.ones(shape, bool))


def curved_surface(rows, columns, height=30.0, cell=4.0):
    """A wavy sheet, rows along y, columns along x."""
    y, x = np.meshgrid(np.arange(rows) * cell, np.arange(columns) * cell, indexing="ij")
    points = np.stack([height + 9 * np.sin(y / 23) + 7 * np.cos(x / 19), y + 3, x + 3], axis=-1).astype(np.float32)
    valid = np.ones((rows, columns), bool)
    return Surface(points, normals_of(points, valid), valid, (cell, cell), Path("curved"))


@compiling
@given(st.integers(0, 2**32 - 1), st.integers(0, 3), st.tuples(*[st.integers(-9, 9)] * 3))
def test_a_linear_volume_is_sampled_exactly_at_every_level(seed, level, origin):
    rng = np.random.default_rng(seed)
    slope, shape = rng.integers(-4, 5, 3) / 4, (9, 8, 7)
    centres = (np.stack(np.indices(shape), axis=-1) + origin + 0.5) * 2**level - 0.5  # in voxels of level 0
    source = Source((100 + centres @ slope).astype(np.float32), level, origin)
    foot = (np.array(shape) / 2 + origin) * 2**level
    points = (foot + rng.uniform(-3, 3, (4, 5, 3)) * 2**level).astype(np.float32)
    normals = np.broadcast_to(np.float32([0.48, -0.6, 0.64]), points.shape)
    tile, offsets = Tile(points, normals, np.ones((4, 5), bool)), Offsets(-1.5, 1.5, 0.5)
    truth = 100 + places(tile, offsets) @ slope
    got = sample_along_normals(tile, offsets, [source])[0]
    covered = ~np.isnan(got)
    assert covered.mean() > 0.5
    np.testing.assert_allclose(got[covered], truth[covered], atol=1e-4)


def test_a_pyramid_of_means_shows_the_same_ramp_at_every_level():
    z, y, x = np.indices((32, 32, 32), dtype=np.float32)
    volume, sources = z + 2 * y - 3 * x, []
    for level in range(4):
        sources.append(Source(volume, level))
        volume = block_mean(volume, (2, 2, 2))
    values = sample_along_normals(straight_tile((11, 10, 12), (6, 5)), Offsets(0, 6), sources)
    for level in (1, 2, 3):
        np.testing.assert_allclose(values[level], values[0], atol=1e-4)


@compiling
@given(st.integers(0, 2**32 - 1), st.sampled_from(TYPES), st.integers(0, 2))
def test_agrees_with_scipy_wherever_scipy_is_inside(seed, kind, level):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 20, 3))
    volume = (rng.random(shape) * 255).astype(kind)
    tile, offsets, origin = random_tile(rng, shape), Offsets(-4, 5, 0.75), tuple(int(v) for v in rng.integers(-2, 3, 3))
    at = places(tile, offsets, level, origin)
    inside = ((at >= 0) & (at <= np.array(shape) - 1)).all(axis=-1) & tile.valid
    truth = map_coordinates(volume.astype(np.float64), np.moveaxis(at, -1, 0), order=1, mode="nearest")
    got = sample_along_normals(tile, offsets, [Source(volume, level, origin)])[0]
    np.testing.assert_array_equal(np.isnan(got), ~inside)
    np.testing.assert_allclose(got[inside], truth[inside], atol=1e-3)


@compiling
@given(st.integers(0, 2**32 - 1), st.sampled_from(TYPES))
def test_order_0_gives_the_voxel_whose_centre_is_nearest(seed, kind):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 12, 3))
    volume = rng.permutation(np.prod(shape)).reshape(shape).astype(kind)
    tile, offsets = random_tile(rng, shape), Offsets(-2, 3)
    got = sample_along_normals(tile, offsets, [Source(volume)], order=0)[0]
    nearest = np.floor(places(tile, offsets) + 0.5).astype(int)
    for place in np.argwhere(~np.isnan(got)):
        assert got[tuple(place)] == np.float32(volume[tuple(nearest[tuple(place)])])


def test_halfway_between_two_voxels_order_0_takes_the_higher_index():
    volume = np.arange(4, dtype=np.uint8).reshape(4, 1, 1)
    got = sample_along_normals(straight_tile((0, 0, 0), (1, 1)), Offsets(0, 3.5, 0.5), [Source(volume)], order=0)
    assert got[0, :, 0, 0].tolist() == [0, 1, 1, 2, 2, 3, 3]


@pytest.mark.parametrize("order", [0, 1])
def test_from_the_first_voxels_centre_to_the_lasts_a_line_is_covered_and_beyond_it_is_not(order):
    volume = np.array([10, 20, 40], np.uint8).reshape(3, 1, 1)
    got = sample_along_normals(straight_tile((0, 0, 0), (1, 1)), Offsets(-0.5, 3, 0.5), [Source(volume)], order)
    expected = {0: [10, 20, 20, 40, 40], 1: [10, 15, 20, 30, 40]}[order]
    np.testing.assert_array_equal(got[0, :, 0, 0], [np.nan, *expected, np.nan])


def test_invalid_surface_is_nan_at_every_depth_in_every_source():
    tile = straight_tile((2, 2, 2), (4, 4))
    tile.valid[1, 2] = False
    got = sample_along_normals(tile, Offsets(-1, 2), [Source(np.ones((8, 8, 8), np.uint8))] * 2)
    assert np.isnan(got[:, :, 1, 2]).all()
    assert (np.delete(got.reshape(2, 3, 16), 6, axis=-1) == 1).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e30])
def test_points_that_are_no_places_are_not_covered(bad):
    tile = straight_tile((2, 2, 2), (2, 2))
    tile.points[0, 0, 1] = bad
    array = zarr.create_array(MemoryStore(), data=np.ones((8, 8, 8), np.uint8), chunks=(4, 4, 4))
    for volume in (np.ones((8, 8, 8), np.uint8), array):
        got = sample_along_normals(tile, Offsets(0, 1), [Source(volume)])[0, 0]
        np.testing.assert_array_equal(np.isnan(got), [[True, False], [False, False]])


def test_not_predicted_spreads_to_the_samples_it_weighs_in_and_no_further():
    volume = np.ones((5, 5, 5), np.float16)
    volume[2, 2, 2] = np.nan
    tile = straight_tile((2, 0, 0), (5, 5))
    on_voxels = sample_along_normals(tile, Offsets(0, 1), [Source(volume)])[0, 0]
    assert np.argwhere(np.isnan(on_voxels)).tolist() == [[2, 2]]
    between = Tile(tile.points + np.float32([0, 0.5, 0]), tile.normals, tile.valid)
    got = sample_along_normals(between, Offsets(0, 1), [Source(volume)])[0, 0]
    assert np.argwhere(np.isnan(got[:4])).tolist() == [[1, 2], [2, 2]]


@pytest.mark.parametrize("order", [0, 1])
def test_sources_sampled_together_are_as_sampled_alone(order):
    rng = np.random.default_rng(3)
    ct = rng.integers(0, 255, (20, 30, 25), dtype=np.uint8)
    probs = [rng.random((20, 30, 25)).astype(kind) for kind in (np.float16, np.float32)]
    chunked = zarr.create_array(MemoryStore(), data=probs[0], chunks=(7, 8, 9))
    coarse = rng.integers(0, 65535, (9, 9, 9), dtype=np.uint16)
    sources = [
        Source(ct),
        Source(probs[0]),
        Source(probs[1]),
        Source(chunked),
        Source(coarse, 1, (1, 2, 3)),
        Source(ct[::2], 0, (4, 0, 0)),
    ]
    tile, offsets = random_tile(rng, ct.shape, (9, 8)), Offsets(-5, 5, 0.5)
    together = sample_along_normals(tile, offsets, sources, order)
    assert together.shape == (6, 20, 9, 8)
    for got, source in zip(together, sources, strict=True):
        np.testing.assert_array_equal(got, sample_along_normals(tile, offsets, [source], order)[0])
    np.testing.assert_array_equal(together[1], together[3])


@given(st.integers(9, 70), st.integers(13, 90), st.integers(0, 1))
@settings(max_examples=15, deadline=None)
def test_tiles_agree_with_the_whole_to_the_last_bit(height, width, order):
    volume = np.random.default_rng(0).integers(0, 255, (60, 150, 170), dtype=np.uint8)
    surface, offsets = curved_surface(36, 40), Offsets(-8, 9)
    whole = sample_along_normals(surface.tile(slice(None), slice(None)), offsets, [Source(volume)], order)
    for row, column in itertools.product(range(0, whole.shape[2], height), range(0, whole.shape[3], width)):
        box = slice(row, row + height), slice(column, column + width)
        piece = sample_along_normals(surface.tile(*box), offsets, [Source(volume)], order)
        np.testing.assert_array_equal(piece, whole[(..., *box)])


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_an_array_may_lie_in_memory_any_way(kind):
    rng = np.random.default_rng(4)
    volume = (rng.random((13, 12, 11)) * 200).astype(kind)
    spread = np.zeros((26, 24, 22), kind)
    spread[::2, ::2, ::2] = volume
    tile, offsets = random_tile(rng, volume.shape, (8, 9)), Offsets(-3, 4, 0.5)
    truth = sample_along_normals(tile, offsets, [Source(volume)])
    ways = [
        spread[::2, ::2, ::2],
        np.asfortranarray(volume),
        volume[::-1].copy()[::-1],
        volume.astype(np.dtype(kind).newbyteorder(">")),
    ]
    for way in ways:
        np.testing.assert_array_equal(sample_along_normals(tile, offsets, [Source(way)]), truth)


def test_a_mapped_file_is_sampled_where_it_lies(tmp_path):
    volume = np.random.default_rng(5).integers(0, 65535, (30, 40, 50), dtype=np.uint16)
    np.save(tmp_path / "s.npy", volume)
    tile, offsets = random_tile(np.random.default_rng(6), volume.shape, (20, 20)), Offsets(-5, 6)
    opened = open_volume(tmp_path / "s.npy", voxel_um=1.0)
    truth = sample_along_normals(tile, offsets, [Source(volume)])
    got, peak = with_peak_bytes(lambda: sample_along_normals(tile, offsets, [Source(opened)]))
    np.testing.assert_array_equal(got, truth)
    assert peak < volume.nbytes + got.nbytes


class CountingStore(WrapperStore):
    """A store that remembers which chunks were asked of it."""

    def __init__(self, store):
        super().__init__(store)
        self.asked = Counter()

    async def get(self, key, *args, **kwargs):
        if ".z" not in key:
            self.asked[tuple(map(int, key.split(".")))] += 1
        return await super().get(key, *args, **kwargs)


def oracle_chunks(at, inside, chunks, order):
    """Chunks with a voxel that weighs in a sample: both sides of a place that is not whole, itself of one that is."""
    at = at[inside]
    sides = [np.floor(at + 0.5)] * 2 if order == 0 else [np.floor(at), np.ceil(at)]
    found = set()
    for pick in itertools.product((0, 1), repeat=3):
        voxels = np.stack([sides[side][:, axis] for axis, side in enumerate(pick)], axis=-1)
        found |= set(map(tuple, np.unique(voxels // np.array(chunks), axis=0).astype(int).tolist()))
    return found


@pytest.mark.slow
@given(st.integers(0, 2**32 - 1), st.integers(0, 1), st.booleans())
@settings(max_examples=60, deadline=None)
def test_exactly_the_touched_chunks_are_read_and_each_once(seed, order, is_whole):
    rng = np.random.default_rng(seed)
    shape, chunks = tuple(rng.integers(1, 40, 3)), tuple(int(v) for v in rng.integers(1, 12, 3))
    volume = rng.integers(0, 255, shape, dtype=np.uint8)
    store = CountingStore(MemoryStore())
    array = zarr.create_array(store, data=volume, chunks=chunks, zarr_format=2)
    store.asked.clear()
    tile, offsets = random_tile(rng, shape, (3, 4)), Offsets(-5, 6, 0.5)
    if is_whole:
        tile = Tile(np.rint(tile.points), np.eye(3, dtype=np.float32)[rng.integers(0, 3, (3, 4))], tile.valid)
    got = sample_along_normals(tile, offsets, [Source(array)], order)[0]
    assert set(store.asked) == oracle_chunks(places(tile, offsets), ~np.isnan(got), chunks, order)
    assert set(store.asked.values()) <= {1}
    np.testing.assert_array_equal(got, sample_along_normals(tile, offsets, [Source(volume)], order)[0])


def test_neighbouring_tiles_and_other_sources_find_the_chunks_in_the_cache():
    volume = np.random.default_rng(8).integers(0, 255, (60, 150, 170), dtype=np.uint8)
    store = CountingStore(MemoryStore())
    array = zarr.create_array(store, data=volume, chunks=(16, 16, 16), zarr_format=2)
    store.asked.clear()
    source, surface, offsets = Source(CachedChunks(array)), curved_surface(18, 20), Offsets(-8, 9)
    for row in range(0, 72, 30):
        sample_along_normals(surface.tile(slice(row, row + 30), slice(None)), offsets, [source])
    tile = surface.tile(slice(None), slice(None))
    at = places(tile, offsets)
    inside = ((at >= 0) & (at <= np.array(volume.shape) - 1)).all(axis=-1) & tile.valid
    assert set(store.asked) == oracle_chunks(at, inside, (16, 16, 16), 1)
    assert set(store.asked.values()) == {1}
    assert len(store.asked) < array.nchunks * 0.8


@pytest.mark.parametrize("order", [0, 1])
def test_a_tile_that_spans_too_much_is_cut_and_comes_out_the_same(monkeypatch, order):
    rng = np.random.default_rng(9)
    volume = rng.random((30, 40, 50)).astype(np.float32)
    array = zarr.create_array(MemoryStore(), data=volume, chunks=(8, 8, 8))
    tile, offsets = random_tile(rng, volume.shape, (7, 9)), Offsets(-20, 21, 0.5)
    whole = sample_along_normals(tile, offsets, [Source(array)] * 2, order)
    monkeypatch.setattr(sample, "BOX_BYTES", 500)
    np.testing.assert_array_equal(sample_along_normals(tile, offsets, [Source(array)] * 2, order), whole)


def sample_tile_by_tile(surface, path):
    """Nothing is kept but a small cache."""
    volume = cached(open_volume(path), limit_bytes=2**20)
    offsets, (height, width) = Offsets(-8, 9), surface.canvas_shape()
    for row, column in itertools.product(range(0, height, 64), range(0, width, 64)):
        tile = surface.tile(slice(row, row + 64), slice(column, column + 64))
        sample_along_normals(tile, offsets, [Source(volume)])


def test_a_larger_surface_costs_no_more_memory(tmp_path):
    create_ome_zarr(tmp_path / "s.zarr", (64, 144, 2000), "u1", (32, 32, 32), 7.91)[:, :, 1000:1040] = 7
    peaks = {}
    for columns in (120, 490):
        surface = curved_surface(36, columns)
        _, peaks[columns] = with_peak_bytes(partial(sample_tile_by_tile, surface, tmp_path / "s.zarr"))
    assert peaks[490] < peaks[120] + 2**20  # chunks on their way; all its samples are 19 MiB


def test_an_empty_tile_and_no_sources_give_empty_answers():
    tile = straight_tile((0, 0, 0), (0, 5))
    assert sample_along_normals(tile, Offsets(0, 3), [Source(np.ones((3, 3, 3), np.uint8))]).shape == (1, 3, 0, 5)
    assert sample_along_normals(straight_tile((0, 0, 0), (2, 2)), Offsets(0, 3), []).shape == (0, 3, 2, 2)


def test_a_tile_wholly_outside_reads_nothing():
    store = CountingStore(MemoryStore())
    array = zarr.create_array(store, data=np.ones((8, 8, 8), np.uint8), chunks=(4, 4, 4), zarr_format=2)
    store.asked.clear()
    assert np.isnan(sample_along_normals(straight_tile((20, 0, 0), (4, 4)), Offsets(-5, 6), [Source(array)])).all()
    assert not store.asked


@pytest.mark.parametrize(
    ("start", "stop", "step", "values"),
    [
        (-1, 2, 1, [-1, 0, 1]),
        (0, 1, 0.4, [0, 0.4, 0.8]),
        (0, 0.6, 0.2, [0, 0.2, 0.4]),
        (0, 0.3, 0.1, [0, 0.1, 0.2]),
        (0, 1, 5, [0]),
    ],
)
def test_offsets_stop_before_the_stop(start, stop, step, values):
    np.testing.assert_allclose(Offsets(start, stop, step).values, values, atol=1e-6)


@pytest.mark.parametrize(
    "wrong", [(0, 0, 1), (3, 1, 1), (0, 1, 0), (0, 1, -1), (0, float("inf"), 1), (float("nan"), 1, 1)]
)
def test_offsets_that_are_none_are_refused_with_their_numbers(wrong):
    with pytest.raises(InputError, match=f"from {wrong[0]} to {wrong[1]} in steps of {wrong[2]}"):
        Offsets(*wrong)

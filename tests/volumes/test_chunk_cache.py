"""A cache of chunks: the same voxels as without it, each chunk fetched once, never more bytes kept than allowed."""

import itertools
import multiprocessing
import pickle
import threading
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from zarr.storage import MemoryStore, WrapperStore

from scroll.volumes import open_volume
from scroll.volumes.chunk_cache import CachedChunks, boxes_of, cached, is_chunked
from scroll.volumes.npy import open as open_npy
from scroll.volumes.ome_zarr import create_ome_zarr
from scroll.volumes.volume import Volume

SHAPE, CHUNKS = (9, 14, 11), (4, 5, 3)
VOXELS = np.random.default_rng(0).integers(0, 65536, SHAPE, dtype=np.uint16)


class CountingStore(WrapperStore):
    """A store that remembers which keys of chunks were asked of it."""

    def __init__(self, store):
        super().__init__(store)
        self.asked = Counter()

    async def get(self, key, *args, **kwargs):
        if "zarr" not in key and ".z" not in key:
            self.asked[key] += 1
        return await super().get(key, *args, **kwargs)


def counted_array(voxels, chunks):
    store = CountingStore(MemoryStore())
    array = zarr.create_array(store, data=voxels, chunks=chunks, zarr_format=2)
    store.asked.clear()
    return array, store.asked


def slices(length):
    """A slice inside an axis, with any positive step."""
    ends = st.tuples(st.integers(0, length), st.integers(0, length))
    return st.builds(lambda pair, step: slice(min(pair), max(pair), step), ends, st.integers(1, 4))


@given(st.tuples(*map(slices, SHAPE)))
def test_any_box_is_what_the_array_itself_gives(box):
    array = CachedChunks(counted_array(VOXELS, CHUNKS)[0])
    np.testing.assert_array_equal(array[box], VOXELS[box])
    np.testing.assert_array_equal(Volume(array, Path("s"))[box], VOXELS[box])


def test_each_chunk_is_fetched_once_however_often_it_is_read():
    array, asked = counted_array(VOXELS, CHUNKS)
    chunks = CachedChunks(array)
    for _ in range(3):
        chunks[0:9, 0:5, 2:4]
    assert asked == {f"{z}.0.{x}": 1 for z in range(3) for x in range(2)}
    np.testing.assert_array_equal(chunks.chunk((2, 2, 3)), VOXELS[8:, 10:, 9:])


def test_no_more_bytes_are_kept_than_allowed_and_the_one_used_longest_ago_goes_first():
    array, asked = counted_array(VOXELS, CHUNKS)
    chunks = CachedChunks(array, limit_bytes=2 * 4 * 5 * 3 * 2)  # two chunks of uint16
    for x in (0, 1, 0, 2, 0, 1):
        chunks.chunk((0, 0, x))
    assert asked == {"0.0.0": 1, "0.0.1": 2, "0.0.2": 1}


def test_a_chunk_larger_than_the_bound_is_read_all_the_same():
    chunks = CachedChunks(counted_array(VOXELS, CHUNKS)[0], limit_bytes=1)
    np.testing.assert_array_equal(chunks[:, :, :], VOXELS)


def test_nobody_can_write_into_the_cache():
    chunks = CachedChunks(counted_array(VOXELS, CHUNKS)[0])
    with pytest.raises(ValueError, match="read-only"):
        chunks.chunk((0, 0, 0))[0, 0, 0] = 1
    box = Volume(chunks, Path("s"))[0:2, 0:2, 0:2]
    box[...] = 0
    np.testing.assert_array_equal(chunks[0:2, 0:2, 0:2], VOXELS[0:2, 0:2, 0:2])


def test_a_fetch_that_failed_is_tried_again():
    class Flaky:
        shape, dtype, chunks = SHAPE, VOXELS.dtype, CHUNKS
        is_down = True

        def __getitem__(self, box):
            if self.is_down:
                raise OSError("no network")
            return VOXELS[box]

    array = Flaky()
    chunks = CachedChunks(array)
    for ask in (lambda: chunks.chunk((0, 0, 0)), lambda: chunks[:, :, :]):
        with pytest.raises(OSError, match="no network"):
            ask()
    array.is_down = False
    np.testing.assert_array_equal(chunks[:, :, :], VOXELS)


def test_another_process_gets_the_array_and_the_bound_but_no_voxels(tmp_path):
    create_ome_zarr(tmp_path / "s.zarr", SHAPE, "u2", CHUNKS, 7.91)[...] = VOXELS
    volume = cached(open_volume(tmp_path / "s.zarr"), limit_bytes=12345)
    np.testing.assert_array_equal(volume[...], VOXELS)
    sent = pickle.dumps(volume)
    assert len(sent) < VOXELS.nbytes
    there = pickle.loads(sent)
    np.testing.assert_array_equal(there[...], VOXELS)
    assert there.array._kept.limit == 12345


def test_only_what_is_stored_in_chunks_gets_a_cache(tmp_path):
    np.save(tmp_path / "s.npy", VOXELS)
    mapped, memory = open_npy(tmp_path / "s.npy", 1.0), Volume(VOXELS, Path("s"))
    assert cached(mapped) is mapped
    assert cached(memory) is memory
    once = cached(Volume(counted_array(VOXELS, CHUNKS)[0], Path("s"), 7.91))
    assert isinstance(once.array, CachedChunks)
    assert once.voxel_um == 7.91
    assert cached(once) is once
    with pytest.raises(ValueError, match="chunks along z, y, x"):
        CachedChunks(VOXELS)
    assert not is_chunked(zarr.create_array(MemoryStore(), shape=(4, 4), chunks=(2, 2), dtype="u1"))


def test_shards_are_read_by_the_chunks_inside_them(tmp_path):
    array = create_ome_zarr(tmp_path / "s.zarr", (8, 8, 8), "u2", (2, 2, 2), 1.0, version="0.5", shards=(4, 4, 4))
    array[...] = VOXELS[:8, :8, :8]
    chunks = CachedChunks(array)
    assert chunks.chunks == (2, 2, 2)
    np.testing.assert_array_equal(chunks[1:7, 0:8, 3:4], VOXELS[1:7, 0:8, 3:4])


indices = st.tuples(*[st.integers(0, 4)] * 3)


@given(st.sets(indices, max_size=60))
def test_boxes_of_chunks_hold_each_once_and_are_as_few_as_one_where_they_fill_one(asked):
    boxes = list(boxes_of(asked))
    held = [index for box in boxes for index in itertools.product(*box)]
    assert sorted(held) == sorted(asked)
    if asked and len(asked) == np.prod([len({index[axis] for index in asked}) for axis in range(3)]):
        spans = [sorted({index[axis] for index in asked}) for axis in range(3)]
        runs = [1 + sum(b - a > 1 for a, b in itertools.pairwise(span)) for span in spans]
        assert len(boxes) == np.prod(runs)


class Noted:
    """An array that remembers which boxes were asked of it."""

    shape, dtype, chunks = SHAPE, VOXELS.dtype, (2, 2, 2)

    def __init__(self):
        self.asked = []

    def __getitem__(self, box):
        self.asked.append(box)
        return VOXELS[box]


def test_chunks_that_are_missing_together_come_in_one_call():
    array = Noted()
    chunks = CachedChunks(array)
    np.testing.assert_array_equal(chunks[1:5, 3:7, 0:2], VOXELS[1:5, 3:7, 0:2])
    assert array.asked == [(slice(0, 6), slice(2, 8), slice(0, 2))]
    np.testing.assert_array_equal(chunks[0:4, 2:8, 0:4], VOXELS[0:4, 2:8, 0:4])  # half of it is there
    assert array.asked[1:] == [(slice(0, 4), slice(2, 8), slice(2, 4))]
    for kept in chunks._kept._values.values():
        assert kept.base is None and kept.flags.c_contiguous  # none holds on to what came with it


@given(st.lists(indices.map(lambda index: tuple(min(i, 3) for i in index)), max_size=50, unique=True), st.data())
def test_chunks_come_in_the_order_they_are_asked_for_whatever_is_there(asked, data):
    chunks = CachedChunks(Noted())
    for index in data.draw(st.lists(st.sampled_from(asked), max_size=9)) if asked else []:
        chunks.chunk(index)
    found = list(chunks.fetch(asked))
    assert [index for index, _ in found] == asked
    for index, voxels in found:
        np.testing.assert_array_equal(voxels, VOXELS[tuple(slice(2 * i, 2 * i + 2) for i in index)])


class Through:
    """A chunked array that reads another one, as a pooled volume does."""

    def __init__(self, array, chunks):
        self.array, self.chunks, self.shape, self.dtype = array, chunks, array.shape, array.dtype

    def __getitem__(self, box):
        return self.array[box]


def test_caches_over_caches_never_wait_for_each_other():
    """More boxes at once than there are threads, and in each of them again."""
    array = CachedChunks(zarr.create_array(MemoryStore(), data=VOXELS, chunks=(2, 2, 2)), limit_bytes=1)
    for chunks in ((3, 3, 3), (4, 3, 4), (3, 5, 3)):
        array = CachedChunks(Through(array, chunks), limit_bytes=1)
    apart = list(itertools.product(range(0, 3, 2), range(3), range(0, 4, 2)))
    found = []
    reading = threading.Thread(target=lambda: found.extend(array.fetch(apart)), daemon=True)
    reading.start()
    reading.join(60)
    assert not reading.is_alive() and [index for index, _ in found] == apart
    for index, voxels in found:
        box = tuple(slice(i * c, i * c + c) for i, c in zip(index, array.chunks, strict=True))
        np.testing.assert_array_equal(voxels, VOXELS[box])


def test_a_forked_process_has_fetchers_of_its_own():
    chunks = CachedChunks(Noted(), limit_bytes=1)
    corners = [(0, 0, 0), (1, 1, 1), (2, 2, 2)]
    before = [voxels.tolist() for _, voxels in chunks.fetch(corners)]
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=lambda: theirs.send([voxels.tolist() for _, voxels in chunks.fetch(corners)]))
    process.start()
    assert ours.poll(30) and ours.recv() == before
    process.join(30)
    assert process.exitcode == 0

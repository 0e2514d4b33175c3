"""Outputs in shards: any order, any number of writers, nothing half there, damage named, others can read them."""

import asyncio
import itertools
import json
import multiprocessing
import pickle
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from zarr.storage import LocalStore

from scroll.errors import InputError, MissingInputError, UnreadableError
from scroll.volumes import ome_zarr, open_volume
from scroll.volumes.binning import block_mean
from scroll.volumes.sharded.output import OutputFormat, create_output, open_output

RNG = np.random.default_rng(0)
SMALL = OutputFormat((40, 36, 20), shard_vox=16, chunk_vox=8, voxel_um=7.91, levels=3)


def corners_at(how, level):
    return list(itertools.product(*(range(0, n, how.shard_vox) for n in how.shape_at(level))))


def voxels_of(how):
    return RNG.integers(0, 256, how.shape, dtype=np.uint8)


def write_all(output, voxels, order=1):
    for corner in corners_at(output.how, 0)[::order]:
        output.write(corner, voxels[output.how.shard_at(0, corner)])
    for level in range(1, output.how.levels):
        for corner in corners_at(output.how, level)[::order]:
            output.write_coarser(level, corner)


@settings(max_examples=8, deadline=None)
@given(
    shape=st.tuples(*[st.integers(1, 24)] * 3),
    chunks=st.integers(1, 3),
    chunk=st.integers(3, 9),
    version=st.sampled_from(["0.5", "0.4"]),
    order=st.sampled_from([1, -1]),
)
def test_shards_in_any_order_are_the_volume_and_its_pyramid(tmp_path_factory, shape, chunks, chunk, version, order):
    path = tmp_path_factory.mktemp("any") / "prob.zarr"
    how = OutputFormat(shape, chunks * chunk, chunk, 2.4, version, levels=3)
    voxels = voxels_of(how)
    write_all(create_output(path, how, "key"), voxels, order)
    np.testing.assert_array_equal(open_output(path).read((0, 0, 0), shape), voxels)
    for level in range(3):
        volume = ome_zarr.open(path, level=level)
        assert volume.voxel_um == pytest.approx(2.4 * 2**level)
        np.testing.assert_array_equal(volume[...], voxels)
        voxels = block_mean(voxels, (2, 2, 2))


def test_a_pyramid_written_in_shards_is_that_written_at_once(tmp_path):
    voxels = voxels_of(SMALL)
    write_all(create_output(tmp_path / "shards.zarr", SMALL, "key"), voxels)
    options = {"version": "0.5", "shards": [16] * 3}
    ome_zarr.create_ome_zarr(tmp_path / "once.zarr", SMALL.shape, "u1", [8] * 3, 7.91, **options)[...] = voxels
    ome_zarr.write_pyramid(tmp_path / "once.zarr", 3)
    for level in range(3):
        names = [ome_zarr.open(tmp_path / name, level=level)[...] for name in ("shards.zarr", "once.zarr")]
        np.testing.assert_array_equal(*names)
    about = [
        json.loads((tmp_path / name / "zarr.json").read_text())["attributes"] for name in ("shards.zarr", "once.zarr")
    ]
    for attributes, name in zip(about, ("shards", "once"), strict=True):
        (entry,) = attributes["ome"]["multiscales"]
        assert entry.pop("name") == name
    assert about[0]["ome"] == about[1]["ome"]


def test_a_shard_is_one_file_and_a_block_of_version_0_4_is_whole_chunk_files(tmp_path):
    for version, files in (
        ("0.5", {"c/1/0/0"}),
        ("0.4", {"2/0/0", "2/0/1", "2/1/0", "2/1/1", "3/0/0", "3/0/1", "3/1/0", "3/1/1"}),
    ):
        how = OutputFormat((40, 36, 20), 16, 8, 7.91, version)
        output = create_output(tmp_path / version, how, "key")
        output.write((16, 0, 0), np.full((16, 16, 16), 9, np.uint8))
        level = tmp_path / version / "0"
        found = {file.relative_to(level).as_posix() for file in level.rglob("*") if file.is_file()}
        assert found - {"zarr.json", ".zarray", ".zattrs"} == files
    about = json.loads((tmp_path / "0.4/0/.zarray").read_text())
    assert (about["zarr_format"], about["dimension_separator"], about["dtype"]) == (2, "/", "|u1")
    assert (about["compressor"]["id"], about["filters"]) == ("blosc", None)


@pytest.mark.parametrize("version", ["0.5", "0.4"])
def test_what_is_all_0_takes_no_space_even_where_something_was(tmp_path, version):
    how = OutputFormat((16, 16, 16), 8, 4, 7.91, version)
    output = create_output(tmp_path / "p.zarr", how, "key")
    before = {file for file in tmp_path.rglob("*") if file.is_file()}
    output.write((8, 0, 8), np.full((8, 8, 8), 3, np.uint8))
    assert {file for file in tmp_path.rglob("*") if file.is_file()} > before
    output.write((8, 0, 8), np.zeros((8, 8, 8), np.uint8))
    assert {file for file in tmp_path.rglob("*") if file.is_file()} == before
    assert not output.read((0, 0, 0), (16, 16, 16)).any()


@pytest.mark.parametrize(
    ("corner", "shape", "dtype"),
    [
        ((0, 0, 0), (8, 16, 16), "u1"),  # half a shard
        ((0, 0, 0), (8, 8, 8), "u1"),  # a chunk
        ((0, 0, 0), (32, 16, 16), "u1"),  # two shards
        ((8, 0, 0), (16, 16, 16), "u1"),  # between two shards
        ((32, 0, 0), (16, 16, 16), "u1"),  # hangs over the end
        ((32, 0, 16), (8, 16, 5), "u1"),
        ((48, 0, 0), (16, 16, 16), "u1"),  # beyond the end
        ((-16, 0, 0), (16, 16, 16), "u1"),
        ((0, 0, 0), (16, 16, 16), "f4"),
        ((0, 0), (16, 16), "u1"),
    ],
)
def test_what_is_not_exactly_one_shard_is_refused_and_nothing_is_stored(tmp_path, corner, shape, dtype):
    output = create_output(tmp_path / "p.zarr", SMALL, "key")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ValueError):
        output.write(corner, np.ones(shape, dtype))
    assert sorted(tmp_path.rglob("*")) == before
    output.write((32, 0, 16), np.ones((8, 16, 4), np.uint8))  # what is left of a shard at the end is one


@pytest.mark.parametrize(("level", "corner"), [(0, (0, 0, 0)), (3, (0, 0, 0)), (1, (8, 0, 0)), (1, (32, 0, 0))])
def test_levels_and_corners_that_are_not_there_are_refused(tmp_path, level, corner):
    output = create_output(tmp_path / "p.zarr", SMALL, "key")
    with pytest.raises(ValueError):
        output.write_coarser(level, corner)
    with pytest.raises(ValueError):
        output.read((32, 0, 0), (16, 1, 1))


@pytest.mark.parametrize(
    "wrong", [{"shard_vox": 12}, {"shard_vox": 0}, {"chunk_vox": 0}, {"levels": 0}, {"shape": (4, 0, 4)}]
)
def test_formats_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError, match="multiple of chunks"):
        OutputFormat(**{"shape": (4, 4, 4), "shard_vox": 16, "chunk_vox": 8, "voxel_um": 7.91, **wrong})


class WaitsForTheOther(LocalStore):
    """Stores nothing before two writers want to."""

    both = asyncio.Barrier(2)

    async def set(self, key, value):
        await self.both.wait()
        await super().set(key, value)


def test_zarr_loses_what_one_of_two_writers_put_into_a_shard_and_says_nothing(tmp_path):
    """Why a shard is written whole, by one: each of them merges its half into what it had read before the other stored."""
    zarr.create_array(tmp_path, shape=(16, 8, 8), chunks=(8, 8, 8), shards=(16, 8, 8), dtype="u1", fill_value=0)

    def write(first):
        zarr.open_array(WaitsForTheOther(tmp_path), mode="r+")[first : first + 8] = 7

    with ThreadPoolExecutor(2) as writers:
        assert list(writers.map(write, (0, 8))) == [None, None]  # both believe that all went well
    found = zarr.open_array(tmp_path)[...]
    assert sorted([found[:8].min(), found[8:].min()]) == [0, 7]


def write_for_ever(path, corner, fillings):
    output = open_output(path)
    while True:
        for filling in fillings:
            output.write(corner, np.full((16, 16, 16), filling, np.uint8) | NOISE)


NOISE = np.random.default_rng(1).integers(0, 2, (16, 16, 16), dtype=np.uint8)


def test_neither_a_reader_meanwhile_nor_one_after_a_kill_sees_half_a_shard(tmp_path):
    output = create_output(tmp_path / "p.zarr", SMALL, "key")
    context = multiprocessing.get_context("spawn")
    corners = [(0, 0, 0), (0, 16, 0)]
    writers = [context.Process(target=write_for_ever, args=(output.path, corner, (2, 4, 8))) for corner in corners]
    seen = {corner: set() for corner in corners}
    for writer in writers:
        writer.start()
    try:
        last_call = time.monotonic() + 60
        while not all(found >= {2, 4, 8} for found in seen.values()) and time.monotonic() < last_call:
            for corner, found in seen.items():
                found.add(one_filling(output, corner))
    finally:
        for writer in writers:
            writer.kill()
            writer.join()
    assert all(found >= {2, 4, 8} for found in seen.values())
    assert {one_filling(output, corner) for corner in corners} <= {2, 4, 8}
    assert not list((tmp_path / "p.zarr/0/c").rglob("*.partial"))
    output.write((0, 0, 0), np.ones((16, 16, 16), np.uint8))  # clears up what the killed had begun
    assert not list((tmp_path / "p.zarr/0/c/0/0").glob(".0.*"))


def one_filling(output, corner):
    found = output.read(corner, (16, 16, 16))
    if not found.any():
        return None
    (filling,) = np.unique(found & 254)
    np.testing.assert_array_equal(found, filling | NOISE)
    return int(filling)


@pytest.mark.parametrize(
    "damage", ["cut", "cut by a byte", "empty", "zeros", "one bit of a chunk", "one bit of the index"]
)
def test_a_damaged_shard_is_named_never_read_and_can_be_written_again(tmp_path, damage):
    output = create_output(tmp_path / "p.zarr", SMALL, "key")
    voxels = voxels_of(SMALL)
    write_all(output, voxels)
    file = tmp_path / "p.zarr/0/c/1/2/1"  # at the end along y and x
    content = bytearray(file.read_bytes())
    if damage.startswith("one bit"):
        content[20 if "chunk" in damage else -20] ^= 4
    damaged = {"cut": content[:100], "cut by a byte": content[:-1], "empty": b"", "zeros": bytes(len(content))}
    file.write_bytes(damaged.get(damage, content))
    for corner, size in (((0, 0, 0), SMALL.shape), ((16, 32, 16), (16, 4, 4)), ((17, 33, 17), (1, 1, 1))):
        with pytest.raises(UnreadableError, match=r"p\.zarr/0/c/1/2/1: (empty|the chunk at voxel \(16, 32, 16\))"):
            output.read(corner, size)
    with pytest.raises(UnreadableError):
        output.write_coarser(1, (0, 16, 0))
    with pytest.raises(UnreadableError, match=r"p\.zarr"):
        open_volume(tmp_path / "p.zarr")[...]
    np.testing.assert_array_equal(output.read((0, 0, 0), (16, 36, 20)), voxels[:16])
    output.write((16, 32, 16), voxels[16:32, 32:, 16:])
    np.testing.assert_array_equal(output.read((0, 0, 0), SMALL.shape), voxels)


def test_a_damaged_chunk_inside_a_shard_is_named_by_its_place(tmp_path):
    output = create_output(tmp_path / "p.zarr", SMALL, "key")
    write_all(output, voxels_of(SMALL))
    file = tmp_path / "p.zarr/0/c/0/0/0"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    readable = 0
    for corner in np.ndindex(2, 2, 2):
        try:
            output.read(tuple(8 * c for c in corner), (8, 8, 8))
            readable += 1
        except UnreadableError as error:
            assert f"the chunk at voxel {tuple(8 * c for c in corner)}" in str(error)
    assert readable == 7


def test_whoever_comes_first_makes_the_output_and_all_others_find_it(tmp_path):
    start = threading.Barrier(6)

    def create(number):
        start.wait()
        output = create_output(tmp_path / "p.zarr", SMALL, "key")
        corner = corners_at(SMALL, 0)[number]
        output.write(corner, np.full([part.stop - part.start for part in SMALL.shard_at(0, corner)], 5, np.uint8))
        return output

    with ThreadPoolExecutor(6) as pool:
        assert len({(output.key, output.how) for output in pool.map(create, range(6))}) == 1
    assert (open_volume(tmp_path / "p.zarr")[:16] == 5).all()
    assert [file.name for file in tmp_path.iterdir()] == ["p.zarr"]


def test_an_output_of_another_prediction_is_refused(tmp_path):
    create_output(tmp_path / "p.zarr", SMALL, "key").write((0, 0, 0), np.ones((16, 16, 16), np.uint8))
    other = OutputFormat((40, 36, 20), 8, 8, 7.91, levels=3)
    for how, key in ((SMALL, "another"), (other, "key")):
        with pytest.raises(InputError, match="holds another prediction"):
            create_output(tmp_path / "p.zarr", how, key)
    ome_zarr.create_ome_zarr(tmp_path / "s.zarr", (4, 4, 4), "u1", (4, 4, 4), 7.91)
    with pytest.raises(InputError, match="was not made to be written in shards"):
        create_output(tmp_path / "s.zarr", SMALL, "key")
    with pytest.raises(MissingInputError):
        open_output(tmp_path / "t.zarr")
    with pytest.raises(InputError, match="a web server takes no files"):
        create_output("https://host.invalid/p.zarr", SMALL, "key")
    assert open_output(tmp_path / "p.zarr").read((0, 0, 0), (1, 1, 1)) == 1


def test_it_travels_as_its_path(tmp_path):
    output = create_output(tmp_path / "p.zarr", SMALL, "key")
    travelled = pickle.loads(pickle.dumps(output))
    assert travelled == output == open_output(tmp_path / "p.zarr")
    assert len(pickle.dumps(output)) < 1000

"""Volumes on a server: the same voxels as on disk, asked for once, and never without need."""

import json
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import zarr
from remote_scans import HASTY, KINDS, SHAPE, VOXELS, at, hasty, name_of
from zarr.abc.store import OffsetByteRequest, RangeByteRequest, SuffixByteRequest
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync
from zarr.storage import LocalStore

from scroll.errors import InputError, MissingInputError
from scroll.volumes import is_volume, ome_zarr, open_volume
from scroll.volumes.remote import RemoteStore, state
from scroll.volumes.url import Url
from scroll.volumes.working_copy import working_copy

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("scheme", ["http", "s3"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_server_gives_the_voxels_that_lie_on_its_disk(server, bucket, kind, scheme):
    for level in (0, 1):
        there = ome_zarr.open(at(server, kind, scheme), level=level)
        here = ome_zarr.open(bucket / name_of(kind), level=level)
        assert (there.shape, there.dtype, there.voxel_um) == (here.shape, here.dtype, here.voxel_um)
        assert there.voxel_um == 7.91 * 2**level
        np.testing.assert_array_equal(there[...], here[...])
        np.testing.assert_array_equal(there[3:9, -5:, ::3], here[3:9, -5:, ::3])


def test_a_plain_array_and_one_level_of_a_pyramid_have_addresses_too(server, recwarn):
    for address in (f"{server.address}/scans/plain-7.91um/", "s3://scans/plain-7.91um", at(server) + "/0"):
        volume = open_volume(address)
        assert volume.path == address.rstrip("/")
        np.testing.assert_array_equal(volume[...], VOXELS)
    with pytest.raises(MissingInputError, match="expected level 1"):
        ome_zarr.open(f"{server.address}/scans/plain-7.91um", level=1)


def test_the_path_of_a_level_opens_that_level(server, recwarn):
    volume = ome_zarr.open(at(server), level=1)
    np.testing.assert_array_equal(open_volume(volume.path)[...], volume[...])


def test_levels_without_multiscales_are_found_by_their_numbers(own_server, tmp_path):
    group = zarr.create_group(tmp_path / "s_8um.zarr", zarr_format=2)
    for level in (0, 1):
        group.create_array(str(level), shape=[8 // 2**level] * 3, dtype="u1")
    address = f"{own_server.address}/s_8um.zarr"
    assert ome_zarr.open(address, level=1).voxel_um == 16.0
    with pytest.raises(MissingInputError, match=r"arrays in it: 0, 1; expected level 2"):
        ome_zarr.open(address, level=2)


def test_an_address_that_went_through_a_path_is_still_one(server):
    np.testing.assert_array_equal(open_volume(Path(at(server)))[...], VOXELS)
    assert isinstance(open_volume(Path(at(server))).path, Url)


def test_a_missing_chunk_is_the_fill_value_and_asked_for_once(own_server, tmp_path):
    for number, options in enumerate(KINDS.values()):
        path = tmp_path / f"{number}_8um.zarr"
        array = ome_zarr.create_ome_zarr(path, SHAPE, "u1", voxel_um=None, fill_value=7, **options)
        array[:16, :16, :16] = VOXELS[:16, :16, :16]
        volume = open_volume(f"{own_server.address}/{path.name}", remote=HASTY)
        np.testing.assert_array_equal(volume[...], array[...])
        assert (volume[16:] == 7).all()
        if "shards" not in options:
            assert set(own_server.chunks_asked().values()) == {1}


@pytest.mark.parametrize("kind", ["v04", "v05"])
def test_a_chunk_is_asked_for_once_while_it_is_kept(server, kind):
    volume = hasty(server, kind)
    assert not server.chunks_asked()  # opening reads no voxel
    for start in range(0, 16, 3):
        np.testing.assert_array_equal(volume[start : start + 5, :20], VOXELS[start : start + 5, :20])
    volume[...]
    assert set(server.chunks_asked().values()) == {1}
    assert server.chunks_asked().total() == 3 * 3 * 4


def test_the_index_of_a_shard_is_asked_for_once_even_where_there_is_no_shard(own_server, tmp_path):
    array = ome_zarr.create_ome_zarr(tmp_path / "s_8um.zarr", (32, 16, 16), "u1", voxel_um=None, **KINDS["sharded"])
    array[:16] = VOXELS[:16, :16, :16]
    volume = open_volume(f"{own_server.address}/s_8um.zarr", remote=HASTY)
    assert volume[0, 0, 0] == VOXELS[0, 0, 0]
    assert volume[16, 0, 0] == 0
    np.testing.assert_array_equal(volume[...], array[...])
    shard, absent = (f"/s_8um.zarr/0/c/{z}/0/0" for z in (0, 1))
    assert own_server.counts()[shard] == 1 + 2**3  # the index, and each chunk
    assert own_server.counts()[absent] == 1


def test_what_is_kept_stays_below_its_limit(server):
    volume = hasty(server, cache_bytes=2 * 8**3)
    for _ in range(2):
        for z in (0, 8, 16):  # three chunks in turn where two have room
            np.testing.assert_array_equal(volume[z, :8, :8], VOXELS[z, :8, :8])
    assert server.chunks_asked().total() == 6
    volume[16, :8, :8]
    assert server.chunks_asked().total() == 6


@pytest.mark.parametrize(
    ("file", "content"), [("meta.json", {"voxelsize": 3.24}), ("metadata.json", {"scan": {"voxelsize": 3.24}})]
)
def test_the_voxel_size_beside_the_data_counts_more_than_the_name(own_server, bucket, tmp_path, file, content):
    shutil.copytree(bucket / name_of("v04"), tmp_path / "scans" / name_of("v04"))
    (tmp_path / "scans" / name_of("v04") / file).write_text(json.dumps(content))
    assert [hasty(own_server, level=level).voxel_um for level in (0, 1)] == [3.24, 6.48]
    assert ome_zarr.open(at(own_server), voxel_um=2.0).voxel_um == 2.0
    (tmp_path / "scans" / name_of("v04") / file).write_text("<html>")
    with pytest.raises(InputError, match=rf"{file}: not readable as JSON"):
        hasty(own_server)


def test_nothing_that_tells_the_voxel_size_is_warned_about(own_server, bucket, tmp_path):
    shutil.copytree(bucket / name_of("v04"), tmp_path / "scan.zarr")
    with pytest.warns(UserWarning, match=r"scan\.zarr: nothing tells the voxel size"):
        assert open_volume(f"{own_server.address}/scan.zarr").voxel_um is None


def test_s3_is_read_without_keys_unless_one_asks_for_them(server, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    for setting, is_signed in (("true", False), ("false", True)):
        monkeypatch.setenv("AWS_SKIP_SIGNATURE", setting)
        server.requests.clear()
        volume = open_volume(at(server, scheme="s3"))
        assert volume[0, 0, 0] == VOXELS[0, 0, 0]
        assert {"authorization" in {name.lower() for name in headers} for _, headers in server.requests} == {is_signed}
        assert b"secret" not in pickle.dumps(volume)


def test_other_texts_stay_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s3:/scans").mkdir(parents=True)  # odd, but there
    np.save("s3:/scans/a.npy", VOXELS)
    assert open_volume(Path("s3:/scans/a.npy")).shape == SHAPE
    with pytest.raises(MissingInputError, match="not there"):
        open_volume("ftp://host/a.zarr")


@pytest.mark.parametrize("part", [None, RangeByteRequest(3, 50), OffsetByteRequest(7), SuffixByteRequest(11)])
@pytest.mark.parametrize("key", ["0/zarr.json", "0/c/0/0/0", "0/c/9/9/9"])
def test_parts_of_files_are_those_that_lie_on_disk(server, bucket, key, part):
    remote = RemoteStore(Url(at(server, "sharded")), HASTY)
    got, expected = (
        sync(store.get(key, default_buffer_prototype(), part))
        for store in (remote, LocalStore(bucket / name_of("sharded"), read_only=True))
    )
    assert (got is None) == (expected is None) == (key == "0/c/9/9/9")
    assert got is None or got.to_bytes() == expected.to_bytes()
    assert sync(remote.exists(key)) == (expected is not None)


def test_no_server_is_asked_before_a_volume_is_opened(server):
    assert is_volume(at(server))
    RemoteStore(Url(at(server)), HASTY)
    assert not server.requests


def test_another_process_opens_the_address_again(server):
    volume = hasty(server, "sharded")
    packed = pickle.dumps(volume)
    assert len(packed) < 10_000
    assert not server.chunks_asked()
    code = "import pickle, sys; v = pickle.load(sys.stdin.buffer); print(v.path, v.voxel_um, int(v[...].sum()))"
    got = subprocess.run([sys.executable, "-c", code], input=packed, cwd=ROOT, capture_output=True, check=True)
    assert got.stdout.decode().split() == [at(server, "sharded"), "7.91", str(VOXELS.sum(dtype=int))]


def test_a_working_copy_of_a_remote_volume_is_made_once(server, tmp_path):
    volume = hasty(server)
    copy = working_copy(volume, tmp_path, (4, 12), bin_yx=1)
    np.testing.assert_array_equal(copy[...], VOXELS[4:12])
    asked = server.chunks_asked()
    np.testing.assert_array_equal(working_copy(hasty(server), tmp_path, (4, 12), bin_yx=1)[...], VOXELS[4:12])
    assert server.chunks_asked() == asked
    assert [file.suffix for file in sorted(tmp_path.iterdir())] == [".json", ".npy"]


def test_the_state_of_a_remote_zarr_follows_its_metadata(own_server, bucket, tmp_path):
    shutil.copytree(bucket / name_of("v04"), tmp_path / "a.zarr")
    url = Url(f"{own_server.address}/a.zarr")
    before = state(url, HASTY)
    assert state(url, HASTY) == before
    (tmp_path / "a.zarr/.zattrs").write_text("{}")
    assert state(url, HASTY) != before


def test_reading_what_lies_on_disk_needs_no_client(tmp_path):
    np.save(tmp_path / "a.npy", VOXELS)
    code = "import sys; from scroll.volumes import open_volume; open_volume(sys.argv[1])[0]; print('obstore' in sys.modules)"
    got = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "a.npy"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert got.stdout.strip() == "False"

"""The cache of fetched chunks on disk: each fetched once by however many processes, never beyond its bound, never half."""

import asyncio
import multiprocessing
import os
import time
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import zarr
from remote_scans import VOXELS

from scroll.volumes import ome_zarr
from scroll.volumes.disk_cache import HEADER, DiskCache
from scroll.volumes.opened_level import open_level

SIZE = 1000
ENTRY = SIZE + HEADER.size


class Served:
    """What a server has under a name, and how often it was asked."""

    def __init__(self, content: bytes | None = bytes(SIZE)) -> None:
        self.content, self.asked = content, 0

    async def __call__(self) -> bytes | None:
        self.asked += 1
        await asyncio.sleep(0)
        return self.content


def run(asked: Coroutine[Any, Any, Any]) -> Any:
    """In a thread of its own, for a browser that another test opened leaves its event loop running in this one."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, asked).result()


def get(cache: DiskCache, name: str, served: Served) -> bytes | None:
    return run(cache.get(name, served))


def files(folder: Path) -> list[Path]:
    return [path for path in folder.glob("[0-9a-f][0-9a-f]/*") if path.is_file()]


def age(cache: DiskCache, name: str, seconds: float) -> None:
    """As if it had been used so long ago."""
    then = time.time() - seconds
    os.utime(cache._path(name), (then, then))


@pytest.mark.parametrize("content", [b"voxels", b"", None])
def test_what_was_fetched_is_not_asked_for_again(tmp_path, content):
    cache, served = DiskCache(tmp_path, 10**6), Served(content)
    assert [get(cache, "a", served) for _ in range(3)] == [content] * 3
    assert served.asked == 1
    assert get(cache, "b", Served(b"other")) == b"other"


def test_what_was_used_longest_ago_goes_first_and_the_bound_holds(tmp_path):
    cache = DiskCache(tmp_path, 10 * ENTRY)
    for number in range(10):
        get(cache, str(number), Served())
        age(cache, str(number), 10_000 - number)
    get(cache, "0", Served(b"is kept"))  # used again
    get(cache, "10", Served())
    again = {str(number): Served() for number in range(11)}
    assert get(cache, "0", again["0"]) and not again["0"].asked
    assert get(cache, "1", again["1"]) and again["1"].asked == 1
    assert sum(path.stat().st_size for path in files(tmp_path)) <= 10 * ENTRY
    assert cache.kept_bytes == sum(path.stat().st_size for path in files(tmp_path))


def test_the_bound_holds_at_every_moment_and_every_answer_is_right(tmp_path):
    cache, rng = DiskCache(tmp_path, 5 * ENTRY), np.random.default_rng(3)
    for number in rng.integers(0, 50, 300):
        content = bytes([number]) * int(rng.integers(1, SIZE)) if number % 7 else b"x" * 10 * SIZE  # some never fit
        assert get(cache, f"{number} {len(content)}", Served(content)) == content
        assert sum(path.stat().st_size for path in files(tmp_path)) <= 5 * ENTRY


@pytest.mark.parametrize("damage", ["cut", "changed", "emptied", "a foreign file"])
def test_what_is_not_whole_is_fetched_again(tmp_path, damage):
    cache, served = DiskCache(tmp_path, 10**6), Served(b"0123456789" * 10)
    get(cache, "a", served)
    (path,) = files(tmp_path)
    content = path.read_bytes()
    broken = {"cut": content[:-3], "changed": content[:-1] + b"!", "emptied": b"", "a foreign file": b"hello" * 20}
    path.write_bytes(broken[damage])
    assert get(cache, "a", served) == served.content
    assert served.asked == 2
    assert get(cache, "a", served) == served.content
    assert served.asked == 2


def test_what_a_killed_process_left_counts_and_goes(tmp_path):
    cache = DiskCache(tmp_path, 3 * ENTRY)
    get(cache, "a", Served())
    left = files(tmp_path)[0].with_name("b.77.part")
    left.write_bytes(bytes(2 * ENTRY))
    os.utime(left, (1, 1))
    (tmp_path / "account").write_bytes(b"torn")
    get(cache, "b", Served())
    assert not left.exists()
    assert len(files(tmp_path)) == 2


def test_a_full_disk_costs_the_cache_and_not_the_run(tmp_path, monkeypatch):
    cache, served = DiskCache(tmp_path, 10**6), Served(b"voxels")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    assert [get(cache, "a", served) for _ in range(2)] == [b"voxels"] * 2
    assert served.asked == 2
    assert cache.kept_bytes == 0


def test_two_that_ask_at_once_fetch_once(tmp_path):
    cache, served = DiskCache(tmp_path, 10**6), Served(b"voxels")

    async def both() -> list[bytes | None]:
        return await asyncio.gather(*(cache.get("a", served) for _ in range(5)))

    assert run(both()) == [b"voxels"] * 5
    assert served.asked == 1


def read_all(address: str, folder: Path, limit: int, order: int) -> bytes:
    volume = open_level(address, 0, 1, on_disk=DiskCache(folder, limit))
    for z in range(0, VOXELS.shape[0], 8)[::order]:
        volume[z : z + 8]
    return np.asarray(volume[...]).tobytes()


@pytest.mark.parametrize("share", [10.0, 0.1])
@pytest.mark.parametrize("kind", [{"zarr_format": 2}, {"zarr_format": 3}, {"zarr_format": 3, "shards": (16, 16, 16)}])
def test_several_processes_fetch_each_chunk_once_where_there_is_room_and_end_right_where_there_is_none(
    own_server, tmp_path, kind, share
):
    zarr.create_array(tmp_path / "a_8um.zarr", data=VOXELS, chunks=(8, 8, 8), fill_value=0, compressors=None, **kind)
    address, limit = f"{own_server.address}/a_8um.zarr", int(VOXELS.nbytes * share)
    jobs = [(address, tmp_path / "chunks", limit, order) for order in (1, -1, 1, -1)]
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        assert pool.starmap(read_all, jobs) == [VOXELS.tobytes()] * 4
    if share > 1:
        parts = [
            (path, headers.get("range"))
            for path, headers in own_server.requests
            if not path.endswith((".json", ".zarray", ".zgroup", ".zattrs"))
        ]
        assert parts and len(parts) == len(set(parts))
    assert sum(path.stat().st_size for path in files(tmp_path / "chunks")) <= limit


def test_chunks_of_other_metadata_are_other_chunks(own_server, tmp_path):
    cache = DiskCache(tmp_path / "chunks", 10**6)
    for number in range(2):
        array = zarr.create_array(
            tmp_path / "a_8um.zarr", data=np.full((8, 8, 8), number, np.uint8), fill_value=0, zarr_format=2, overwrite=True,
            attributes={"number": number}, compressors=None, chunks=(8, 8, 8 - 4 * number),
        )  # fmt: skip
        open_level.cache_clear()
        volume = open_level(f"{own_server.address}/a_8um.zarr", 0, 1, on_disk=cache)
        np.testing.assert_array_equal(volume[...], array[...])


def test_metadata_are_asked_for_each_time(own_server, tmp_path):
    ome_zarr.create_ome_zarr(tmp_path / "a_8um.zarr", VOXELS.shape, "u1", (8, 8, 8), None)[...] = VOXELS
    for _ in range(2):
        open_level.cache_clear()
        open_level(f"{own_server.address}/a_8um.zarr", 0, 1, on_disk=DiskCache(tmp_path / "chunks", 10**6))[...]
    assert own_server.counts()["/a_8um.zarr/0/.zarray"] == 2
    assert set(own_server.chunks_asked().values()) == {1}


def test_what_never_fits_takes_the_place_of_nothing(tmp_path):
    cache = DiskCache(tmp_path, 2 * ENTRY)
    get(cache, "a", Served())
    get(cache, "large", Served(bytes(3 * ENTRY)))
    again = Served()
    assert get(cache, "a", again) == bytes(SIZE) and not again.asked


def test_how_much_was_fetched_and_how_fast_is_said_every_few_seconds_and_not_of_a_pause(tmp_path, monkeypatch, capsys):
    cache, clock = DiskCache(tmp_path, 10**9), iter([1000.0, 1010.0, 1020.0, 9000.0, 9020.0])
    monkeypatch.setattr("scroll.volumes.disk_cache.time", SimpleNamespace(time=lambda: now))
    for number in range(5):
        now = next(clock)
        get(cache, str(number), Served(bytes(2**20)))
    message = capsys.readouterr().err.splitlines()
    assert [line.split(";")[0] for line in message] == [
        "fetched over the network: 3 MiB so far, 0.1 MiB/s",  # two since the clock began, in 20 s
        "fetched over the network: 5 MiB so far, 0.1 MiB/s",  # one in 20 s
    ]

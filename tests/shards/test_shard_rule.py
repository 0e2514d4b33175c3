"""Why two workers must never share a Zarr shard: what happens when they do, and that no plan lets them."""

import json
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from half_writer import CHUNK, EDGE, write_half
from shard_jobs import KEY, TinyJob, TinyRecipe

from scroll.errors import InputError
from scroll.shards.plan import read_plan, write_plan
from scroll.volumes.ome_zarr import create_ome_zarr, open_array


def lost_chunks(path: Path) -> int:
    """Of 64 chunks that two processes wrote into one shard at once, how many hold nothing."""
    create_ome_zarr(path, (EDGE,) * 3, "uint8", (CHUNK,) * 3, 7.91, version="0.5", shards=(EDGE,) * 3)
    spawn = get_context("spawn")
    begin = spawn.Barrier(2)
    writers = [spawn.Process(target=write_half, args=(path, half, begin)) for half in (0, 1)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0]  # not a word of complaint
    found = open_array(path)[::CHUNK, ::CHUNK, ::CHUNK]
    return int(np.count_nonzero(found == 0))


def test_zarr_loses_data_silently_when_two_processes_write_one_shard(tmp_path):
    lost = lost_chunks(tmp_path / "shared.zarr")
    print(f"lost: {lost} of 64 chunks")
    assert lost > 0, "zarr now keeps all chunks: the rule may go"


def test_a_plan_in_which_two_pieces_of_work_write_one_shard_is_refused(tmp_path):
    plan = TinyJob(tmp_path, TinyRecipe(tmp_path / "ct.npy"), (64, 64, 64)).plan
    write_plan(tmp_path / "plan.json", plan)
    assert read_plan(tmp_path / "plan.json") == plan
    edited = json.loads((tmp_path / "plan.json").read_text())
    del edited["checksum"]  # as in a plan of before, or one that somebody means to change
    edited["indices"].append("0-1-1")
    (tmp_path / "plan.json").write_text(json.dumps(edited))
    with pytest.raises(InputError, match=r"both write shard \(0, 1, 1\).*loses data silently"):
        read_plan(tmp_path / "plan.json")


def test_an_output_takes_whole_shards_only(tmp_path):
    output = TinyJob(tmp_path, TinyRecipe(tmp_path / "ct.npy"), (64, 64, 50)).job().output
    output.write((32, 0, 32), np.ones((32, 32, 18), np.uint8))
    for corner, size in (((0, 0, 0), (16, 32, 32)), ((0, 0, 16), (32, 32, 32)), ((0, 0, 0), (64, 64, 50))):
        with pytest.raises(ValueError, match="shard"):
            output.write(corner, np.ones(size, np.uint8))
    assert output.output.key == KEY

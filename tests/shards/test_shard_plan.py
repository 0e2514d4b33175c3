"""A plan: which shards are worth it, what they cost, and that it comes back from disk as it was."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shard_jobs import TinyJob, TinyRecipe

from scroll.errors import InputError, MissingInputError
from scroll.runtime.files import read_json
from scroll.shards.grid import shards_of
from scroll.shards.plan import read_plan, write_plan
from scroll.shards.requested import check_same_space, where_marked, where_not_zero
from scroll.surfaces.blocks import Blocks
from scroll.volumes.binning import block_mean
from scroll.volumes.volume import Volume

SHAPE = (96, 64, 80)


def plan_of(tmp_path):
    return TinyJob(tmp_path, TinyRecipe(tmp_path / "ct.npy"), SHAPE, levels=2).plan


def test_a_plan_comes_back_as_it_was_written(tmp_path):
    plan = replace(plan_of(tmp_path), windows={"a": 64}, window_s={"a": 0.5}, about={"grey_scale": [100.5, 20.25]})
    write_plan(tmp_path / "plan.json", plan)
    assert read_plan(tmp_path / "plan.json") == plan


def test_bytes_and_hours_are_those_worked_out_by_hand(tmp_path):
    plan = replace(plan_of(tmp_path), windows={"a": 3600, "b": 7200}, window_s={"a": 2.0, "b": 0.25}, bytes_read=10**12)
    assert plan.bytes_written == 96 * 64 * 80
    assert plan.hours == 2.0 + 0.5
    assert replace(plan, window_s={}).hours is None
    message = "\n".join(plan.lines())
    for figure in (
        "96 x 64 x 80 voxels",
        "shards     18 of 18, 32 voxels",
        "1 TB decoded",
        "492 kB",
        "2.5 hours",
        "7200 of b",
    ):
        assert figure in message


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 99}, "not a plan"),
        ({"indices": ["0-0"]}, "not a plan"),
        ({"indices": ["0-0-9"]}, r"shard \(0, 0, 9\) is outside"),
        ({"how": {}}, "not a plan"),
    ],
)
def test_a_damaged_plan_is_refused(tmp_path, change, message):
    write_plan(tmp_path / "plan.json", plan_of(tmp_path))
    content = read_json(tmp_path / "plan.json")  # without its checksum, as plans of before
    (tmp_path / "plan.json").write_text(json.dumps(content | change))
    with pytest.raises(InputError, match=message):
        read_plan(tmp_path / "plan.json")


def test_where_no_plan_is_it_says_what_makes_one(tmp_path):
    with pytest.raises(MissingInputError, match=r"scripts/predict_scroll\.py"):
        read_plan(tmp_path / "plan.json")


@given(st.lists(st.tuples(*(st.integers(0, n - 1) for n in SHAPE)), max_size=5), st.sampled_from([2, 4, 5]))
def test_a_shard_is_left_out_only_where_nothing_of_it_is_in_the_mask(places, factor):
    fine = np.zeros(SHAPE, np.uint8)
    for place in places:
        fine[place] = 255
    coarse = Volume(block_mean(fine.astype(np.float32), (factor,) * 3), "mask", 1.0)  # type: ignore[arg-type]
    kept = {shard.index for shard in where_not_zero(shards_of(SHAPE, 16), SHAPE, coarse)}
    needed = {tuple(p // 16 for p in place) for place in places}
    assert needed <= kept and len(kept) <= 8 * len(needed)
    if factor in (2, 4):  # coarse voxels do not straddle shards
        assert kept == needed


def mask_of(*shape: int) -> Volume:
    return Volume(np.broadcast_to(np.uint8(1), shape), "mask", 1.0)  # type: ignore[arg-type]


@given(st.tuples(*[st.integers(1, 300)] * 3), st.integers(1, 9), st.booleans())
def test_a_mask_of_cubes_of_any_size_covers_its_volume_whichever_way_its_end_was_rounded(shape, factor, is_cut):
    counts = [max(1, n // factor) if is_cut else -(-n // factor) for n in shape]
    check_same_space(mask_of(*counts), shape)
    check_same_space(mask_of(*(n * factor for n in shape)), shape)


@pytest.mark.parametrize("counts", [(12, 20, 10), (20, 16, 24), (24, 16, 30), (1, 16, 20)])
def test_a_mask_of_another_volume_or_with_other_axes_is_refused(counts):
    check_same_space(mask_of(24, 16, 20), SHAPE)
    with pytest.raises(InputError, match="expected cubes of one size"):
        check_same_space(mask_of(*counts), SHAPE)


def test_only_the_shards_that_a_surface_passes_through_are_wanted():
    blocks = Blocks(SHAPE)
    blocks.marked[1, 2, 3] = True  # voxels 16-32, 32-48, 48-64
    assert [shard.index for shard in where_marked(shards_of(SHAPE, 32), blocks)] == [(0, 1, 1)]
    assert [shard.index for shard in where_marked(shards_of(SHAPE, 16), blocks)] == [(1, 2, 3)]

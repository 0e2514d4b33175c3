"""Shards cover a volume once, parts share them out, and no plan lets two pieces of work write the same one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scroll.errors import InputError
from scroll.shards.grid import part_of, place_in_order, refuse_shared_shards, shard_at, shards_of

shapes = st.tuples(*[st.integers(1, 30)] * 3)
edges = st.integers(3, 12)


@given(shapes, edges)
def test_shards_cover_every_voxel_once(shape, edge):
    seen = np.zeros(shape, int)
    for shard in shards_of(shape, edge):
        seen[tuple(slice(c, c + s) for c, s in zip(shard.corner, shard.size, strict=True))] += 1
        assert shard == shard_at(shape, edge, shard.index)
    assert (seen == 1).all()


@given(shapes, edges, st.integers(1, 9))
def test_parts_share_all_shards_out_and_none_is_in_two(shape, edge, parts):
    everything = list(shards_of(shape, edge))
    shared = [shard for part in range(parts) for shard in part_of(everything, part, parts)]
    assert sorted(s.index for s in shared) == sorted(s.index for s in everything)
    sizes = [len(part_of(everything, part, parts)) for part in range(parts)]
    assert max(sizes) - min(sizes) <= 1


def test_the_order_goes_through_every_octant_before_the_next():
    cube = sorted(np.ndindex(8, 8, 8), key=place_in_order)
    for edge in (2, 4):
        for start in range(0, 512, edge**3):
            block = np.array(cube[start : start + edge**3])
            assert (np.ptp(block, axis=0) == edge - 1).all()


@given(shapes, edges)
def test_the_shards_themselves_are_a_plan_that_is_not_refused(shape, edge):
    regions = [(shard.corner, shard.size) for shard in shards_of(shape, edge)]
    assert sum(int(np.prod(size)) for _, size in regions) == int(np.prod(shape))
    refuse_shared_shards(regions, shape, edge)
    with pytest.raises(InputError, match="both write shard"):
        refuse_shared_shards([*regions, regions[-1]], shape, edge)


@pytest.mark.parametrize(
    ("regions", "message"),
    [
        ([((0, 0, 0), (8, 8, 8)), ((0, 0, 4), (8, 8, 8))], r"both write shard \(0, 0, 1\)"),
        ([((0, 0, 0), (8, 8, 8)), ((0, 0, 0), (8, 8, 8))], r"both write shard \(0, 0, 0\)"),
        ([((0, 0, 0), (8, 8, 6))], "not made of whole shards of 4"),
        ([((0, 2, 0), (8, 6, 8))], "not made of whole shards"),
        ([((0, 0, 0), (8, 8, 20))], "not made of whole shards"),
    ],
)
def test_work_that_shares_a_shard_is_refused(regions, message):
    with pytest.raises(InputError, match=message):
        refuse_shared_shards(regions, (16, 16, 16), 4)


def test_parts_are_numbered_from_0():
    for part, parts in ((4, 4), (-1, 4), (0, 0)):
        with pytest.raises(InputError, match="number parts from 0"):
            part_of([], part, parts)

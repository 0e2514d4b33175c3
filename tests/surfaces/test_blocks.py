"""A marked sheet never hides from its blocks, and the blocks do not claim the whole volume."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from scroll.surfaces.blocks import EDGE_VOX, STEP_VOX, Blocks
from scroll.surfaces.surface import Surface, normals_of

SHAPE = (120, 130, 140)


def wavy(cell: float, waves: float, hole: bool) -> Surface:
    rows, columns = np.meshgrid(np.arange(0, 90, cell), np.arange(0, 100, cell), indexing="ij")
    y = 60 + 12 * np.sin(waves * columns / 20) + 6 * np.cos(waves * rows / 30)
    points = np.stack([rows + 10, y, columns + 15], axis=-1).astype(np.float32)
    valid = np.ones(rows.shape, bool)
    if hole:
        valid[3:6, 4:9] = False
    points[~valid] = -1
    return Surface(points, normals_of(points, valid), valid, (cell, cell), Path("wavy"))


@settings(max_examples=20, deadline=None)
@example(cell=4.0, waves=0.0, hole=True, rows=(8, 9), band=(0, 1), level=0)  # a hole, and all beside it above
@given(
    cell=st.sampled_from([2.0, 4.0, 7.0]),
    waves=st.floats(0, 1.2),
    hole=st.booleans(),
    rows=st.tuples(st.integers(0, 80), st.integers(1, 80)).map(lambda r: (min(r), max(r) + 1)),
    band=st.tuples(st.integers(-9, 0), st.integers(1, 9)),
    level=st.integers(0, 1),
)
def test_every_voxel_of_the_band_lies_in_a_marked_block(cell, waves, hole, rows, band, level):
    surface = wavy(cell, waves, hole)
    blocks = Blocks([-(-n // 2**level) for n in SHAPE])
    blocks.mark(surface, rows, band, level)
    tile = surface.tile(slice(*rows), slice(None))
    points = (tile.points[tile.valid].astype(float) + 0.5) / 2**level - 0.5
    for depth in np.linspace(*band, 7):
        for z, y, x in np.rint(points + depth * tile.normals[tile.valid]).astype(int)[::7]:
            assert blocks.touches((z, y, x), (1, 1, 1))


def test_what_is_far_from_the_sheet_is_not_marked():
    blocks = Blocks(SHAPE)
    blocks.mark(wavy(4.0, 0.0, hole=False), (0, 90), (-4, 4))  # a plane at y = 66
    far = EDGE_VOX + STEP_VOX + 4
    assert not blocks.touches((0, 0, 0), (SHAPE[0], 66 - far, SHAPE[2]))
    assert not blocks.touches((0, 66 + far, 0), (SHAPE[0], SHAPE[1] - 66 - far, SHAPE[2]))
    assert blocks.touches((0, 0, 0), SHAPE)


def test_a_box_that_shares_no_row_with_the_marked_ones_is_free():
    blocks = Blocks(SHAPE)
    blocks.mark(wavy(4.0, 0.0, hole=False), (50, 60), (-4, 4))  # z 60 to 70
    assert not blocks.touches((0, 0, 0), (32, *SHAPE[1:]))
    assert not blocks.touches((96, 0, 0), (24, *SHAPE[1:]))
    assert blocks.touches((60, 60, 60), (1, 8, 8))


def test_the_extent_is_that_of_the_marked_blocks():
    blocks = Blocks(SHAPE)
    assert blocks.extent() is None
    blocks.mark(wavy(4.0, 0.0, hole=False), (0, 40), (-4, 4))
    extent = blocks.extent()
    assert extent is not None
    for (first, end), (least, most) in zip(extent, ((10, 50), (62, 70), (15, 112)), strict=True):
        assert least - EDGE_VOX - STEP_VOX <= first <= least and most <= end <= most + EDGE_VOX + STEP_VOX


@pytest.mark.parametrize("corner", [(-20, 60, 50), (60, 60, 100)])
def test_a_box_may_hang_over_the_volume(corner):
    blocks = Blocks(SHAPE)
    blocks.mark(wavy(4.0, 0.0, hole=False), (0, 90), (-4, 4))
    assert blocks.touches(corner, (64, 64, 64))

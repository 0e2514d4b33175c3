"""Remembered windows: the same bits as without memory, however little is kept, and no window twice where it is enough."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from scroll.config.schema import WindowSettings
from scroll.inference.sliding_window import Sweep, predict_box
from scroll.inference.window_memory import RememberedWindows

SHAPE, PATCH = (20, 36, 40), (8, 12, 12)
SCORE_BYTES = 2 * 8 * 12 * 12 * 4
BOXES = [((z, y, x), (10, 12, 14)) for z, y, x in itertools.product((0, 10), (0, 12, 24), (0, 13, 26))]


@pytest.fixture
def seen_by():
    """Sweep, reader and network of two channels over a volume of noise."""
    torch.manual_seed(0)
    ct = torch.rand(SHAPE)
    network = nn.Sequential(nn.Conv3d(1, 3, 3, padding=1), nn.GELU(), nn.Conv3d(3, 2, 3, padding=1)).eval()
    sweep = Sweep(SHAPE, PATCH, WindowSettings(overlap=0.5, batch_size=3), (0, SHAPE[1]))
    return sweep, lambda at: ct[tuple(slice(a, a + p) for a, p in zip(at, PATCH, strict=True))][None], network


def everything(corner, size):
    return True


@pytest.mark.parametrize("kept", [0, 1, 7, 10_000])
def test_a_box_is_the_same_to_the_bit_however_much_is_remembered(seen_by, kept):
    sweep, read, network = seen_by
    memory = RememberedWindows(sweep, network, kept * SCORE_BYTES)
    for corner, size in BOXES:
        expected = predict_box(sweep, read, network, corner, size)
        np.testing.assert_array_equal(memory.predict_box(read, corner, size, everything).numpy(), expected.numpy())


def test_with_enough_memory_every_window_is_computed_once_and_without_it_as_often_as_it_is_met(seen_by):
    sweep, read, network = seen_by
    all_windows = len(list(itertools.product(*sweep.starts())))
    computed = []
    for kept in (0, 10, 40, 10_000):
        memory = RememberedWindows(sweep, network, kept * SCORE_BYTES)
        for corner, size in BOXES:
            memory.predict_box(read, corner, size, everything)
        assert memory.distinct == all_windows
        computed.append(memory.computed)
    assert computed[-1] == all_windows
    assert computed == sorted(computed, reverse=True)
    assert computed[0] > 2 * all_windows


def test_voxels_all_of_whose_windows_are_seen_are_right_where_others_are_left_out(seen_by):
    sweep, read, network = seen_by
    corner, size, voxel = (0, 0, 0), (20, 36, 40), (9, 17, 21)

    def holds_the_voxel(at, patch):
        return all(a <= v < a + p for a, p, v in zip(at, patch, voxel, strict=True))

    memory = RememberedWindows(sweep, network)
    found = memory.predict_box(read, corner, size, holds_the_voxel)
    expected = predict_box(sweep, read, network, corner, size)
    np.testing.assert_array_equal(found[(slice(None), *voxel)].numpy(), expected[(slice(None), *voxel)].numpy())
    assert memory.computed < len(list(itertools.product(*sweep.starts()))) / 4


def test_what_is_kept_is_the_scores_and_not_their_batches(seen_by):
    sweep, read, network = seen_by
    memory = RememberedWindows(sweep, network)
    memory.predict_box(read, (0, 0, 0), (8, 12, 12), everything)
    held = [memory._kept.peek(at) for at in itertools.product(*sweep.starts())]
    for score in (one for one in held if one is not None):
        assert score.untyped_storage().nbytes() == SCORE_BYTES
    assert memory._kept.spent == memory.computed * SCORE_BYTES

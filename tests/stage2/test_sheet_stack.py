"""What is true on a traced sheet, and the corruption that stage two learns to mend."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scroll.config.schema import CorruptionSettings
from scroll.surfaces.surface import Surface, normals_of
from stage2_2d.surface.corruption import NOTHING, corrupted
from stage2_2d.surface.dataset import decoded, encoded
from stage2_2d.surface.stack import truth_on

SIZE = 40
ONLY = {"holes": 0.0, "bridges": 0.0, "specks": 0.0, "shift_vox": 0.0}


def level_sheet(z: float) -> Surface:
    """The plane at that z with its normals along +z."""
    rows, columns = np.indices((SIZE // 2, SIZE // 2)) * 2.0
    points = np.stack([np.full(rows.shape, z), rows, columns], axis=-1).astype(np.float32)
    normals = normals_of(points, np.ones(rows.shape, bool))
    assert normals[3, 3] == pytest.approx([1, 0, 0])
    return Surface(points, normals, np.ones(rows.shape, bool), (2.0, 2.0), Path("level"))


@pytest.mark.parametrize("away", [-3, -1, 0, 2, 3])
def test_the_offset_is_how_far_along_the_normal_the_label_lies(away):
    label = np.zeros((SIZE,) * 3, np.uint8)
    label[20 + away - 1 : 20 + away + 2] = 1  # three voxels thick
    truth = truth_on(level_sheet(20), label)
    assert truth.present[:30, :30].all() and not truth.unknown[:30, :30].any()
    assert truth.offset_vox[:30, :30] == pytest.approx(np.full((30, 30), away), abs=0.3 if abs(away) < 3 else 0.6)


def test_a_label_far_off_is_another_sheets_and_the_nearer_of_two_is_taken():
    label = np.zeros((SIZE,) * 3, np.uint8)
    label[28:31] = 1
    assert not truth_on(level_sheet(20), label).present[:30, :30].any()
    label[17:19] = 1
    label[23:25] = 1
    truth = truth_on(level_sheet(20.2), label)
    assert truth.offset_vox[5:30, 5:30] == pytest.approx(np.full((25, 25), -2.7), abs=0.4)


def test_what_nobody_labelled_is_unknown_unless_a_labelled_surface_is_near():
    label = np.full((SIZE,) * 3, 2, np.uint8)
    label[19:22, :, 20:] = 1
    label[:, 30:, :20] = 0
    truth = truth_on(level_sheet(20), label)
    assert truth.unknown[:28, :18].all() and not truth.unknown[:36, 22:36].any()
    assert not truth.unknown[31:36, :18].any() and not truth.present[31:36, :18].any()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["holes", "bridges", "specks"]))
def test_corruption_changes_the_members_and_never_the_ct(seed, kind):
    rng = np.random.default_rng(seed)
    stack = rng.uniform(-2, 2, (3, 9, 32, 32)).astype(np.float32)
    before = stack.copy()
    hurt, shift = corrupted(rng, stack, 2, CorruptionSettings.model_validate(ONLY | {kind: 1.0}))
    assert np.array_equal(stack, before) and not shift.any()
    assert np.array_equal(hurt[2], before[2]) and not np.array_equal(hurt[:2], before[:2])
    if kind == "holes":
        gone = hurt[:2] != before[:2]
        assert (hurt[:2][gone] == NOTHING).all() and 0.002 < gone.mean() < 0.95
    if kind == "bridges":
        assert (hurt[:2] >= before[:2]).all()


def test_no_corruption_is_no_change():
    stack = np.random.default_rng(1).random((2, 5, 16, 16)).astype(np.float32)
    hurt, shift = corrupted(np.random.default_rng(2), stack, 1, CorruptionSettings.model_validate(ONLY))
    assert np.array_equal(hurt, stack) and not shift.any()


def test_a_shift_moves_every_source_by_what_it_says():
    layers = np.arange(17, dtype=np.float32)[None, :, None, None]
    stack = np.broadcast_to(layers, (2, 17, 48, 48)).astype(np.float32)
    hurt, shift = corrupted(
        np.random.default_rng(3), stack, 1, CorruptionSettings.model_validate(ONLY | {"shift_vox": 1.0})
    )
    assert hurt[:, 8] - 8 == pytest.approx(np.broadcast_to(shift, (2, 48, 48)), abs=1e-4)


@given(st.floats(-5, 5))
def test_offsets_are_what_they_were_after_a_round_trip(offset):
    assert decoded(encoded(np.array([offset], np.float32)))[0] == pytest.approx(offset, abs=1e-5)

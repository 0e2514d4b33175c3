"""Sheets are found where they lie, each once, across holes and past each other."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from known_ridges import SIZE, bowl, misfit, plane, ridge

from scroll.config.tracing import TracingSettings
from scroll.metrics.surface_dice import surface_dice
from scroll.surfaces.lift import Painted, lift
from scroll.tracing.bridging import bridged
from scroll.tracing.orient_normals import orient_normals
from scroll.tracing.ridges import ridge_points
from scroll.tracing.sheets import Traced
from scroll.tracing.sheets import trace_sheets as trace

HOW = TracingSettings(least_area_vox=300)


def trace_sheets(prob, how):
    return [traced.surface for traced in trace(prob, how)]


def points_of(sheet):
    return sheet.points[sheet.valid]


@settings(max_examples=15, deadline=None)
@given(st.floats(-0.7, 0.7), st.floats(-0.7, 0.7), st.sampled_from([0, 1, 2]))
def test_a_plane_at_any_slope_along_any_axis_is_one_sheet_within_a_third_of_a_voxel(down, right, axis):
    height = plane(SIZE / 2, down, right)
    prob = np.moveaxis(ridge(height), 0, axis)
    (sheet,) = trace_sheets(prob, HOW)
    found = points_of(sheet)
    found = np.concatenate([found[:, axis : axis + 1], np.delete(found, axis, 1)], axis=1)
    inside = ((found > 4) & (found < SIZE - 5)).all(axis=1)
    assert np.quantile(misfit(found[inside], height), 0.99) < 0.34
    whole = (np.abs(height(*np.indices((SIZE, SIZE))) - (SIZE - 1) / 2) < SIZE / 2).sum() * np.sqrt(
        1 + down**2 + right**2
    )
    area = sheet.valid.sum() * 4
    assert area > 0.85 * whole


def test_a_curved_sheet_is_followed():
    height = bowl(20, 60)
    (sheet,) = trace_sheets(ridge(height), HOW)
    found = points_of(sheet)
    inside = ((found > 4) & (found < SIZE - 5)).all(axis=1)
    assert np.quantile(misfit(found[inside], height), 0.99) < 0.5


@pytest.mark.parametrize("apart_vox", [5, 8, 16])
def test_parallel_sheets_are_two(apart_vox):
    heights = [plane(30, 0.2, 0.1), plane(30 + apart_vox, 0.2, 0.1)]
    sheets = list(trace_sheets(np.maximum(*map(ridge, heights)), HOW))
    assert len(sheets) == 2
    levels = sorted(float(np.median(misfit(points_of(sheet), heights[0]))) for sheet in sheets)
    assert levels == pytest.approx([0, apart_vox], abs=0.4)


def test_sheets_that_share_one_ridge_over_a_part_go_on_as_two():
    def lower(y, x):
        return 24 + 0 * y

    def upper(y, x):
        return 24 + 12 * np.clip((np.abs(x - 32) - 10) / 12, 0, 1)

    sheets = list(trace_sheets(np.maximum(ridge(lower), ridge(upper)), HOW))
    covered = [sum(np.quantile(misfit(points_of(s), h), 0.5) < 1 for s in sheets) for h in (lower, upper)]
    assert covered[0] >= 1 and len(sheets) >= 2
    far = [points_of(s)[(np.abs(points_of(s)[:, 2] - 32) > 24)] for s in sheets]
    assert any(len(p) and np.median(misfit(p, upper)) < 1 for p in far)


def test_a_hole_is_bridged_and_the_sheet_there_lies_where_it_would():
    height = bowl(20, 90)
    prob = ridge(height)
    y, x = np.indices((SIZE, SIZE))
    prob[:, np.hypot(y - 30, x - 34) < 9] = 0
    (sheet,) = trace_sheets(prob, HOW)
    found = points_of(sheet)
    within = found[np.hypot(found[:, 1] - 30, found[:, 2] - 34) < 8]
    assert len(within) > 0.8 * np.pi * 64 / 4
    assert misfit(within, height).max() < 0.7


def test_voxels_to_sheets_and_back_are_the_same_in_the_score():
    height = bowl(20, 70)
    prob = ridge(height)
    (sheet,) = trace_sheets(prob, HOW)
    image = np.ones(sheet.canvas_shape(), np.uint8)
    back = lift([Painted(sheet, image, np.tile([-1.5, 1.5], (256, 1)))], prob.shape) > 0
    assert surface_dice(back, ridge(height) > np.exp(-0.5 * (1.5 / 1.3) ** 2)) > 0.98


def test_nothing_is_found_where_there_is_nothing_and_in_noise_there_is_no_large_sheet():
    assert list(trace_sheets(np.zeros((40, 40, 40), np.float32), HOW)) == []
    noise = np.random.default_rng(1).random((40, 40, 40)).astype(np.float32)
    assert all(sheet.valid.sum() * 4 < 40 * 40 for sheet in trace_sheets(noise, TracingSettings(min_prob=0.6)))


def test_ridges_do_not_depend_on_how_the_volume_is_cut_into_blocks(monkeypatch):
    prob = ridge(bowl(20, 70))
    whole = ridge_points(prob, 0.4)
    monkeypatch.setattr("scroll.tracing.ridges.BLOCK_VOX", 32)
    cut = ridge_points(prob, 0.4)
    order = [np.lexsort(np.rint(r.points * 64).T) for r in (whole, cut)]
    assert len(whole) == len(cut)
    assert np.abs(whole.points[order[0]] - cut.points[order[1]]).max() < 0.02


@pytest.mark.parametrize("air_above", [True, False])
def test_a_sheet_faces_the_air_before_it(air_above):
    (sheet,) = trace_sheets(ridge(plane(32, 0.1)), HOW)
    z = np.indices((SIZE,) * 3)[0]
    ct = np.where((z > 32) == air_above, -1.0, 1.0).astype(np.float32)
    oriented = orient_normals(Traced(sheet, np.zeros(sheet.shape, bool)), ct).surface
    assert (np.sign(oriented.normals[oriented.valid][:, 0]) == (1 if air_above else -1)).all()
    assert np.sort(points_of(oriented), axis=0) == pytest.approx(np.sort(points_of(sheet), axis=0))


@settings(max_examples=20, deadline=None)
@given(st.floats(-1, 1), st.floats(-1, 1), st.floats(-5, 5), st.integers(0, 2**32 - 1))
def test_a_plate_through_part_of_a_plane_is_that_plane_everywhere(down, right, middle, seed):
    rows, columns = np.indices((12, 15))
    level = (middle + down * rows + right * columns).astype(np.float32)
    seen = np.random.default_rng(seed).random(level.shape) < 0.4
    seen[0, 0] = seen[-1, 0] = seen[0, -1] = True
    plate = bridged(np.where(seen, level, np.nan), np.ones(level.shape, bool))
    assert plate == pytest.approx(level, abs=0.05)


def test_a_sheet_that_runs_into_another_is_guessed_to_go_on_beside_it():
    def upper(y, x):
        return 40 + 0 * y

    def lower(y, x):  # at column 34 it has come within 7 voxels, and there its ridge ends
        return 40 - np.clip(24 - 0.5 * x, 7, None)

    x = np.indices((SIZE,) * 3)[2]
    prob = np.maximum(ridge(upper), np.where(x <= 34, ridge(lower), 0))
    found = trace(prob, HOW)
    second = min(found, key=lambda one: np.median(one.surface.points[one.surface.valid][:, 0]))
    places = second.surface.points[second.guessed]
    assert len(places) and places[:, 2].max() > 55
    assert ((places[:, 0] < 36) & (places[:, 0] > 31)).all()
    unguessed = second.surface.points[second.surface.valid & ~second.guessed]
    assert unguessed[:, 2].max() < 44
    (first,) = (one for one in found if one is not second)
    assert not first.guessed.any()


def test_without_room_beside_a_third_sheet_nothing_is_guessed():
    sheets = [lambda y, x: 40 + 0 * y, lambda y, x: 35.5 + 0 * y]
    x = np.indices((SIZE,) * 3)[2]
    lower = np.where(x <= 34, ridge(lambda y, x: 40 - np.clip(24 - 0.5 * x, 7, None)), 0)
    prob = np.maximum(np.maximum(*map(ridge, sheets)), lower)
    assert sum(one.guessed.sum() for one in trace(prob, HOW)) * 4 < 0.2 * 29 * SIZE

"""The post-processing of volumes: what each step mends, and that none of them ever joins two sheets."""

import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy.ndimage import distance_transform_edt
from scipy.ndimage import label as scipy_label

from ensemble.surface.postprocess.distance_transform import closing, within
from ensemble.surface.postprocess.fill_holes import fill_holes
from ensemble.surface.postprocess.merge_guard import keep_apart
from ensemble.surface.postprocess.pipeline import SWITCHES, PostProcessing, advance, run, start
from ensemble.surface.postprocess.steps import (
    close_gaps,
    drop_small_components,
    drop_small_in_octants,
    even_out,
    fill_cavities,
    keep_strong,
)
from ensemble.surface.postprocess.thickness import even_thickness, sheet_normals
from scroll.errors import InputError
from scroll.metrics.betti_matching.betti import betti_numbers

FULL = np.ones((3, 3, 3), bool)
shapes = array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=10)
masks = shapes.flatmap(lambda shape: arrays(bool, shape))
probs = shapes.flatmap(lambda shape: arrays(np.float32, shape, elements=st.floats(0, 1, width=16)))
choices = st.builds(
    PostProcessing,
    threshold=st.sampled_from([0.2, 0.5]),
    smooth_sigma_vox=st.sampled_from([0.0, 0.5]),
    strong=st.sampled_from([0.0, 0.9]),
    small_components_vox=st.sampled_from([0, 3]),
    thickness_vox=st.sampled_from([0.0, 3.0]),
    even_sigma_vox=st.sampled_from([0.0, 1.0]),
    closing_radius_vox=st.sampled_from([0, 1, 2]),
    fill_holes_radius_vox=st.sampled_from([0, 2]),
    cavity_vox=st.sampled_from([0, 5]),
    remains_vox=st.sampled_from([0, 3]),
    octant_small_components_vox=st.sampled_from([0, 2]),
)
GROWING = {
    "closing": lambda mask: close_gaps(mask, 2),
    "evening out": lambda mask: even_out(mask, 1.0, 0.4),
    "filling holes": lambda mask: fill_holes(mask, 2),
    "filling cavities": lambda mask: fill_cavities(mask, 100),
    "thickness": lambda mask: even_thickness(mask, mask.astype(np.float32), 0.3, 5.0),
    "growing everywhere": lambda mask: keep_apart(mask, np.ones_like(mask)),
}


def sheets(*heights: int, thickness: int = 2, side: int = 24) -> np.ndarray:
    """Flat sheets normal to z that begin at these heights."""
    mask = np.zeros((24, side, side), bool)
    for height in heights:
        mask[height : height + thickness] = True
    return mask


def joins_nothing(before: np.ndarray, after: np.ndarray) -> bool:
    """Whether every 26-connected component of `after` holds voxels of exactly one of `before`."""
    old, new = scipy_label(before, FULL)[0], scipy_label(after, FULL)[0]
    pairs = np.unique(np.stack([new[before & after], old[before & after]], axis=1), axis=0)
    return pairs[:, 0].tolist() == list(range(1, new.max(initial=0) + 1))


@settings(max_examples=60, deadline=None)
@given(masks, st.sampled_from(sorted(GROWING)))
def test_no_step_that_grows_joins_two_components(mask: np.ndarray, name: str) -> None:
    after = GROWING[name](mask)
    assert after.dtype == bool and after.shape == mask.shape
    assert joins_nothing(mask, after)


@pytest.mark.parametrize("name", sorted(GROWING))
def test_two_sheets_three_voxels_apart_stay_two(name: str) -> None:
    mask = sheets(8, 13)
    after = GROWING[name](mask)
    assert scipy_label(after, FULL)[1] == 2
    assert after[9, 12, 12] and after[13, 12, 12]


@settings(max_examples=80, deadline=None)
@given(choices, probs)
def test_it_gives_a_mask_and_its_last_step_is_its_result(how: PostProcessing, prob: np.ndarray) -> None:
    mask = run(how, prob)
    state, steps = start(prob), []
    for name in SWITCHES:
        state = advance(how, state, (name,))
        steps.append((name, state.mask))
    steps = steps[1:]  # smoothing makes no mask yet
    assert mask.dtype == bool and mask.shape == prob.shape
    assert [name for name, _ in steps] == list(SWITCHES)[1:]
    np.testing.assert_array_equal(steps[-1][1], mask)
    for (_, before), (name, after) in pairwise(steps):
        assert joins_nothing(before, after) or name in (
            "strong",
            "small_components",
            "remains",
            "octant_small_components",
        )
        if not getattr(how, SWITCHES[name]):
            np.testing.assert_array_equal(after, before)


@settings(max_examples=40, deadline=None)
@given(probs, st.floats(0.1, 0.9))
def test_post_processing_with_all_steps_off_is_the_threshold(prob: np.ndarray, threshold: float) -> None:
    np.testing.assert_array_equal(run(PostProcessing(threshold), prob), prob >= np.float32(threshold))


@pytest.mark.parametrize("value", [0.0, 1.0])
@pytest.mark.parametrize("shape", [(0, 4, 4), (1, 1, 1), (1, 7, 1), (2, 3, 2), (16, 16, 16)])
def test_nothing_stays_nothing_and_everything_stays_everything(shape: tuple[int, ...], value: float) -> None:
    how = PostProcessing(
        0.5, 1.0, 0.9, small_components_vox=1, closing_radius_vox=2, fill_holes_radius_vox=2, cavity_vox=9,
        octant_small_components_vox=1,
    )  # fmt: skip
    np.testing.assert_array_equal(run(how, np.full(shape, value)), np.full(shape, value, bool))


def test_only_components_with_a_strong_voxel_stay() -> None:
    prob = np.zeros((8, 8, 8), np.float32)
    prob[1, 1:5, 1], prob[6, 1:5, 6] = 0.4, 0.4
    prob[1, 3, 1] = 0.8
    prob[2, 5, 2] = 0.3  # touches the strong row by a corner
    expected = np.zeros(prob.shape, bool)
    expected[1, 1:5, 1] = expected[2, 5, 2] = True
    np.testing.assert_array_equal(keep_strong(prob >= 0.3, prob, 0.8), expected)
    np.testing.assert_array_equal(run(PostProcessing(0.3, strong=0.8), prob), expected)


@settings(max_examples=40, deadline=None)
@given(probs)
def test_hysteresis_keeps_whole_components_and_exactly_those_with_a_strong_voxel(prob: np.ndarray) -> None:
    kept = keep_strong(prob >= 0.4, prob, 0.9)
    labels, count = scipy_label(prob >= 0.4, FULL)
    for number in range(1, count + 1):
        assert kept[labels == number].all() == kept[labels == number].any() == (prob[labels == number] >= 0.9).any()


def test_a_small_component_is_removed_by_its_6_connected_size_and_the_limit_itself_stays() -> None:
    mask = np.zeros((8, 8, 8), bool)
    mask[1, 1, 1:6] = True
    mask[2, 2, 6:8] = True  # hangs on the row's end by a corner
    assert drop_small_components(mask, 5).sum() == 5
    assert drop_small_components(mask, 6).sum() == 0
    assert drop_small_components(mask, 2).sum() == 7


def test_a_sheet_that_ends_just_past_the_cut_leaves_no_crumb_in_the_next_octant() -> None:
    mask = np.zeros((10, 10, 10), bool)
    mask[2, :, :6] = True
    kept = drop_small_in_octants(mask, 6)
    assert not kept[:, :, 5:].any() and kept[2, :, :5].all()
    assert drop_small_in_octants(mask, 5).sum() == mask.sum()


def test_a_cavity_is_filled_up_to_its_size_unless_something_lies_in_it() -> None:
    mask = np.zeros((16, 16, 16), bool)
    mask[1:8, 1:8, 1:8] = True
    mask[3:6, 3:6, 3:6] = False
    mask[10:13, 10:13, 10:13] = True
    mask[11, 11, 11] = False
    assert fill_cavities(mask, 1).sum() == mask.sum() + 1
    assert fill_cavities(mask, 27).sum() == mask.sum() + 28
    mask[4, 4, 4] = True
    assert fill_cavities(mask, 27).sum() == mask.sum() + 1


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("side", [1, 3, 6])
def test_a_small_hole_in_a_sheet_is_filled(axis: int, side: int) -> None:
    whole = np.moveaxis(sheets(8, 16), 0, axis)
    holed = whole.copy()
    np.moveaxis(holed, axis, 0)[:12, 10 : 10 + side, 10 : 10 + side] = False
    assert betti_numbers(holed) == (2, 1, 0)
    filled = fill_holes(holed, 3)
    assert betti_numbers(filled) == (2, 0, 0)
    assert (filled >= holed).all() and (filled <= whole).all()


def test_a_crack_that_parts_a_sheet_in_its_6_neighbours_is_filled() -> None:
    mask = np.zeros((8, 16, 16), bool)
    mask[3, :, :8] = mask[4, :, 8:] = True  # a step of one voxel: joined by edges only
    assert betti_numbers(mask)[0] == 2
    assert betti_numbers(fill_holes(mask, 1)) == (1, 0, 0)


def test_a_dent_is_closed_but_not_filled() -> None:
    mask = sheets(8, thickness=4)
    mask[11, 10:12, 10:12] = False
    np.testing.assert_array_equal(fill_holes(mask, 2), mask)
    np.testing.assert_array_equal(close_gaps(mask, 2), sheets(8, thickness=4))


@settings(max_examples=60, deadline=None)
@given(masks, st.sampled_from([1, 2, 3]))
def test_filling_holes_never_leaves_more_faults(mask: np.ndarray, radius: int) -> None:
    filled = fill_holes(mask, radius)
    assert (filled >= mask).all()
    assert betti_numbers(filled)[1] <= betti_numbers(mask)[1]


@settings(max_examples=60, deadline=None)
@given(masks, st.sampled_from([1, 2, 3]))
def test_dilation_is_all_that_a_distance_transform_finds_that_near(mask: np.ndarray, radius: int) -> None:
    near = distance_transform_edt(~mask) <= radius + 0.5 if mask.any() else mask
    np.testing.assert_array_equal(within(mask, radius), near)
    closed = closing(mask, radius)
    assert (closed >= mask).all()
    np.testing.assert_array_equal(closing(closed, radius), closed)


@pytest.mark.parametrize("normal", [(1.0, 0.0, 0.0), (0.6, 0.8, 0.0), (0.36, 0.48, 0.8)])
@pytest.mark.parametrize("thickness_vox", [3.0, 5.0])
def test_sheets_of_any_thickness_get_the_one_that_is_asked_for(normal: tuple, thickness_vox: float) -> None:
    grid = np.moveaxis(np.mgrid[:48, :48, :48], 0, -1) - 23.3
    height = grid @ np.array(normal)
    inner = tuple([slice(12, 36)] * 3)
    for width in (1.5, 4.0):
        prob = np.exp(-(height**2) / (2 * width**2)).astype(np.float32)
        mask = even_thickness(prob >= 0.4, prob, 0.4, thickness_vox)
        near = np.abs(height) <= thickness_vox / 2
        assert (mask[inner] != near[inner]).mean() < 0.01
        directions = sheet_normals(prob)[6:18, 6:18, 6:18]
        assert np.abs(directions @ np.array(normal)).min() > 0.99


def test_one_slab_with_two_ridges_comes_apart() -> None:
    height = np.mgrid[:40, :32, :32][0]
    prob = sum(0.9 * np.exp(-((height - at) ** 2) / (2 * 1.7**2)) for at in (16, 22)).clip(0, 1).astype(np.float32)
    assert scipy_label(prob >= 0.3, FULL)[1] == 1
    assert scipy_label(run(PostProcessing(0.3, thickness_vox=3.0), prob), FULL)[1] == 2


def test_pinholes_and_frays_go_where_a_mask_is_evened_out() -> None:
    mask = sheets(8, thickness=4)
    frayed = mask.copy()
    frayed[8:12, 12, 12] = False
    frayed[12:14, 5, 5] = True
    inner = (slice(None), slice(3, -3), slice(3, -3))
    np.testing.assert_array_equal(even_out(frayed, 1.0, 0.5)[inner], mask[inner])


@settings(max_examples=40, deadline=None)
@given(choices)
def test_it_survives_being_written_as_json(how: PostProcessing) -> None:
    assert PostProcessing.from_record(json.loads(json.dumps(how.as_record()))) == how


def test_a_record_that_is_no_post_processing_and_a_volume_that_is_no_probability_are_refused() -> None:
    record = PostProcessing(0.5).as_record()
    for bad in ({}, record | {"small_components": 3}, record | {"small_components_vox": -1}, record | {"strong": None}):
        with pytest.raises(InputError, match="post-processing: the record"):
            PostProcessing.from_record(bad)
    for volume in (np.zeros((4, 4)), np.zeros((4, 4, 4), np.uint8)):
        with pytest.raises(InputError, match="expected probabilities"):
            run(PostProcessing(0.5), volume)
    for value in (np.nan, -0.5, 7.0):
        with pytest.raises(InputError, match="outside 0 to 1"):
            run(replace(PostProcessing(0.5), small_components_vox=3), np.full((4, 4, 4), value))

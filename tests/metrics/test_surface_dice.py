"""Surface Dice: the reference's answers, a slow clear version of it, and what must hold for any masks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from reference_cases import SCORES, pair_of
from scipy.ndimage import correlate, distance_transform_edt

from scroll.errors import InputError
from scroll.metrics.surface_dice import corner_areas, matched_histograms, surface_dice

WEIGHTS = np.array([[[128, 64], [32, 16]], [[8, 4], [2, 1]]])


@pytest.mark.parametrize("case", SCORES)
def test_agrees_with_the_reference(case: str) -> None:
    pred, label = pair_of(case)
    known = label != 2
    ours = surface_dice((pred != 0) & known, (label != 0) & known, tolerance_vox=2.0)
    assert ours == pytest.approx(SCORES[case]["surface_dice"], abs=1e-9)


def test_the_golden_answers_are_all_there_and_differ() -> None:
    assert len(SCORES) == 126
    assert len({entry["surface_dice"] for entry in SCORES.values()}) > 80


def slow_surface_dice(pred: np.ndarray, truth: np.ndarray, tolerance_vox: float) -> float:
    """The definition, word by word: codes by correlation, distances by a distance transform."""
    sides = []
    for mask in (pred, truth):
        padded = np.pad(mask, 1).astype(np.int64)
        codes = correlate(padded, WEIGHTS, mode="constant", origin=-1)[:-1, :-1, :-1]
        sides.append((codes, (codes != 0) & (codes != 255)))
    matched = total = 0.0
    for (codes, own_border), (_, other_border) in (sides, sides[::-1]):
        areas = corner_areas()[codes] * own_border
        total += areas.sum()
        if other_border.any():
            matched += areas[distance_transform_edt(~other_border) <= tolerance_vox].sum()
    return 1.0 if total == 0 else matched / total


masks_of_a_shape = array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=7).flatmap(
    lambda shape: st.tuples(arrays(bool, shape), arrays(bool, shape))
)


@settings(max_examples=60, deadline=None)
@given(masks_of_a_shape, st.sampled_from([0.0, 0.5, 1.0, 2**0.5, 3**0.5, 2.0, 2.9, 3.0, 4.5, 6.0, 6.5, 9.0]))
def test_agrees_with_the_definition_at_any_tolerance(
    masks: tuple[np.ndarray, np.ndarray], tolerance_vox: float
) -> None:
    pred, truth = masks
    assert surface_dice(pred, truth, tolerance_vox) == pytest.approx(
        slow_surface_dice(pred, truth, tolerance_vox), abs=1e-12
    )


@pytest.mark.parametrize("width", [62, 63, 64, 65, 127, 128, 129])
@pytest.mark.parametrize("tolerance_vox", [1.0, 2.0, 5.0])
def test_nothing_happens_at_the_ends_of_the_words(width: int, tolerance_vox: float) -> None:
    rng = np.random.default_rng(width)
    pred = rng.random((4, 5, width)) < 0.04
    truth = rng.random((4, 5, width)) < 0.04
    pred[:, :, -1] |= rng.random((4, 5)) < 0.3
    assert surface_dice(pred, truth, tolerance_vox) == pytest.approx(
        slow_surface_dice(pred, truth, tolerance_vox), abs=1e-12
    )


@settings(max_examples=60, deadline=None)
@given(masks_of_a_shape, st.permutations([0, 1, 2]), st.lists(st.booleans(), min_size=3, max_size=3))
def test_swapping_flipping_and_turning_change_nothing(
    masks: tuple[np.ndarray, np.ndarray], axes: list[int], flips: list[bool]
) -> None:
    pred, truth = masks
    turned = [np.flip(mask, tuple(axis for axis in range(3) if flips[axis])).transpose(axes) for mask in masks]
    expected = surface_dice(pred, truth)
    assert surface_dice(truth, pred) == pytest.approx(expected, abs=1e-12)
    assert surface_dice(turned[0], turned[1]) == pytest.approx(expected, abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(masks_of_a_shape, st.integers(1, 70))
def test_empty_space_around_changes_nothing(masks: tuple[np.ndarray, np.ndarray], margin: int) -> None:
    pred, truth = masks
    moved_pred, moved_truth = (np.pad(mask, ((1, 2), (3, 0), (margin, 1))) for mask in masks)
    assert surface_dice(moved_pred, moved_truth) == pytest.approx(surface_dice(pred, truth), abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(masks_of_a_shape)
def test_a_wider_tolerance_never_lowers_it(masks: tuple[np.ndarray, np.ndarray]) -> None:
    values = [surface_dice(*masks, tolerance_vox) for tolerance_vox in (0, 1, 1.5, 2, 3, 6, 7)]
    assert values == sorted(values)
    assert surface_dice(masks[0], masks[0], 0) == 1.0


def test_two_empty_masks_agree_and_one_empty_mask_does_not() -> None:
    empty, full = np.zeros((4, 4, 4), bool), np.ones((4, 4, 4), bool)
    assert surface_dice(empty, empty) == 1.0
    assert surface_dice(empty, full) == surface_dice(full, empty) == 0.0
    assert surface_dice(empty, full, tolerance_vox=50.0) == 0.0
    assert surface_dice(np.zeros((0, 4, 4), bool), np.zeros((0, 4, 4), bool)) == 1.0


@pytest.mark.parametrize("tolerance_vox", [0.0, 2.0, 6.0, 7.0, 1000.0])
def test_nothing_is_near_a_surface_that_is_not_there(tolerance_vox: float) -> None:
    full, empty = np.ones((3, 4, 70), bool), np.zeros((3, 4, 70), bool)
    counts = matched_histograms(full, empty, tolerance_vox)
    assert counts[0, 0].sum() == 4 * 5 * 71 - 2 * 3 * 69  # all corners but those inside the block
    assert counts[0, 1].sum() == counts[1].sum() == 0


def test_the_tolerance_is_inclusive() -> None:
    sheet, moved = np.zeros((9, 1, 1), bool), np.zeros((9, 1, 1), bool)
    sheet[2], moved[4] = True, True  # two voxels apart: every corner has its like at exactly two
    assert surface_dice(sheet, moved, tolerance_vox=2.0) == 1.0
    assert surface_dice(sheet, moved, tolerance_vox=1.99) < 1.0


def test_one_voxel_is_cut_from_its_eight_neighbours_by_eight_corner_triangles() -> None:
    assert corner_areas()[[128, 64, 32, 16, 8, 4, 2, 1]] == pytest.approx(3**0.5 / 8)


def test_the_area_table_has_the_known_values() -> None:
    areas = corner_areas()
    known = [0, 0.2165, 0.433, 0.6495, 0.7071, 0.866, 0.9236, 1.0, 1.1495, 1.299, 1.366, 1.4142, 1.5731]
    assert sorted({round(float(area), 4) for area in areas}) == known
    assert areas == pytest.approx(areas[::-1], abs=1e-12)  # inside and outside share one surface
    assert areas[0] == areas[255] == 0


def test_what_is_no_pair_of_bool_volumes_is_refused_in_one_line() -> None:
    good = np.zeros((3, 3, 3), bool)
    for pred, truth, tolerance_vox, message in [
        (good, np.zeros((3, 3, 4), bool), 2.0, "shape"),
        (good.astype(np.uint8), good, 2.0, "uint8"),
        (good, good[0], 2.0, "2 axes"),
        (good, good, -1.0, "-1.0"),
        (good, good, float("nan"), "nan"),
    ]:
        with pytest.raises(InputError, match=message) as caught:
            surface_dice(pred, truth, tolerance_vox)
        assert "\n" not in str(caught.value)

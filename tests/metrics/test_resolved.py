"""Two close sheets found as two: by hand, and what must hold for any prediction."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scroll.errors import InputError
from scroll.metrics.betti_matching.connected import connected_components
from scroll.metrics.sheet_separation import resolved

SHAPE = (16, 20, 20)
LOWER, UPPER = 5, 10  # layers of the two sheets, one voxel thick each


def sheets(*layers: int, numbers: tuple[int, ...] = (1, 2)) -> np.ndarray:
    """A volume with a number on each of the layers."""
    volume = np.zeros(SHAPE, np.uint8)
    for layer, number in zip(layers, numbers, strict=False):
        volume[layer] = number
    return volume


TRUTH = sheets(LOWER, UPPER)


def test_two_separate_sheets_are_resolved() -> None:
    found = resolved(TRUTH > 0, TRUTH)
    assert found.is_resolved
    assert found.own == (1.0, 1.0) and found.other == (0.0, 0.0) and found.objects == (1, 2)


def test_a_bridge_of_one_voxels_width_joins_a_mask_but_not_numbered_objects() -> None:
    numbered = TRUTH.copy()
    numbered[LOWER + 1 : UPPER, 10, 10] = 1
    as_mask = resolved(numbered > 0, TRUTH)
    assert not as_mask.is_resolved and as_mask.objects == (1, 1) and as_mask.other == (1.0, 1.0)
    assert resolved(numbered, TRUTH).is_resolved


def test_a_bridge_that_leads_over_what_is_no_truth_joins_all_the_same() -> None:
    mask = TRUTH > 0
    mask[LOWER : UPPER + 1, :, 0] = True
    close = TRUTH.copy()
    close[:, :, :10] = 0
    assert not resolved(mask, close).is_resolved


@pytest.mark.parametrize("layer", [LOWER, UPPER])
def test_one_sheet_missing_is_not_resolved(layer: int) -> None:
    found = resolved(sheets(layer) > 0, TRUTH)
    assert not found.is_resolved and sorted(found.own) == [0.0, 1.0] and 0 in found.objects


def test_nothing_found_is_not_resolved() -> None:
    found = resolved(np.zeros(SHAPE, bool), TRUTH)
    assert not found.is_resolved and found.objects == (0, 0) and found.own == (0.0, 0.0)


@pytest.mark.parametrize(("layer", "own"), [(6, (1.0, 0.0)), (7, (0.0, 0.0)), (8, (0.0, 1.0))])
def test_one_sheet_between_two_that_are_four_voxels_apart_never_stands_for_both(
    layer: int, own: tuple[float, float]
) -> None:
    found = resolved(sheets(layer) > 0, sheets(5, 9))
    assert not found.is_resolved and found.own == own


def test_one_thick_slab_over_both_is_not_resolved() -> None:
    slab = np.zeros(SHAPE, bool)
    slab[LOWER - 1 : UPPER + 2] = True
    assert not resolved(slab, TRUTH).is_resolved


def test_objects_that_change_over_from_one_sheet_to_the_other_are_not_resolved() -> None:
    crossed = TRUTH.copy()
    crossed[LOWER, :, 10:], crossed[UPPER, :, 10:] = 2, 1
    found = resolved(crossed, TRUTH)
    assert not found.is_resolved and found.own == (0.5, 0.5) and found.other == (0.5, 0.5)


@pytest.mark.parametrize(("columns", "own", "is_resolved"), [(12, 0.7, True), (11, 0.65, False)])
def test_seven_tenths_of_each_sheet_suffice_with_two_voxels_beyond_the_rim(
    columns: int, own: float, is_resolved: bool
) -> None:
    part = TRUTH.copy()
    part[UPPER, :, columns:] = 0  # covers two columns more
    found = resolved(part > 0, TRUTH)
    assert found.own == (1.0, own) and found.is_resolved is is_resolved


@pytest.mark.parametrize(("columns", "other", "is_resolved"), [(4, 0.2, True), (5, 0.25, False)])
def test_an_object_may_cover_a_fifth_of_the_other_sheet(columns: int, other: float, is_resolved: bool) -> None:
    numbered = TRUTH.copy()
    numbered[UPPER, :, :columns] = 1
    found = resolved(numbered, TRUTH)
    assert found.own == (1.0, 1 - other) and found.other == (other, 0.0) and found.is_resolved is is_resolved


@pytest.mark.parametrize(("away", "is_resolved"), [(0, True), (1, True), (2, True), (3, False)])
def test_sheets_two_voxels_beside_their_place_still_count(away: int, is_resolved: bool) -> None:
    assert resolved(sheets(LOWER - away, UPPER + away) > 0, TRUTH).is_resolved is is_resolved


def test_a_sheet_in_two_halves_is_not_resolved_though_all_of_it_is_found() -> None:
    numbered = TRUTH.copy()
    numbered[LOWER, :, 10:] = 3
    assert not resolved(numbered, TRUTH).is_resolved


def test_sheets_that_run_together_only_where_they_are_close_show_in_the_truth_of_that_part() -> None:
    one_there = TRUTH.copy()
    one_there[LOWER, :, 16:] = 0  # the lower sheet ends where the two come close, on a fifth of the area
    close = TRUTH.copy()
    close[:, :, :16] = 0
    assert resolved(one_there, TRUTH).is_resolved and not resolved(one_there, close).is_resolved


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.05, 0.95), st.floats(0, 0.002))
def test_neither_the_order_of_the_sheets_nor_the_numbers_of_the_objects_matter(
    seed: int, kept: float, specks: float
) -> None:
    rng = np.random.default_rng(seed)
    mask = ((TRUTH > 0) & (rng.random(SHAPE) < kept)) | (rng.random(SHAPE) < specks)
    found = resolved(mask, TRUTH)
    swapped = resolved(mask, np.where(TRUTH > 0, 3 - TRUTH, 0).astype(np.uint8))
    assert swapped.is_resolved == found.is_resolved and swapped.own == found.own[::-1]
    numbered = connected_components(mask, 26)
    names = rng.permutation(1000)[: int(numbered.max()) + 1] + 1
    renamed = np.where(mask, names[numbered], 0)
    assert resolved(renamed, TRUTH).is_resolved == found.is_resolved
    assert resolved(renamed, TRUTH).own == found.own
    assert all(0 <= share <= 1 for share in found.own + found.other)
    assert all(own + other <= 1 + 1e-9 for own, other in zip(found.own, found.other[::-1], strict=True)) or (
        found.objects[0] == found.objects[1]
    )


@pytest.mark.parametrize(
    ("prediction", "truth", "message"),
    [
        (np.zeros((3, 4, 5), bool), TRUTH, "one grid"),
        (TRUTH > 0, sheets(LOWER), "1 and 2"),
        (TRUTH > 0, sheets(3, 6, 9, numbers=(1, 2, 3)), "1 and 2"),
        (TRUTH.astype(np.float32), TRUTH, "threshold it"),
        (-TRUTH.astype(np.int64), TRUTH, "from 0"),
    ],
)
def test_what_is_no_pair_is_refused_in_one_line(prediction: np.ndarray, truth: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message) as refused:
        resolved(prediction, truth)
    assert "\n" not in str(refused.value)

"""The leaderboard's score: the reference's 126 answers, the edge cases, and what must hold for any volumes."""

import json
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from reference_cases import SCORES, pair_of

from scroll.errors import InputError
from scroll.metrics.leaderboard import IGNORE, leaderboard_score, mean_score

PARTS = ("score", "topo", "surface_dice", "voi_score", "voi")

values = st.sampled_from([0, 0, 1, 1, IGNORE])
volume_pairs = array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=8).flatmap(
    lambda shape: st.tuples(arrays(np.uint8, shape, elements=values), arrays(np.uint8, shape, elements=values))
)


@pytest.mark.parametrize("case", SCORES)
def test_agrees_with_the_reference(case: str) -> None:
    ours, expected = leaderboard_score(*pair_of(case)), SCORES[case]
    assert [[list(triple) for triple in octant] for octant in ours.octant_counts] == expected["tiles"]
    assert [list(triple) for triple in ours.counts] == expected["counts"]
    for part in PARTS:
        assert getattr(ours, part) == pytest.approx(expected[part], abs=1e-9), part


def test_the_reference_answers_are_rich_in_matched_components_and_tunnels() -> None:
    matched = np.array([[triple[0] for triple in entry["counts"]] for entry in SCORES.values()])
    assert len(SCORES) == 126
    assert matched.sum(axis=0).tolist() == [2150, 3268, 0]  # cavities: see test_topology


def sheets(*octants: tuple[int, int, int]) -> np.ndarray:
    volume = np.zeros((32, 32, 32), np.uint8)
    for z, y, x in octants:
        volume[16 * z + 7 : 16 * z + 10, 16 * y + 2 : 16 * y + 14, 16 * x + 2 : 16 * x + 14] = 1
    return volume


ONE, TWO, NONE = sheets((0, 0, 0)), sheets((0, 0, 0), (1, 1, 1)), sheets()


@pytest.mark.parametrize(
    ("pred", "label", "expected"),
    [
        (NONE, NONE, (1, 1, 1, 1)),
        (TWO, np.full_like(TWO, IGNORE), (1, 1, 1, 1)),
        (NONE, ONE, (0.65, 1, 0, 1)),
        (NONE, TWO, (0.569, 1, 0, 0.769)),
        (ONE, NONE, (0.65, 1, 0, 1)),
        (TWO, TWO, (1, 1, 1, 1)),
    ],
)
def test_the_edge_cases(pred: np.ndarray, label: np.ndarray, expected: tuple[float, ...]) -> None:
    ours = leaderboard_score(pred, label)
    assert (ours.score, ours.topo, ours.surface_dice, ours.voi_score) == pytest.approx(expected, abs=5e-4)


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 1, 2), (3, 1, 1), (1, 5, 7), (2, 2, 2), (9, 4, 5)])
def test_the_smallest_and_the_full_volumes_have_scores_too(shape: tuple[int, int, int]) -> None:
    full = np.ones(shape, np.uint8)
    assert leaderboard_score(full, full).score == 1.0
    assert 0 < leaderboard_score(full * 0, full).score < 1
    point = np.zeros(shape, bool)
    point[0, 0, 0] = True
    assert leaderboard_score(point, point.astype(np.float32)).score == 1.0


def test_one_hole_costs_a_tenth_and_thickness_five_for_three_costs_an_eighth() -> None:
    label = np.zeros((96, 96, 96), np.uint8)
    for z in range(6, 96, 15):
        label[z : z + 3] = 1
    hole = label.copy()
    hole[21:24, 20:25, 20:25] = 0
    assert leaderboard_score(hole, label).score == pytest.approx(1 - 0.3 * 0.33 * (1 - 1 / 3) / 0.67, abs=0.01)
    thick = np.maximum.reduce([np.roll(label, by, axis=0) for by in (-1, 0, 1)])
    assert leaderboard_score(thick, label).score == pytest.approx(0.87, abs=0.015)


@settings(max_examples=60, deadline=None)
@given(volume_pairs)
def test_ignoring_is_editing_both_volumes(pair: tuple[np.ndarray, np.ndarray]) -> None:
    pred, label = pair
    known = label != IGNORE
    assert leaderboard_score(pred, label) == leaderboard_score(pred * known, label * known)


@settings(max_examples=60, deadline=None)
@given(volume_pairs)
def test_a_volume_agrees_with_itself_and_no_score_leaves_its_range(pair: tuple[np.ndarray, np.ndarray]) -> None:
    pred, label = pair[0] != 0, pair[1] != 0
    same = leaderboard_score(pred, pred)
    assert (same.score, same.voi) == (pytest.approx(1.0), pytest.approx(0.0, abs=1e-12))
    assert all(matched == predicted == truth for matched, predicted, truth in same.counts)
    ours, turned = leaderboard_score(pred, label), leaderboard_score(label, pred)
    assert all(0 <= getattr(ours, part) <= 1 for part in PARTS[:-1])
    assert turned.surface_dice == pytest.approx(ours.surface_dice, abs=1e-12)
    assert turned.voi == pytest.approx(ours.voi, abs=1e-12)
    assert [(m, g, p) for m, p, g in ours.counts] == list(turned.counts)


@settings(max_examples=60, deadline=None)
@given(volume_pairs, st.sets(st.integers(0, 2)))
def test_flips_change_no_surface_no_information_and_on_even_sides_no_number_of_features(
    pair: tuple[np.ndarray, np.ndarray], axes: set[int]
) -> None:
    pred, label = (np.repeat(volume != 0, 2, axis=0) for volume in pair)
    axes = {axis for axis in axes if pred.shape[axis] % 2 == 0}  # else the cut between octants moves
    ours = leaderboard_score(pred, label)
    flipped = leaderboard_score(np.flip(pred, tuple(axes)), np.flip(label, tuple(axes)))
    assert flipped.surface_dice == pytest.approx(ours.surface_dice, abs=1e-12)
    assert flipped.voi == pytest.approx(ours.voi, abs=1e-12)
    assert [triple[1:] for triple in flipped.counts] == [triple[1:] for triple in ours.counts]


def test_whatever_is_not_zero_is_foreground_and_nan_is_not() -> None:
    pred = ONE.astype(np.float32) * 255
    pred[0, 0, 0] = np.nan
    assert leaderboard_score(pred, ONE).score == 1.0
    assert leaderboard_score(ONE * IGNORE, ONE).score == 1.0


def test_the_mean_counts_volumes_and_not_voxels() -> None:
    scores = [leaderboard_score(NONE, NONE), leaderboard_score(ONE[:20, :20, :20] * 0, ONE[:20, :20, :20])]
    assert mean_score(scores)["score"] == pytest.approx((1 + 0.65) / 2)
    assert mean_score(scores)["surface_dice"] == 0.5
    with pytest.raises(InputError, match="no volume"):
        mean_score([])


def test_a_score_is_ready_for_json() -> None:
    row = json.loads(json.dumps(asdict(leaderboard_score(TWO, ONE))))
    assert set(row) == {*PARTS, "counts", "octant_counts"}
    assert np.array(row["octant_counts"]).shape == (8, 3, 3)


@pytest.mark.parametrize(
    ("pred", "label", "message"),
    [
        (ONE, ONE[1:], r"\(32, 32, 32\).*\(31, 32, 32\)"),
        (ONE[0], ONE[0], "2 axes"),
        (ONE.astype(str), ONE, "<U"),
        (ONE, ONE.astype(complex), "complex128"),
    ],
)
def test_what_cannot_be_scored_is_refused_in_one_line(pred: np.ndarray, label: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        leaderboard_score(pred, label)
    assert "\n" not in str(caught.value)

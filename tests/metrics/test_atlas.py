"""The error atlas: faults that were put in are found, where they are, and the gain is that of mending them."""

import json
from dataclasses import asdict

import numpy as np
import pytest

from scroll.metrics.error_map import Entry, as_table, atlas
from scroll.metrics.leaderboard import score_masks


@pytest.fixture
def label() -> np.ndarray:
    volume = np.zeros((40, 40, 40), bool)
    for z in (4, 14, 28):
        volume[z : z + 3] = True
    return volume


def the_one(entries: list[Entry]) -> Entry:
    assert len(entries) == 1, entries
    return entries[0]


def test_a_perfect_prediction_has_an_empty_atlas(label: np.ndarray) -> None:
    assert atlas(label, label) == []


@pytest.mark.parametrize(
    ("kind", "box", "value", "octant", "size"),
    [
        ("stray component", np.s_[10:12, 30:32, 5:7], True, 2, 8),
        ("wrong tunnel", np.s_[14:17, 5:9, 5:9], False, 0, 48),
        ("wrong cavity", np.s_[29, 10, 30], False, 5, 1),
        ("merge", np.s_[7:14, 8, 9], True, 0, None),
    ],
)
def test_one_fault_is_found_in_its_place_and_its_gain_is_all_that_is_missing(
    label: np.ndarray, kind: str, box: tuple[slice, ...], value: bool, octant: int, size: int | None
) -> None:
    pred = label.copy()
    pred[box] = value
    entry = the_one(atlas(pred, label))
    assert (entry.kind, entry.octant) == (kind, octant)
    assert entry.is_rescored and 0 < entry.gain <= 1 - score_masks(pred, label).score + 1e-12
    if size is not None:
        assert entry.size_vox == size
        assert entry.gain == pytest.approx(1 - score_masks(pred, label).score, abs=1e-12)
    around = np.zeros_like(label)
    around[box] = True
    assert np.abs(np.argwhere(around) - entry.where).max(axis=1).min() <= 1


def test_a_sheet_cut_in_two_is_a_split_and_one_left_out_is_missing(label: np.ndarray) -> None:
    cut = label.copy()
    cut[28:31, 11] = False
    entry = the_one(atlas(cut, label))
    assert (entry.kind, entry.size_vox, entry.where[1]) == ("split", 120, 11)
    assert entry.gain == pytest.approx(1 - score_masks(cut, label).score, abs=1e-12)
    without = label.copy()
    without[14:17] = False
    kinds = {entry.kind for entry in atlas(without, label)}
    assert kinds == {"missing component"}


def test_missing_tunnels_and_cavities_are_found_too(label: np.ndarray) -> None:
    true = label.copy()
    true[14:17, 5:8, 5:8] = False
    true[29, 30, 30] = False
    entries = atlas(label, true)
    assert sorted(entry.kind for entry in entries) == ["missing cavity", "missing tunnel"]
    assert all(entry.is_rescored and entry.gain > 0 for entry in entries)


def test_the_worst_comes_first_and_beyond_the_limit_the_counts_speak(label: np.ndarray) -> None:
    pred = label.copy()
    pred[7:14, 8, 9] = pred[10, 30, 30] = pred[36, 5, 5] = True
    pred[28:31, 24:28, 25:29] = False
    entries = atlas(pred, label)
    assert [entry.gain for entry in entries] == sorted((entry.gain for entry in entries), reverse=True)
    assert len(entries) == 4 and all(entry.is_rescored for entry in entries)
    rough = atlas(pred, label, limit=0)
    assert len(rough) == 4 and not any(entry.is_rescored for entry in rough)
    by_kind = {entry.kind: entry.gain for entry in entries}
    assert {entry.kind: entry.gain for entry in rough}["wrong tunnel"] == pytest.approx(
        by_kind["wrong tunnel"], abs=0.02
    )
    json.dumps([asdict(entry) for entry in entries])
    assert len(as_table(entries, rows=2)) == 4 and "2 more" in as_table(entries, rows=2)[-1]

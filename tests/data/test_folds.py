"""Folds: every row is held out once, and no training patch sees what its fold is asked about."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scroll_fragments import data_settings

from scroll.config.schema import FoldSettings
from scroll.data.folds import Fold, check_no_leak, make_folds
from scroll.data.fragments import Fragment
from scroll.data.labels import Label
from scroll.data.patch_sampler import draw
from scroll.errors import InputError

FOLDER = Path("train")


def fragment_of(name: str, mask: np.ndarray) -> Fragment:
    """A fragment of which only the mask is known; nothing of it is on disk."""
    fragment = Fragment(name, FOLDER / name, data_settings(FOLDER))
    fragment.__dict__["mask"] = fragment.__dict__["open_mask"] = mask
    return fragment


def bare(heights: list[int], width: int = 3) -> list[Fragment]:
    return [fragment_of(f"f{i:02d}", np.ones((height, width), dtype=bool)) for i, height in enumerate(heights)]


def held_out_times(folds: list[Fold], fragment: Fragment) -> np.ndarray:
    return np.sum([fold.rows(fragment, False) for fold in folds], axis=0)


@given(st.lists(st.integers(1, 50), min_size=1, max_size=9), st.integers(2, 9))
def test_by_fragment_every_row_is_held_out_by_exactly_one_fold(heights, count):
    fragments, settings = bare(heights), FoldSettings(by="fragment", count=count)
    if len(heights) < count:
        with pytest.raises(InputError, match=rf"folds.count is {count} but there are {len(heights)}"):
            make_folds(fragments, settings)
        return
    folds = make_folds(fragments, settings)
    assert [fold.number for fold in folds] == list(range(count))
    sizes = [len(fold.held_out) for fold in folds]
    assert max(sizes) - min(sizes) <= 1
    for fragment in fragments:
        assert (held_out_times(folds, fragment) == 1).all()


@given(st.lists(st.integers(1, 300), min_size=1, max_size=3), st.integers(2, 9), st.integers(0, 60))
def test_by_region_every_row_is_held_out_once_and_the_buffer_is_closed(heights, count, buffer_px):
    fragments = bare(heights)
    try:
        folds = make_folds(fragments, FoldSettings(by="region", count=count, buffer_px=buffer_px))
    except InputError:
        assert any(height - (-(-height // count)) <= 2 * buffer_px for height in heights)
        return
    for fragment in fragments:
        assert (held_out_times(folds, fragment) == 1).all()
        for fold in folds:
            is_open = fold.rows(fragment, True)
            assert is_open.any()
            rows = np.arange(len(is_open))
            start, stop = fold.held_out[fragment.id]
            distance = np.maximum(np.maximum(start - rows, rows - stop + 1), 0)
            np.testing.assert_array_equal(is_open, distance > buffer_px)


def test_the_buffer_by_hand():
    fold = make_folds(bare([100]), FoldSettings(by="region", count=4, buffer_px=10))[1]
    assert (fold.held_out, fold.closed) == ({"f00": (25, 50)}, {"f00": (15, 60)})


def test_bands_with_nothing_left_to_train_on_are_refused_with_the_numbers():
    with pytest.raises(InputError, match=r"100 rows in 2 folds .* 50 rows; lower folds.buffer_px"):
        make_folds(bare([100]), FoldSettings(by="region", count=2, buffer_px=50))
    assert make_folds(bare([100]), FoldSettings(by="region", count=2, buffer_px=49))[0].closed == {"f00": (0, 99)}


def test_training_and_validation_keep_to_their_rows():
    mask = np.random.default_rng(0).random((40, 30)) < 0.8
    fragment = fragment_of("a", mask)
    for fold in make_folds([fragment], FoldSettings(by="region", count=2, buffer_px=3)):
        for is_training in (True, False):
            fragment.__dict__["label"] = Label(np.zeros_like(mask), ~mask)
            sampler = fold.sampler([fragment], (1, 1), 0.5, is_training)
            rows = fold.rows(fragment, is_training)
            assert all(rows[sampler.place(draw(0, n)).y] for n in range(60))
    assert (fragment.mask == mask).all()


def test_a_patch_may_reach_over_rows_without_papyrus():
    mask = np.zeros((64, 64), dtype=bool)
    mask[4:60] = True
    first, second = fragment_of("a", mask), fragment_of("b", mask)
    for fragment in (first, second):
        fragment.__dict__["label"] = Label(mask & False, ~mask)
    fold = make_folds([first, second], FoldSettings(by="fragment", count=2))[0]
    assert fold.sampler([first, second], (64, 64), 0.5, is_training=True).place(draw(0, 0)).source == 1


@given(st.integers(0, 99), st.integers(0, 99), st.integers(0, 99), st.integers(1, 40))
def test_a_patch_leaks_exactly_when_it_shares_a_row_with_what_is_held_out(a, b, first, height):
    start, stop = sorted((a, b))
    fold = Fold(0, {"f": (start, stop)}, {"f": (start, stop)})
    if set(range(start, stop)) & set(range(first, first + height)):
        with pytest.raises(InputError, match=rf"rows {first}-{first + height} of fragment 'f' sees held-out rows"):
            check_no_leak(fold, "f", first, first + height)
    else:
        check_no_leak(fold, "f", first, first + height)
    check_no_leak(fold, "another", first, first + height)


@given(
    heights=st.lists(st.integers(30, 90), min_size=2, max_size=3),
    by=st.sampled_from(["fragment", "region"]),
    count=st.integers(2, 3),
    buffer_px=st.integers(0, 8),
    patch=st.tuples(st.integers(1, 24), st.integers(1, 20)),
    foreground_share=st.sampled_from([0.0, 0.5, 1.0]),
    seed=st.integers(0, 1000),
)
def test_no_training_patch_ever_touches_a_closed_row(heights, by, count, buffer_px, patch, foreground_share, seed):
    assume(by == "region" or count <= len(heights))
    rng = np.random.default_rng(seed)
    fragments = [fragment_of(f"f{i}", rng.random((height, 25)) < 0.7) for i, height in enumerate(heights)]
    inks = [fragment.mask & (rng.random(fragment.mask.shape) < 0.6) for fragment in fragments]
    for fragment, ink in zip(fragments, inks, strict=True):
        fragment.__dict__["label"] = Label(ink, ~fragment.mask)
    for fold in make_folds(fragments, FoldSettings(by=by, count=count, buffer_px=buffer_px)):
        try:
            sampler = fold.sampler(fragments, patch, foreground_share, is_training=True)
        except InputError:
            continue
        for n in range(40):
            place = sampler.place(draw(seed, n))
            fragment = fragments[place.source]
            closed = range(*fold.closed.get(fragment.id, (0, 0)))
            assert not set(closed) & set(range(place.y, place.y + patch[0]))
            assert 0 <= place.y <= fragment.mask.shape[0] - patch[0] and 0 <= place.x <= 25 - patch[1]
            check_no_leak(fold, fragment.id, place.y, place.y + patch[0])

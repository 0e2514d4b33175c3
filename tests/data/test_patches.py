"""Patches: number n is number n whoever asks, windows cover everything, and ink is drawn as often as was asked."""

import itertools
import random
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scroll.data.patch_sampler import BalancedSampler, draw, window_starts
from scroll.errors import InputError


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 60))
def test_windows_cover_every_voxel_and_none_hangs_over(length, patch, stride):
    if not stride <= patch <= length:
        with pytest.raises(InputError):
            window_starts(length, patch, stride)
        return
    starts = window_starts(length, patch, stride)
    covered = {voxel for start in starts for voxel in range(start, start + patch)}
    assert covered == set(range(length))
    assert starts == sorted(set(starts))
    assert all(later - earlier <= stride for earlier, later in itertools.pairwise(starts))


def test_no_window_more_than_needed():
    assert window_starts(12, 4, 4) == [0, 4, 8]
    assert window_starts(4, 4, 1) == [0]


def test_a_window_larger_than_the_axis_says_what_to_change():
    with pytest.raises(InputError, match="a window of 96 voxels does not fit along an axis of 80; make patch_size"):
        window_starts(80, 96, 48)


def sources(seed: int = 0) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Two sheets, half papyrus each; ink in the upper half of the papyrus."""
    inks, opens = [], []
    for height, width in ((96, 128), (160, 96)):
        is_open = np.zeros((height, width), dtype=bool)
        is_open[:, : width // 2 + 16 * seed] = True
        ink = is_open.copy()
        ink[height // 2 :] = False
        inks.append(ink)
        opens.append(is_open)
    return inks, opens


def test_patch_n_is_the_same_in_whatever_order_and_by_how_many_it_is_asked_for():
    sampler = BalancedSampler(*sources(), (32, 32), 0.5)
    numbers = list(range(200))
    in_order = {n: sampler.place(draw(7, n)) for n in numbers}
    shuffled = random.Random(0).sample(numbers, len(numbers))
    assert {n: sampler.place(draw(7, n)) for n in shuffled} == in_order
    with ThreadPoolExecutor(4) as pool:
        assert dict(zip(shuffled, pool.map(lambda n: sampler.place(draw(7, n)), shuffled), strict=True)) == in_order
    assert {n: BalancedSampler(*sources(), (32, 32), 0.5).place(draw(7, n)) for n in numbers[:9]} == {
        n: in_order[n] for n in numbers[:9]
    }


@given(st.integers(0, 2**40), st.integers(0, 2**40), st.integers(0, 3))
def test_seed_number_and_stream_each_change_the_random_numbers(seed, n, stream):
    def first(*key: int) -> float:
        return float(draw(*key).random())

    assert first(seed, n, stream) == first(seed, n, stream)
    assert len({first(seed, n, stream), first(seed + 1, n, stream), first(seed, n + 1, stream)}) == 3
    assert first(seed, n, stream) != first(seed, n, stream + 1)


@pytest.mark.parametrize("wanted", [0.0, 0.3, 0.5, 1.0])
def test_the_share_of_patches_around_ink_is_the_one_asked_for(wanted):
    inks, opens = sources()
    sampler = BalancedSampler(inks, opens, (16, 16), wanted)
    seen = []
    for n in range(600):
        place = sampler.place(draw(3, n))
        seen.append(inks[place.source][place.y : place.y + 16, place.x : place.x + 16].any())
    # a patch around an inkless block may still catch ink at its edge, and the other way round
    assert abs(np.mean(seen) - wanted) < 0.13


def test_every_source_is_drawn_from_in_proportion_to_its_blocks():
    inks, opens = sources()
    sampler = BalancedSampler(inks, opens, (16, 16), 0.5)
    second = np.mean([sampler.place(draw(1, n)).source for n in range(600)])
    blocks = [np.count_nonzero(o) for o in opens]
    assert abs(second - blocks[1] / sum(blocks)) < 0.07


@pytest.mark.parametrize("width", [1, 2, 3])
def test_ink_thinner_than_a_quarter_of_a_block_is_still_drawn(width):
    ink = np.zeros((256, 256), dtype=bool)
    ink[:, 40 : 40 + width] = True
    sampler = BalancedSampler([ink], [np.ones_like(ink)], (32, 32), 1.0)
    hits = [ink[p.y : p.y + 32, p.x : p.x + 32].any() for p in (sampler.place(draw(0, n)) for n in range(200))]
    assert np.mean(hits) > 0.5


@pytest.mark.parametrize("has_ink", [False, True])
def test_where_one_kind_is_missing_the_other_is_drawn(has_ink):
    is_open = np.ones((64, 64), dtype=bool)
    sampler = BalancedSampler([is_open & has_ink], [is_open], (32, 32), 0.5)
    assert {sampler.place(draw(0, n)).source for n in range(20)} == {0}


def test_a_source_too_small_for_a_patch_is_passed_over():
    small, large = np.ones((16, 16), dtype=bool), np.ones((64, 64), dtype=bool)
    sampler = BalancedSampler([small, large], [small, large], (32, 32), 0.5)
    assert {sampler.place(draw(0, n)).source for n in range(50)} == {1}


def test_a_patch_that_fits_nowhere_is_refused_with_its_size():
    narrow = np.ones((64, 20), dtype=bool)
    with pytest.raises(InputError, match=r"no open place for a patch of \(32, 32\)"):
        BalancedSampler([narrow], [narrow], (32, 32), 0.5)
    with pytest.raises(InputError, match="no open place"):
        BalancedSampler([narrow], [np.zeros_like(narrow)], (16, 16), 0.5)

"""Sums without arrays in between, and views without turns by nothing, have the bits of the plain way."""

from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from scroll.config.schema import WindowSettings
from scroll.errors import InputError
from scroll.inference.sliding_window import Sweep, blend_weights, predict, symmetric_mean
from scroll.inference.window_sums import DeviceSums, HostSums, WindowSums

TTAS, AVERAGES = ("none", "flips", "dihedral"), ("logits", "probabilities")


def lopsided(windows: Tensor) -> Tensor:
    """Two channels that know left from right and above from below."""
    one = windows + 0.7 * torch.roll(windows, (1, 2), (-2, -1))
    return torch.cat([one, 0.3 * windows.flip(-1) - one * 0.1], dim=1)


def plainly(forward, windows: Tensor, chosen: WindowSettings) -> Tensor:
    """Every view turned, looked at, turned back and added to the others, each in a tensor of its own."""
    square = windows.shape[-1] == windows.shape[-2]
    turns = {"none": [0], "flips": [0, 2], "dihedral": range(4) if square else [0, 2]}[chosen.tta]
    total, views = None, list(product(turns, (False, True) if chosen.tta != "none" else (False,)))
    for turn, mirror in views:
        scores = forward(torch.rot90(windows.flip(-1) if mirror else windows, turn, (-2, -1))).float()
        scores = torch.sigmoid(scores) if chosen.average == "probabilities" else scores
        scores = torch.rot90(scores, -turn, (-2, -1))
        scores = scores.flip(-1) if mirror else scores
        total = scores if total is None else total + scores
    return total / len(views)


@pytest.mark.parametrize("shape", [(2, 1, 5, 5), (1, 1, 3, 4, 6), (2, 1, 3, 4, 4)])
@pytest.mark.parametrize(("tta", "average"), product(TTAS, AVERAGES))
def test_the_mean_over_views_has_the_bits_of_the_plain_one_and_changes_nothing_else(shape, tta, average):
    chosen, windows = WindowSettings(tta=tta, average=average), torch.randn(shape)
    before = windows.clone()
    for forward in (lopsided, lambda seen: seen):
        with torch.inference_mode():
            expected = plainly(forward, windows, chosen)
        assert symmetric_mean(forward, windows, chosen).numpy().tobytes() == expected.numpy().tobytes()
        assert torch.equal(windows, before)


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from([((12, 15), (6, 5)), ((3, 12, 15), (2, 6, 5)), ((4, 9, 14), (4, 9, 9))]),
    st.sampled_from(["gaussian", "hann"]),
    st.sampled_from(AVERAGES),
    st.sampled_from(TTAS),
)
def test_a_prediction_has_the_bits_of_windows_added_one_after_the_other(sizes, blend, average, tta):
    shape, patch = sizes
    chosen = WindowSettings(overlap=0.5, blend=blend, average=average, tta=tta, batch_size=1)
    sweep = Sweep(shape, patch, chosen, rows=(0, shape[-2]), is_needed=lambda corner: corner[-1] != 0, empty=0.25)
    volume, found = np.random.default_rng(1).standard_normal(shape, dtype=np.float32), []

    def read(corner: tuple[int, ...]) -> np.ndarray:
        return volume[tuple(slice(c, c + p) for c, p in zip(corner, patch, strict=True))][None]

    predict(sweep, read, lopsided, lambda row, rows: found.append(rows))
    weight = blend_weights(patch, blend)
    sums, weights = np.zeros((2, *shape), np.float32), np.zeros(shape, np.float32)
    starts = sweep.starts()
    for y in starts[-2]:  # in the order of rows
        for corner in product(*starts[:-2], [y], starts[-1]):
            if corner[-1] == 0:
                continue
            place = tuple(slice(c, c + p) for c, p in zip(corner, patch, strict=True))
            with torch.inference_mode():
                score = plainly(lopsided, torch.from_numpy(read(corner)[None]), chosen)[0].numpy()
            sums[(slice(None), *place)] += score * weight
            weights[place] += weight
    seen = weights > 0
    mean = np.divide(sums, weights, out=np.zeros_like(sums), where=seen)
    mean = 1 / (1 + np.exp(-np.clip(mean, -30, 30))) if average == "logits" else mean
    assert np.concatenate(found, axis=-2).tobytes() == np.where(seen, mean, 0.25).astype(np.float32).tobytes()


def swept(sums: WindowSums, rows: int, seed: int) -> list[np.ndarray]:
    """Every row's mean and where a window was, of windows of 6 x 5 in a space 12 deep and 30 wide, some of them left out."""
    rng, found = np.random.default_rng(seed), []
    for row in range(0, rows, 2):
        sums.begin_at(row)
        corners = [(z, row, x) for z in range(0, 9, 3) for x in range(0, 25, 4) if rng.random() < 0.6]
        if corners:
            sums.add(corners, torch.from_numpy(rng.standard_normal((len(corners), 2, 3, 6, 5), dtype=np.float32)))
        mean, seen = sums.mean(row, row + 2)
        found += [mean, np.ones(mean.shape[1:], bool) if seen is None else seen]
    return found


@pytest.mark.parametrize("seed", range(5))
def test_sums_on_the_device_have_the_bits_of_those_in_memory(seed):
    weight = blend_weights((3, 6, 5), "gaussian")
    here = HostSums(2, (12, 6, 30), weight, 0)
    there = DeviceSums(2, (12, 6, 30), weight, 0, torch.device("cpu"))
    for one, other in zip(swept(here, 40, seed), swept(there, 40, seed), strict=True):
        assert one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()


def test_rows_further_on_than_a_window_is_high_begin_empty():
    weight = np.ones((4, 5), np.float32)
    for sums in (HostSums(1, (4, 9), weight, 0), DeviceSums(1, (4, 9), weight, 0, torch.device("cpu"))):
        sums.add([(0, 1)], torch.ones((1, 1, 4, 5)))
        sums.begin_at(1000)
        mean, seen = sums.mean(1000, 1004)
        assert not mean.any() and seen is not None and not seen.any()


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_one_score_that_is_no_number_is_noticed_wherever_it_is(wrong):
    weight, space = np.ones((2, 3, 4), np.float32), (5, 3, 9)
    for at in np.ndindex(2, 2, 3, 4):
        scores = torch.ones((1, 2, 2, 3, 4))
        for sums in (HostSums(2, space, weight, 7), DeviceSums(2, space, weight, 7, torch.device("cpu"))):
            sums.add([(3, 7, 5)], scores)
            mean, seen = sums.mean(7, 10)
            assert mean.sum() == 48 and mean[:, 3:, :, 5:].all() and seen is not None and seen.sum() == 24
            spoilt = scores.clone()
            spoilt[(0, *at)] = wrong
            with pytest.raises(InputError, match=r"NaN or infinity for the window at \(3, 7, 4\)"):
                sums.add([(3, 7, 4)], spoilt)
                sums.mean(7, 10)

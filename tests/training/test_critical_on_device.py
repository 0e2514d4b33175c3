"""Critical mistakes found by torch are those that the compiled code finds, voxel for voxel."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import gaussian_filter

from scroll.metrics.betti_matching.connected import connected_components
from scroll.training.loss_terms import topology
from scroll.training.loss_terms.critical_components import ALL, FACES, critical_mistakes
from scroll.training.loss_terms.critical_on_device import critical_mistakes_of, pieces

SHAPES = st.tuples(*[st.integers(1, 6)] * 3)


def assert_same_pieces(mask: np.ndarray, near: int) -> None:
    """One number of the one for each number of the other."""
    found, known = pieces(torch.from_numpy(mask)[None], near)[0].numpy(), connected_components(mask, near)
    assert np.array_equal(found > 0, mask)
    pairs = np.unique(np.stack([found[mask], known[mask].astype(np.int64)]), axis=1)
    assert pairs.shape[1] == len(np.unique(pairs[0])) == len(np.unique(pairs[1])) == known.max(initial=0)


@given(arrays(bool, SHAPES, elements=st.booleans(), fill=st.nothing()), st.sampled_from([ALL, FACES]))
def test_pieces_are_those_of_cc3d(mask, near):
    assert_same_pieces(mask, near)


@pytest.mark.parametrize("near", [ALL, FACES])
def test_a_path_that_winds_through_all_of_a_volume_is_one_piece(near):
    mask = np.zeros((9, 41, 60), bool)
    mask[::2, ::2] = True  # rows, joined at their ends by turns, and planes at their corners
    mask[::2, 1::4, -1] = mask[::2, 3::4, 0] = True
    mask[1::4, 0, 0] = mask[3::4, -1, 0] = True
    assert connected_components(mask, near).max() == 1
    assert_same_pieces(mask, near)


def test_pieces_of_volumes_side_by_side_are_apart():
    found = pieces(torch.ones((2, 2, 3, 4), dtype=torch.bool), ALL)
    assert len(torch.unique(found[0])) == len(torch.unique(found[1])) == 1 and found[0, 0, 0, 0] != found[1, 0, 0, 0]


def expected(*batch: np.ndarray) -> np.ndarray:
    return np.stack([critical_mistakes(*patch) for patch in zip(*batch, strict=True)])


@settings(deadline=None)
@given(st.data(), SHAPES)
def test_critical_voxels_of_small_patches_are_the_same(data, shape):
    flags = arrays(bool, (2, *shape), elements=st.booleans(), fill=st.nothing())
    predicted, truth, ignore = data.draw(flags), data.draw(flags), data.draw(flags) & data.draw(flags)
    found = critical_mistakes_of(*(torch.from_numpy(part) for part in (predicted, truth, ignore))).numpy()
    assert np.array_equal(found, expected(predicted, truth, ignore))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("noise", [0.3, 1.0])
def test_critical_voxels_of_sheets_are_the_same(seed, noise):
    rng = np.random.default_rng(seed)
    z, y, x = np.ogrid[:24, :40, :36]
    sheets = np.sin((y + 3 * np.sin(z / 7) + 2 * np.sin(x / 5)) * 0.9)[None].repeat(2, 0)
    truth = sheets > 0.6
    predicted = sheets + noise * gaussian_filter(rng.standard_normal(sheets.shape), (0, 1, 1, 1)) * 4 > 0.6
    ignore = gaussian_filter(rng.standard_normal(sheets.shape), (0, 3, 3, 3)) > 0.05
    wanted = expected(predicted, truth, ignore)
    assert 0 < wanted.sum() < ((predicted != truth) & ~ignore).sum()
    found = critical_mistakes_of(*(torch.from_numpy(part) for part in (predicted, truth, ignore)))
    assert np.array_equal(found.numpy(), wanted)


def test_another_way_is_taken_only_where_it_finds_the_same_and_works(monkeypatch):
    flags = torch.rand((3, 2, 6, 12, 12)) > 0.5
    wanted = torch.from_numpy(expected(*(part.numpy() for part in flags)))
    assert torch.equal(topology.critical_mistakes_here(*flags), wanted)
    clock = iter([0.0, 1.0, 2.0, 4.0])  # there 1 s, here 2 s
    monkeypatch.setattr(topology, "time", SimpleNamespace(perf_counter=lambda: next(clock)))  # that module's alone
    assert topology.is_quicker_there(*flags)
    clock = iter([0.0, 2.0, 3.0, 4.0])
    assert not topology.is_quicker_there(*flags)
    clock = iter([0.0, 1.0, 2.0, 4.0])
    monkeypatch.setattr(topology, "critical_mistakes_of", lambda *parts: ~wanted)
    assert not topology.is_quicker_there(*flags)

    def too_large(*parts: torch.Tensor) -> torch.Tensor:
        raise torch.OutOfMemoryError("no memory")

    monkeypatch.setattr(topology, "critical_mistakes_of", too_large)
    assert not topology.is_quicker_there(*flags)

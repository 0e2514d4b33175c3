"""Directions out of structure tensors are the eigenvectors that LAPACK finds in double precision."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from scroll.tracing.directions import first_eigenvectors
from scroll.tracing.ridges import SQUARINGS


def matrices(seed: int, count: int, second: float) -> np.ndarray:
    """Symmetric matrices (N, 3, 3) whose second eigenvalue is that share of the first, in any direction and of any size."""
    rng = np.random.default_rng(seed)
    turns = np.linalg.qr(rng.standard_normal((count, 3, 3)))[0]
    values = np.stack([np.ones(count), np.full(count, second), second * rng.random(count)], axis=1)
    values *= 10 ** rng.uniform(-6, 2, (count, 1))
    return np.einsum("nij,nj,nkj->nik", turns, values, turns)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([0.0, 0.3, 0.9, 0.97]))
def test_the_first_direction_is_lapacks(seed, second):
    full = matrices(seed, 200, second).astype(np.float32)
    parts = np.stack([full[:, i, j] for i, j in ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))], axis=-1)
    found = first_eigenvectors(parts[None, None], SQUARINGS)[0, 0]
    expected = np.linalg.eigh(full.astype(np.float64))[1][:, :, 2]
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    assert np.linalg.norm(np.cross(found, expected), axis=1).max() < 1e-6 / (1 - second)


def test_where_nothing_changes_there_is_no_direction():
    assert not first_eigenvectors(np.zeros((1, 2, 3, 6), np.float32)).any()

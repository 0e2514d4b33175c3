"""A height map over all of a domain, where only part of it was seen: the thin plate that is nearest to what was seen."""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import spsolve

BENDING = 2.0  # weight of a squared second difference against that of a squared misfit, voxels in both
HOLD = 1e-4  # weight of a squared first difference: a plate that is held nowhere is flat
Stencil = dict[tuple[int, int], float]  # by offset in rows and columns


def bridged(heights: NDArray[np.floating], domain: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Heights (H, W) smoothed where they are seen (not NaN), carried on over the rest of `domain`, NaN outside it.

    Minimises the misfit plus the bending energy; over a gap the plate goes on with the slope of its rim.
    """
    seen = np.isfinite(heights) & domain
    number = np.cumsum(domain.ravel()).reshape(domain.shape) - 1
    count = int(domain.sum())
    if not seen.any():
        return np.full(heights.shape, np.nan, np.float32)
    energy = sparse.diags_array(np.where(seen[domain], 1.0, 0.0))
    for weight, stencil in _stencils():
        rows = _differences(domain, number, stencil, count)
        energy = energy + weight * (rows.T @ rows)
    middle = float(np.mean(heights[seen]))
    misfit = np.where(seen, heights - middle, 0)[domain]
    out = np.full(heights.shape, np.nan, np.float32)
    out[domain] = spsolve(energy.tocsc(), misfit, permc_spec="MMD_AT_PLUS_A") + middle
    return out


def _stencils() -> list[tuple[float, Stencil]]:
    """Second differences along rows, along columns and across, first differences along both, with their weights."""
    return [
        (BENDING, {(0, 0): 1.0, (1, 0): -2.0, (2, 0): 1.0}),
        (BENDING, {(0, 0): 1.0, (0, 1): -2.0, (0, 2): 1.0}),
        (2 * BENDING, {(0, 0): 1.0, (1, 0): -1.0, (0, 1): -1.0, (1, 1): 1.0}),
        (HOLD, {(0, 0): -1.0, (1, 0): 1.0}),
        (HOLD, {(0, 0): -1.0, (0, 1): 1.0}),
    ]


def _differences(
    domain: NDArray[np.bool_], number: NDArray[np.int64], stencil: Stencil, count: int
) -> sparse.csr_array:
    """One row for each place where the whole stencil is in the domain."""
    reach = [max(offset[axis] for offset in stencil) for axis in (0, 1)]
    size = [max(0, n - r) for n, r in zip(domain.shape, reach, strict=True)]
    views = {at: (slice(at[0], at[0] + size[0]), slice(at[1], at[1] + size[1])) for at in stencil}
    whole = np.logical_and.reduce([domain[view] for view in views.values()])
    height = int(whole.sum())
    rows = np.tile(np.arange(height), len(stencil))
    columns = np.concatenate([number[view][whole] for view in views.values()])
    values = np.repeat(list(stencil.values()), height)
    return sparse.csr_array((values, (rows, columns)), shape=(height, count))

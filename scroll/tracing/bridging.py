"""A height map over all of a domain, where only part of it was seen: the thin plate that is nearest to what was seen."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import spsolve

BENDING = 2.0  # weight of a squared second difference against that of a squared misfit, voxels in both
HOLD = 1e-4  # weight of a squared first difference: a plate that is held nowhere is flat
Offset = tuple[int, int]  # in rows and columns
Stencil = dict[Offset, float]
STENCILS: list[tuple[float, list[tuple[float, Stencil]]]] = [  # weight, and what it weighs, with whole factors
    (
        BENDING,
        [
            (1.0, {(0, 0): 1.0, (1, 0): -2.0, (2, 0): 1.0}),  # second differences along rows, along columns and across
            (1.0, {(0, 0): 1.0, (0, 1): -2.0, (0, 2): 1.0}),
            (2.0, {(0, 0): 1.0, (1, 0): -1.0, (0, 1): -1.0, (1, 1): 1.0}),
        ],
    ),
    (HOLD, [(1.0, {(0, 0): -1.0, (1, 0): 1.0})]),  # first differences along both
    (HOLD, [(1.0, {(0, 0): -1.0, (0, 1): 1.0})]),
]
OFFSETS: list[Offset] = sorted(
    {
        (b[0] - a[0], b[1] - a[1])
        for _, stencils in STENCILS
        for _, stencil in stencils
        for a in stencil
        for b in stencil
    }
)  # of the cells that a cell is joined to, in the order of their numbers


def bridged(heights: NDArray[np.floating], domain: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Heights (H, W) smoothed where they are seen (not NaN), carried on over the rest of `domain`, NaN outside it.

    Minimises the misfit plus the bending energy; over a gap the plate goes on with the slope of its rim.
    """
    seen = np.isfinite(heights) & domain
    if not seen.any():
        return np.full(heights.shape, np.nan, np.float32)
    middle = float(np.mean(heights[seen]))
    misfit = np.where(seen, heights - middle, 0)[domain]
    out = np.full(heights.shape, np.nan, np.float32)
    out[domain] = spsolve(_energy(seen, domain), misfit, permc_spec="MMD_AT_PLUS_A") + middle
    return out


def _energy(seen: NDArray[np.bool_], domain: NDArray[np.bool_]) -> sparse.csc_array:
    """The quadratic form (N, N) of misfit and bending over the N cells of the domain, row by row; symmetric.

    A cell's coefficients with its neighbours, by their offset, are summed over the places of the stencils as pictures.
    """
    of_offset = {offset: np.zeros(domain.shape) for offset in OFFSETS}
    of_offset[0, 0] += seen
    for weight, stencils in STENCILS:
        total = {offset: np.zeros(domain.shape) for offset in OFFSETS}
        for factor, stencil in stencils:
            _add_stencil(total, domain, factor, stencil)
        for offset, coefficients in total.items():
            of_offset[offset] += weight * coefficients
    values = np.stack([of_offset[offset][domain] for offset in OFFSETS], axis=1)
    number = np.cumsum(domain.ravel()).reshape(domain.shape) - 1
    neighbours = np.stack([np.roll(number, (-down, -right), (0, 1))[domain] for down, right in OFFSETS], axis=1)
    is_kept = values != 0
    ends = np.concatenate([[0], np.cumsum(is_kept.sum(axis=1))])
    return sparse.csc_array((values[is_kept], neighbours[is_kept], ends), shape=(len(values),) * 2)


def _add_stencil(
    total: Mapping[Offset, NDArray[np.float64]], domain: NDArray[np.bool_], factor: float, stencil: Stencil
) -> None:
    """Add, at each cell, `factor` times the products of its coefficient with those of its neighbours, wherever the whole stencil is
    in the domain."""
    reach = [max(offset[axis] for offset in stencil) for axis in (0, 1)]
    size = [max(0, n - r) for n, r in zip(domain.shape, reach, strict=True)]
    views = {at: (slice(at[0], at[0] + size[0]), slice(at[1], at[1] + size[1])) for at in stencil}
    whole = np.logical_and.reduce([domain[view] for view in views.values()])
    for at, one in stencil.items():
        for other_at, other in stencil.items():
            total[other_at[0] - at[0], other_at[1] - at[1]][views[at]] += factor * one * other * whole

"""Ridges of a probability volume: where it is highest along its own local normal, to a fraction of a voxel."""

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scroll.runtime.compiled import njit
from scroll.runtime.gaussian import gaussian
from scroll.tracing.directions import first_eigenvectors

Floats = NDArray[np.float32]
BLOCK_VOX, HALO_VOX = 96, 16
SMOOTH_VOX = 0.8  # a trained network's probability is flat on top; its ridge is not
TENSOR_VOX = 2.5  # over which a normal is averaged
SQUARINGS = 10  # an eigenvalue of 0.98 of the largest is left with 1e-9


@dataclass(frozen=True, eq=False)
class Ridges:
    """N places on ridges: `points` (N, 3) in voxels z, y, x; unit `normals` (N, 3) of either sign; `strength` (N,), 0 to 1."""

    points: Floats
    normals: Floats
    strength: Floats

    def __len__(self) -> int:
        return len(self.points)

    def chosen(self, which: NDArray[Any]) -> "Ridges":
        """Some of them, by numbers or by a (N,) bool."""
        return Ridges(self.points[which], self.normals[which], self.strength[which])


def ridge_points(prob: Any, min_prob: float) -> Ridges:
    """The ridges of a (Z, Y, X) volume that reach `min_prob`: one place for each voxel that a ridge passes through.

    A normal is the direction along which the smoothed probability changes most (its structure tensor). Memory: a block of
    128 voxels a side and what is found; `prob` may be anything that is sliced like numpy.
    """
    found = [(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.float32), np.zeros(0, np.float32))]
    for corner in product(*(range(0, length, BLOCK_VOX) for length in prob.shape)):
        low = [max(0, c - HALO_VOX) for c in corner]
        block = np.asarray(prob[tuple(slice(b, c + BLOCK_VOX + HALO_VOX) for b, c in zip(low, corner, strict=True))])
        inside = tuple(slice(c - b, c - b + BLOCK_VOX) for b, c in zip(low, corner, strict=True))
        found.append(_of_block(block.astype(np.float32), inside, np.array(low, np.float32), min_prob))
    points, normals, strength = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return Ridges(points, normals, strength)


def _of_block(
    block: Floats, inside: tuple[slice, ...], corner: Floats, min_prob: float
) -> tuple[Floats, Floats, Floats]:
    smooth = gaussian(block, SMOOTH_VOX)
    candidates = np.zeros(block.shape, bool)
    candidates[inside] = smooth[inside] >= min_prob
    places = np.argwhere(candidates).astype(np.int64)
    normals = _normals(smooth, places)
    shift = np.empty(len(places), np.float32)
    _across(smooth, places, normals, shift)
    on = np.isfinite(shift)
    points = places[on] + shift[on, None] * normals[on] + corner
    strength = smooth[tuple(places[on].T)]
    return points.astype(np.float32), normals[on], strength


def _normals(smooth: Floats, places: NDArray[np.int64]) -> Floats:
    """Eigenvector of the largest eigenvalue of the structure tensor at each place, (N, 3)."""
    slopes = np.gradient(smooth)
    at = tuple(places.T)
    tensor = np.empty((1, 1, len(places), 6), np.float32)
    for part, (i, j) in enumerate(((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))):
        tensor[0, 0, :, part] = gaussian(slopes[i] * slopes[j], TENSOR_VOX)[at]
    return first_eigenvectors(tensor, SQUARINGS)[0, 0]


@njit(cache=True)
def _across(smooth: Floats, places: NDArray[np.int64], normals: Floats, shift: Floats) -> None:
    """How far along the normal the ridge is from each voxel, in voxels, at most 0.7; NaN where no ridge passes through it."""
    for n in range(len(places)):
        here = smooth[places[n, 0], places[n, 1], places[n, 2]]
        before, after = _value(smooth, places[n], normals[n], -1.0), _value(smooth, places[n], normals[n], 1.0)
        curve = before + after - 2 * here
        shift[n] = np.nan
        if here >= before and here >= after and curve < 0:
            off = 0.5 * (before - after) / curve
            if abs(off) <= 0.7:
                shift[n] = off


@njit(cache=True)
def _value(smooth: Floats, place: NDArray[np.int64], normal: Floats, step: float) -> float:
    """Trilinear value one step along the normal; the edge holds outside."""
    z, y, x = place[0] + step * normal[0], place[1] + step * normal[1], place[2] + step * normal[2]
    deep, high, wide = smooth.shape
    z, y, x = min(max(z, 0.0), deep - 1.001), min(max(y, 0.0), high - 1.001), min(max(x, 0.0), wide - 1.001)
    i, j, k = int(z), int(y), int(x)
    dz, dy, dx = z - i, y - j, x - k
    i1, j1, k1 = min(i + 1, deep - 1), min(j + 1, high - 1), min(k + 1, wide - 1)
    return (
        smooth[i, j, k] * (1 - dz) * (1 - dy) * (1 - dx) + smooth[i, j, k1] * (1 - dz) * (1 - dy) * dx
        + smooth[i, j1, k] * (1 - dz) * dy * (1 - dx) + smooth[i, j1, k1] * (1 - dz) * dy * dx
        + smooth[i1, j, k] * dz * (1 - dy) * (1 - dx) + smooth[i1, j, k1] * dz * (1 - dy) * dx
        + smooth[i1, j1, k] * dz * dy * (1 - dx) + smooth[i1, j1, k1] * dz * dy * dx
    )  # fmt: skip

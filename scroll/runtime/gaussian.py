"""Gaussian blurs of volumes, compiled: the values of `scipy.ndimage.gaussian_filter` to the bit, several times as fast.

Every voxel's sum is scipy's, in double precision and in its order; here whole rows go through it at once.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from scroll.runtime.compiled import njit

FloatVolume = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
LEAST_SIGMA = 1e-15  # scipy leaves an axis alone below it
TRUNCATE = 4.0  # sigmas, where scipy ends a kernel too


def gaussian(
    volume: FloatVolume,
    sigma_vox: float | Sequence[float],
    slope_along: int | None = None,
    truncate: float = TRUNCATE,
    border: Literal["reflect", "nearest"] = "reflect",
) -> FloatVolume:
    """A (Z, Y, X) float32 volume blurred, or the slope of the blurred volume along one axis; a new array.

    Args:
        volume: (Z, Y, X) float32.
        sigma_vox: of the Gaussian, for all axes or for each.
        slope_along: the axis of the derivative; None: the blur itself.
        truncate: where the kernel ends, in sigmas.
        border: what is beyond the volume, as scipy names it.

    Raises:
        ValueError: not three axes of float32.
    """
    if volume.ndim != 3 or volume.dtype != np.float32:
        raise ValueError(f"expected (Z, Y, X) float32, got {volume.dtype} {volume.shape}")
    sigmas = np.broadcast_to(np.asarray(sigma_vox, np.float64), 3).tolist()
    blurred = np.array(volume, order="C")
    if not volume.size:
        return blurred
    for axis, (sigma, along) in enumerate(zip(sigmas, (_along_z, _along_y, _along_x), strict=True)):
        if sigma > LEAST_SIGMA:
            weights = half_kernel(sigma, truncate, axis == slope_along)
            places = _places(volume.shape[axis], len(weights) - 1, border)
            along(blurred, weights, places, axis == slope_along)
    return blurred


def half_kernel(sigma: float, truncate: float = TRUNCATE, is_slope: bool = False) -> Doubles:
    """The kernel from its middle outwards, as scipy turns it round: what stands before a voxel has these weights."""
    reach = int(truncate * float(sigma) + 0.5)
    steps, square = np.arange(-reach, reach + 1), sigma * sigma
    bell = np.exp(-0.5 / square * steps**2)
    bell = bell / bell.sum()
    kernel = (steps * (1.0 / -square) + 0.0) * bell if is_slope else bell  # + 0.0: the middle is 0, not -0
    return np.ascontiguousarray(kernel[::-1][reach::-1])


def _places(length: int, reach: int, border: str) -> npt.NDArray[np.int64]:
    """Which voxel stands at -reach, ..., length - 1 + reach."""
    steps = np.arange(-reach, length + reach)
    if border == "nearest":
        return np.clip(steps, 0, length - 1)
    folded = steps % (2 * length)
    return np.minimum(folded, 2 * length - 1 - folded)


@njit(cache=True, nogil=True)
def _along_z(volume: FloatVolume, weights: Doubles, places: npt.NDArray[np.int64], is_slope: bool) -> None:
    depth, height, width = volume.shape
    reach = weights.size - 1
    sums, columns = np.empty(width, np.float64), np.empty((depth + 2 * reach, width), np.float64)
    for y in range(height):
        for k in range(places.size):
            columns[k] = volume[places[k], y]
        for z in range(depth):
            _sum_of_rows(columns, z + reach, weights, is_slope, sums)
            volume[z, y] = sums


@njit(cache=True, nogil=True)
def _along_y(volume: FloatVolume, weights: Doubles, places: npt.NDArray[np.int64], is_slope: bool) -> None:
    depth, height, width = volume.shape
    reach = weights.size - 1
    sums, rows = np.empty(width, np.float64), np.empty((height + 2 * reach, width), np.float64)
    for z in range(depth):
        for k in range(places.size):
            rows[k] = volume[z, places[k]]
        for y in range(height):
            _sum_of_rows(rows, y + reach, weights, is_slope, sums)
            volume[z, y] = sums


@njit(cache=True, nogil=True)
def _sum_of_rows(rows: Doubles, middle: int, weights: Doubles, is_slope: bool, sums: Doubles) -> None:
    """The weighted sum of a row and those on both sides of it, from the outermost inwards."""
    here = rows[middle]
    for x in range(sums.size):
        sums[x] = here[x] * weights[0]
    for off in range(weights.size - 1, 0, -1):
        before, after, weight = rows[middle - off], rows[middle + off], weights[off]
        if is_slope:
            for x in range(sums.size):
                sums[x] += (before[x] - after[x]) * weight
        else:
            for x in range(sums.size):
                sums[x] += (before[x] + after[x]) * weight


@njit(cache=True, nogil=True)
def _along_x(volume: FloatVolume, weights: Doubles, places: npt.NDArray[np.int64], is_slope: bool) -> None:
    depth, height, width = volume.shape
    reach = weights.size - 1
    sums, row = np.empty(width, np.float64), np.empty(width + 2 * reach, np.float64)
    for z in range(depth):
        for y in range(height):
            line = volume[z, y]
            for k in range(reach):
                row[k], row[reach + width + k] = line[places[k]], line[places[reach + width + k]]
            row[reach : reach + width] = line
            for x in range(width):
                sums[x] = row[x + reach] * weights[0]
            for off in range(reach, 0, -1):
                before, after, weight = row[reach - off :], row[reach + off :], weights[off]
                if is_slope:
                    for x in range(width):
                        sums[x] += (before[x] - after[x]) * weight
                else:
                    for x in range(width):
                        sums[x] += (before[x] + after[x]) * weight
            volume[z, y] = sums

"""A surface out of predicted probabilities where no mesh exists: one height in each column of voxels, on one sheet."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scroll.errors import InputError
from scroll.runtime.compiled import njit
from scroll.surfaces.surface import INVALID, Surface, normals_of

NOWHERE = -1


NAME = Path("height map")


class Ridge(NamedTuple):
    """How a ridge is found: the least probability on it, and the most voxels it may climb from a column to the next."""

    min_prob: float
    max_step_vox: int


def height_map_surface(
    prob: NDArray[np.floating],
    axis: int = 0,
    min_prob: float = 0.5,
    max_step_vox: int = 2,
    seed_zyx: tuple[int, int, int] | None = None,
) -> Surface:
    """The ridge of a probability volume (Z, Y, X) as a surface with one point a column along `axis`; NaN counts as 0.

    The grid has the two other axes in their order, and cells of one voxel. From where it begins, the sheet grows from column
    to column to the highest probability within `max_step_vox` of the neighbour's height, as long as that is `min_prob` or
    more: one sheet is followed, others are left out, and where its parts meet at different heights both sides are cut. It
    begins in the column of `seed_zyx` at the ridge nearest to it, or else on the largest patch without jumps of the highest
    probability of each column. Heights are the mean of the run of voxels about the maximum that reach half of it, weighted
    by what they have above that half. Normals are dP/dcolumn x dP/drow: +z for axis 0, -y for axis 1, +x for axis 2, tilted
    with the sheet. All in memory.

    Raises:
        InputError: not three axes, not floating numbers, no column with such a ridge, or none in the seed's column.
    """
    if prob.ndim != 3 or 0 in prob.shape or prob.dtype.kind != "f" or axis not in (0, 1, 2):
        raise InputError(
            f"{NAME}: {prob.shape} {prob.dtype} along axis {axis}; expected a full (Z, Y, X) volume of floating probabilities, "
            "0 to 1, and axis 0, 1 or 2: convert it"
        )
    columns = np.ascontiguousarray(np.moveaxis(prob, axis, -1), np.float32)
    columns = np.where(np.isfinite(columns), columns, np.float32(0))
    ridge = Ridge(float(min_prob), int(max_step_vox))
    peaks = _largest_patch(columns, ridge) if seed_zyx is None else _seeded(columns, ridge, seed_zyx, axis)
    _grow(columns, ridge.min_prob, ridge.max_step_vox, peaks)
    heights = np.full(peaks.shape, np.nan, np.float32)
    _refine(columns, peaks, heights)
    _cut(heights, ridge.max_step_vox)
    valid = np.isfinite(heights)
    points = np.stack([*np.indices(valid.shape, np.float32)], axis=-1)
    points = np.insert(points, axis, heights, axis=-1)
    points[~valid] = INVALID
    return Surface(points, normals_of(points, valid), valid, (1.0, 1.0), NAME)


def _seeded(columns: NDArray[np.float32], ridge: Ridge, seed_zyx: tuple[int, int, int], axis: int) -> NDArray[np.int64]:
    """(H, W) the peak nearest to the seed in its column, -1 elsewhere."""
    row, column = (k for n, k in enumerate(seed_zyx) if n != axis)
    if not all(0 <= k < n for k, n in zip((row, column), columns.shape[:2], strict=True)):
        raise InputError(f"{NAME}: seed {seed_zyx} lies outside the volume; expected z, y, x inside it: move it")
    values = columns[row, column]
    around = np.pad(values, 1, constant_values=-1)
    found = np.flatnonzero((values >= ridge.min_prob) & (values >= around[:-2]) & (values >= around[2:]))
    if not found.size:
        raise InputError(
            f"{NAME}: the column of seed {seed_zyx} reaches {values.max():.3g}; expected {ridge.min_prob:g}: move the seed"
        )
    peaks = np.full(columns.shape[:2], NOWHERE, np.int64)
    peaks[row, column] = found[np.abs(found - seed_zyx[axis]).argmin()]
    return peaks


def _largest_patch(columns: NDArray[np.float32], ridge: Ridge) -> NDArray[np.int64]:
    """(H, W) where each column is highest, on the largest patch of columns whose neighbours are within a step; -1 elsewhere."""
    highest = columns.argmax(axis=-1)
    strong = np.take_along_axis(columns, highest[..., None], -1)[..., 0] >= ridge.min_prob
    if not strong.any():
        raise InputError(
            f"{NAME}: the highest probability is {columns.max():.3g}; expected {ridge.min_prob:g} somewhere: lower min_prob"
        )
    labels = np.zeros(highest.shape, np.int64)
    sizes = _label_patches(highest, strong, ridge.max_step_vox, labels)
    return np.where(labels == 1 + np.argmax(sizes), highest, NOWHERE)


@njit(cache=True)
def _label_patches(
    heights: NDArray[np.int64], strong: NDArray[np.bool_], max_step: int, labels: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Number the patches in `labels` (H, W) from 1, and give their sizes."""
    height, width = heights.shape
    stack = np.empty(height * width, np.int64)
    sizes = np.zeros(height * width, np.int64)
    patches = 0
    for start in range(height * width):
        if labels.flat[start] or not strong.flat[start]:
            continue
        patches += 1
        labels.flat[start] = patches
        stack[0], top = start, 1
        while top:
            top -= 1
            i, j = divmod(stack[top], width)
            sizes[patches - 1] += 1
            for down, right in ((-1, 0), (1, 0), (0, -1), (0, 1)):
                y, x = i + down, j + right
                if not (0 <= y < height and 0 <= x < width) or labels[y, x] or not strong[y, x]:
                    continue
                if abs(heights[y, x] - heights[i, j]) <= max_step:
                    labels[y, x] = patches
                    stack[top], top = y * width + x, top + 1
    return sizes[:patches]


@njit(cache=True)
def _grow(columns: NDArray[np.float32], min_prob: float, max_step: int, peaks: NDArray[np.int64]) -> None:
    """Follow the ridge from the columns that have a peak to their neighbours, nearest first, until it ends everywhere."""
    height, width, depth = columns.shape
    queue = np.empty(height * width, np.int64)
    first, end = 0, 0
    for place in range(height * width):
        if peaks.flat[place] != NOWHERE:
            queue[end], end = place, end + 1
    while first < end:
        i, j = divmod(queue[first], width)
        first += 1
        for down, right in ((-1, 0), (1, 0), (0, -1), (0, 1)):
            y, x = i + down, j + right
            if not (0 <= y < height and 0 <= x < width) or peaks[y, x] != NOWHERE:
                continue
            low, high = max(0, peaks[i, j] - max_step), min(depth, peaks[i, j] + max_step + 1)
            best = low + np.argmax(columns[y, x, low:high])
            if columns[y, x, best] >= min_prob:
                peaks[y, x] = best
                queue[end], end = y * width + x, end + 1


def _cut(heights: NDArray[np.float32], max_step_vox: int) -> None:
    """Drop the columns on both sides of a jump."""
    jumps = np.zeros(heights.shape, bool)
    for axis in (0, 1):
        before, after = ((slice(None),) * axis + (part,) for part in (slice(None, -1), slice(1, None)))
        jump = np.abs(heights[before] - heights[after]) > max_step_vox
        jumps[before] |= jump
        jumps[after] |= jump
    heights[jumps] = np.nan


@njit(cache=True)
def _refine(columns: NDArray[np.float32], peaks: NDArray[np.int64], heights: NDArray[np.float32]) -> None:
    """Heights (H, W) between voxels, where there is a peak."""
    for i in range(peaks.shape[0]):
        for j in range(peaks.shape[1]):
            peak = peaks[i, j]
            if peak == NOWHERE:
                continue
            column = columns[i, j]
            half = column[peak] / 2
            low, high = peak, peak + 1
            while low > 0 and column[low - 1] >= half:
                low -= 1
            while high < column.size and column[high] >= half:
                high += 1
            total, moment = 0.0, 0.0
            for k in range(low, high):
                weight = column[k] - half  # 0 where the run ends, so that a voxel more or less makes no jump
                total += weight
                moment += weight * (k - peak)
            heights[i, j] = peak + moment / total

"""A volume seen through a warp, compiled: values linearly, flags by the nearest voxel, all in one pass.

Every number is computed as `torch.nn.functional.grid_sample` does for volumes on a CPU (border padding, corners not aligned), in
float32 and in its order, so that the bits are the same; there a grid of places is made, written and read first.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from scroll.runtime.compiled import njit

Floats = NDArray[np.float32]
Flags = NDArray[np.bool_]
Lines = tuple[Floats, Floats, Floats]  # along z, y and x


def seen_through(
    values: Floats,
    flags: Flags,
    lines: Lines,
    turn: tuple[np.float32, np.float32],
    away: Floats | None,
    edge_vox: float,
) -> tuple[Floats, Flags, Flags]:
    """Values, flags and what is outside of a warped volume: (C, Z, Y, X), (F, Z, Y, X) and (Z, Y, X).

    Args:
        values: (C, Z, Y, X), sampled linearly; what is outside is as the border. C may be 0.
        flags: (F, Z, Y, X), sampled at the nearest voxel.
        lines: per axis, voxels from the centre before the turn, already divided by the scale.
        turn: cosine and sine of the turn from y to x.
        away: (3, Z, Y, X) displacement in voxels, or none.
        edge_vox: how far beyond the outermost voxels' centres is not yet outside.
    """
    shape = values.shape[1:]
    sizes = np.array(shape, np.float32)
    reach = np.array([(length - 1) / 2 + edge_vox for length in shape], np.float32)
    units = np.array([2 / length for length in shape], np.float32)
    moved, marked, outside = (
        np.empty(values.shape, np.float32),
        np.empty(flags.shape, np.bool_),
        np.empty(shape, np.bool_),
    )
    shift = np.zeros((3, 0, 0, 0), np.float32) if away is None else np.ascontiguousarray(away)
    flat = [
        part.reshape(len(part), outside.size)
        for part in (np.ascontiguousarray(values), np.ascontiguousarray(flags), moved, marked)
    ]
    _see(flat[0], flat[1], lines, turn, shift, (sizes, reach, units), flat[2], flat[3], outside)
    return moved, marked, outside


@njit(cache=True, nogil=True)
def _see(
    values: Floats, flags: Flags, lines: Lines, turn: Any, shift: Floats, scales: Lines,
    moved: Floats, marked: Flags, outside: Flags,
) -> None:  # fmt: skip
    depth, height, width = outside.shape
    places, shares = np.empty((3, width), np.float32), np.empty((6, width), np.float32)
    voxels = np.empty((5, width), np.uint64)
    for z in range(depth):
        for y in range(height):
            first = (z * height + y) * width
            _place_row(z, y, lines, turn, shift, scales, places, outside[z, y])
            _cut_row(places, outside.shape, voxels, shares)
            for flag in range(flags.shape[0]):
                _take_nearest(flags[flag], voxels[4], marked[flag, first : first + width])
            for c in range(values.shape[0]):
                _take_linear(values[c], voxels, shares, moved[c, first : first + width])


@njit(cache=True, nogil=True)
def _cut_row(places: Floats, shape: tuple[int, int, int], voxels: NDArray[np.uint64], shares: Floats) -> None:
    """Of a row's places the first of their eight voxels, the steps to those beside it along x, y and z, and the nearest; and the
    shares of the first and of the second voxel along z, y and x."""
    depth, height, width = shape
    for n in range(places.shape[1]):
        k, j, i = places[0, n], places[1, n], places[2, n]
        nearest = (np.int64(np.rint(k)) * height + np.int64(np.rint(j))) * width + np.int64(np.rint(i))
        k1, j1, i1 = np.int64(k), np.int64(j), np.int64(i)
        voxels[0, n], voxels[4, n] = np.uint64((k1 * height + j1) * width + i1), np.uint64(nearest)
        voxels[1, n], voxels[2, n] = np.uint64(i1 + 1 < width), np.uint64(width * (j1 + 1 < height))
        voxels[3, n] = np.uint64(width * height * (k1 + 1 < depth))
        shares[0, n], shares[1, n] = np.float32(k1 + 1) - k, k - np.float32(k1)
        shares[2, n], shares[3, n] = np.float32(j1 + 1) - j, j - np.float32(j1)
        shares[4, n], shares[5, n] = np.float32(i1 + 1) - i, i - np.float32(i1)


@njit(cache=True, nogil=True)
def _take_nearest(flags: Flags, nearest: NDArray[np.uint64], marked: Flags) -> None:
    for n in range(marked.size):
        marked[n] = flags[nearest[n]]


@njit(cache=True, nogil=True)
def _take_linear(values: Floats, voxels: NDArray[np.uint64], shares: Floats, moved: Floats) -> None:
    """The eight voxels by their shares, multiplied and added in the order of grid_sample."""
    firsts, rights, unders, belows = voxels[0], voxels[1], voxels[2], voxels[3]
    rest_k, back, rest_j, near, rest_i, left = shares[0], shares[1], shares[2], shares[3], shares[4], shares[5]
    for n in range(moved.size):
        here, right, under = firsts[n], rights[n], unders[n]
        below = here + belows[n]
        value = np.float32(0) + values[here] * (rest_i[n] * rest_j[n] * rest_k[n])
        value += values[here + right] * (left[n] * rest_j[n] * rest_k[n])
        value += values[here + under] * (rest_i[n] * near[n] * rest_k[n])
        value += values[here + under + right] * (left[n] * near[n] * rest_k[n])
        value += values[below] * (rest_i[n] * rest_j[n] * back[n])
        value += values[below + right] * (left[n] * rest_j[n] * back[n])
        value += values[below + under] * (rest_i[n] * near[n] * back[n])
        moved[n] = value + values[below + under + right] * (left[n] * near[n] * back[n])


@njit(cache=True, nogil=True)
def _place_row(
    z: int, y: int, lines: Lines, turn: Any, shift: Floats, scales: Lines, places: Floats, outside: Flags
) -> None:
    """Where a row comes from: numbers of voxels along z, y and x, with their fractions, within the volume."""
    (cos, sin), (sizes, reach, units) = turn, scales
    along_x, right, far = lines[2], cos * lines[1][y], sin * lines[1][y]
    down, across, along = places[0], places[1], places[2]
    for x in range(outside.size):
        down[x], across[x], along[x] = lines[0][z], right - sin * along_x[x], far + cos * along_x[x]
    if shift.size:
        for x in range(outside.size):
            down[x] += shift[0, z, y, x]
            across[x] += shift[1, z, y, x]
            along[x] += shift[2, z, y, x]
    for x in range(outside.size):
        outside[x] = abs(down[x]) > reach[0] or abs(across[x]) > reach[1] or abs(along[x]) > reach[2]
    one, two, zero = np.float32(1), np.float32(2), np.float32(0)
    for axis in range(3):
        row, size, unit = places[axis], sizes[axis], units[axis]
        for x in range(outside.size):
            row[x] = min(size - one, max(((row[x] * unit + one) * size - one) / two, zero))

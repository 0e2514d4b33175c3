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
        values: (C, Z, Y, X), sampled linearly; what is outside is as the border.
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
        part.reshape(len(part), -1)
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
    places, plane = np.empty((3, width), np.float32), height * width
    for z in range(depth):
        for y in range(height):
            first = (z * height + y) * width
            _place_row(z, y, lines, turn, shift, scales, places, outside[z, y])
            for x in range(width):
                k, j, i = places[0, x], places[1, x], places[2, x]
                nearest = (int(np.rint(k)) * height + int(np.rint(j))) * width + int(np.rint(i))
                for flag in range(flags.shape[0]):
                    marked[flag, first + x] = flags[flag, nearest]
                k1, j1, i1 = int(k), int(j), int(i)
                back, near, left = k - np.float32(k1), j - np.float32(j1), i - np.float32(i1)
                rest_k, rest_j, rest_i = np.float32(k1 + 1) - k, np.float32(j1 + 1) - j, np.float32(i1 + 1) - i
                here, right = (k1 * height + j1) * width + i1, int(i1 + 1 < width)
                under, below = width * (j1 + 1 < height), plane * (k1 + 1 < depth)
                for c in range(values.shape[0]):  # the shares of grid_sample, multiplied and added in its order
                    value = np.float32(0) + values[c, here] * (rest_i * rest_j * rest_k)
                    value += values[c, here + right] * (left * rest_j * rest_k)
                    value += values[c, here + under] * (rest_i * near * rest_k)
                    value += values[c, here + under + right] * (left * near * rest_k)
                    value += values[c, here + below] * (rest_i * rest_j * back)
                    value += values[c, here + below + right] * (left * rest_j * back)
                    value += values[c, here + below + under] * (rest_i * near * back)
                    value += values[c, here + below + under + right] * (left * near * back)
                    moved[c, first + x] = value


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

"""The space along a sheet's normals, cell by cell of its grid: which voxels lie in it, where and how deep. Compiled.

Between four neighbouring grid points the sheet is the bilinear patch P(a, b), a and b from 0 to 1, with the normals
N(a, b) bilinear as well; `Surface.tile` reads the same patch. A voxel v is at depth s below the foot (a, b) where
v = P(a, b) + t N(a, b) with s = t |N(a, b)|: three equations, solved by Newton's method. Neighbouring cells share their
walls, so that no voxel is missed between them.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scroll.runtime.compiled import njit

ROUNDS = 12
CONVERGED = 1e-6
EDGE = 1e-6  # of a cell: a foot on a wall belongs to both sides
LEAST_NORMAL = 0.2  # length of the mean of normals that disagree; cells where they disagree more are folded
SNAP_VOX = 1e-3  # float32 points are that coarse 10 000 voxels from the corner of a scroll
PIECE_VOX = 4.0  # a cell's band is looked at in pieces at least that thick


class Cells(NamedTuple):
    """Grid points (h + 1, w + 1, 3) of h x w cells in voxels of the block to fill, float64; their normals; valid."""

    points: NDArray[np.float64]
    normals: NDArray[np.float64]
    valid: NDArray[np.bool_]


class Paint(NamedTuple):
    """What is painted: pictures (C, H, W) uint8, how to find a pixel from the grid, and from where to where each value is.

    Grid place (row, column) is pixel floor(row * scale[0] + shift[0]), and so on. `bands` (256, 2) are voxels along the
    normal for each value of a pixel, first and end; `hull` is from the lowest to the highest of them.
    """

    pixels: NDArray[np.uint8]
    scale: tuple[float, float]
    shift: tuple[float, float]
    bands: NDArray[np.float64]
    hull: tuple[float, float]


@njit(cache=True, nogil=True)
def bounds(cells: Cells, hull: tuple[float, float]) -> NDArray[np.float64]:
    """Lowest and highest place (2, 3) along z, y, x that the band of any valid cell reaches; infinite if none is valid."""
    box, one = np.empty((2, 3)), np.empty((2, 3))
    box[0], box[1] = np.inf, -np.inf
    for row in range(cells.valid.shape[0] - 1):
        for column in range(cells.valid.shape[1] - 1):
            if _is_whole(cells, row, column):
                _cell_box(cells, row, column, hull, one)
                for axis in range(3):
                    box[0, axis] = min(box[0, axis], one[0, axis])
                    box[1, axis] = max(box[1, axis], one[1, axis])
    return box


@njit(cache=True, nogil=True)
def paint(cells: Cells, what: Paint, voxels: NDArray[np.uint8], nearest: NDArray[np.float32]) -> None:
    """Paint the voxels (C, Z, Y, X) within the cells' bands, where no point of a sheet nearer than this one has painted.

    `nearest` (Z, Y, X) float32 keeps the distance to the point that painted a voxel, infinite at first. Of points equally
    near the higher value of each picture wins, so that the order of painting does not matter. A voxel inside the hull but outside the
    band of its pixel's value is painted 0.
    """
    patch, box = np.empty((2, 4, 3)), np.empty((2, 3))
    for row in range(cells.valid.shape[0] - 1):
        for column in range(cells.valid.shape[1] - 1):
            if not _is_whole(cells, row, column):
                continue
            _cell_box(cells, row, column, what.hull, box)
            if not _meets(box, nearest.shape):
                continue
            _patch(cells, row, column, patch)
            pieces = max(1, int((what.hull[1] - what.hull[0]) / max(PIECE_VOX, _edge(patch))))
            thick = (what.hull[1] - what.hull[0]) / pieces
            for piece in range(pieces):
                span = what.hull[0] + piece * thick, what.hull[0] + (piece + 1) * thick
                _cell_box(cells, row, column, span, box)
                _paint_box(patch, box, span, what, (row, column), (voxels, nearest))


@njit(cache=True, nogil=True)
def _meets(box, shape):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    meets = True
    for axis in range(3):
        meets &= box[1, axis] >= 0 and box[0, axis] <= shape[axis] - 1
    return meets


@njit(cache=True, nogil=True)
def _paint_box(patch, box, span, what, cell, out):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Paint those voxels in a box whose foot is in a cell."""
    voxels, nearest = out
    low, high = np.empty(3, np.int64), np.empty(3, np.int64)
    for axis in range(3):
        low[axis] = max(0, int(np.ceil(box[0, axis])))
        high[axis] = min(nearest.shape[axis] - 1, int(np.floor(box[1, axis])))
    for z in range(low[0], high[0] + 1):
        for y in range(low[1], high[1] + 1):
            for x in range(low[2], high[2] + 1):
                found, a, b, depth = _foot(patch, (z, y, x), span)
                away = np.float32(abs(depth))
                if not found or away > nearest[z, y, x] or not what.hull[0] <= depth + SNAP_VOX < what.hull[1]:
                    continue
                i, j = _pixel(what, 0, cell[0] + a), _pixel(what, 1, cell[1] + b)
                for picture in range(voxels.shape[0]):
                    value = what.pixels[picture, i, j]
                    if not what.bands[value, 0] <= depth + SNAP_VOX < what.bands[value, 1]:
                        value = np.uint8(0)
                    if away < nearest[z, y, x] or value > voxels[picture, z, y, x]:
                        voxels[picture, z, y, x] = value
                nearest[z, y, x] = away


@njit(cache=True, nogil=True)
def _pixel(what, axis, place):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """The row (axis 0) or column (axis 1) of the pixel at a grid place."""
    at = int(np.floor(place * what.scale[axis] + what.shift[axis]))
    return min(max(at, 0), what.pixels.shape[axis + 1] - 1)


@njit(cache=True, nogil=True)
def _is_whole(cells, row, column):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    valid = cells.valid
    return valid[row, column] and valid[row + 1, column] and valid[row, column + 1] and valid[row + 1, column + 1]


@njit(cache=True, nogil=True)
def _cell_box(cells, row, column, span, box):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """A box about a cell between two depths. Depth s is at s / |N| times the normal, which may be shorter than 1 between grid points."""
    mean = np.zeros(3)
    for n in range(4):
        for axis in range(3):
            mean[axis] += cells.normals[row + n // 2, column + n % 2, axis] / 4
    length = np.sqrt(mean[0] ** 2 + mean[1] ** 2 + mean[2] ** 2)
    shortest = 1.0
    for n in range(4):
        along = 0.0
        for axis in range(3):
            along += cells.normals[row + n // 2, column + n % 2, axis] * mean[axis] / max(length, 1e-9)
        shortest = min(shortest, along)
    stretch = 1 / max(shortest, LEAST_NORMAL)
    box[0], box[1] = np.inf, -np.inf
    for n in range(4):
        for depth in (span[0] * stretch, span[0], span[1], span[1] * stretch):
            for axis in range(3):
                at = cells.points[row + n // 2, column + n % 2, axis]
                at += depth * cells.normals[row + n // 2, column + n % 2, axis]
                box[0, axis], box[1, axis] = min(box[0, axis], at - SNAP_VOX), max(box[1, axis], at + SNAP_VOX)


@njit(cache=True, nogil=True)
def _patch(cells, row, column, patch):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Coefficients of 1, a, b and a * b in the points and in the normals of a cell."""
    for axis in range(3):
        for kind, grid in enumerate((cells.points, cells.normals)):
            here, down = grid[row, column, axis], grid[row + 1, column, axis]
            right, across = grid[row, column + 1, axis], grid[row + 1, column + 1, axis]
            patch[kind, 0, axis], patch[kind, 1, axis], patch[kind, 2, axis] = here, down - here, right - here
            patch[kind, 3, axis] = here - down - right + across


@njit(cache=True, nogil=True)
def _edge(patch):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """About how long a cell's shorter edge is."""
    down = patch[0, 1, 0] ** 2 + patch[0, 1, 1] ** 2 + patch[0, 1, 2] ** 2
    right = patch[0, 2, 0] ** 2 + patch[0, 2, 1] ** 2 + patch[0, 2, 2] ** 2
    return np.sqrt(min(down, right))


@njit(cache=True, nogil=True)
def _foot(patch, place, span):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """(found, a, b, depth) of a place over a cell; not found where its foot is in no part of it."""
    a, b, t = 0.5, 0.5, (span[0] + span[1]) / 2
    far = span[1] - span[0] + 2.0
    for turn in range(ROUNDS):
        z, y, x = _along(patch, 0, a, b, t), _along(patch, 1, a, b, t), _along(patch, 2, a, b, t)
        step_a, step_b, step_t = _solved(z, y, x, (place[0] - z[0], place[1] - y[0], place[2] - x[0]))
        a, b, t = a + step_a, b + step_b, t + step_t
        if abs(step_a) + abs(step_b) + abs(step_t) < CONVERGED:
            length = np.sqrt(z[3] ** 2 + y[3] ** 2 + x[3] ** 2)
            return -EDGE <= a <= 1 + EDGE and -EDGE <= b <= 1 + EDGE, a, b, t * length
        if turn and not (-1 < a < 2 and -1 < b < 2 and span[0] - far < t < span[1] + far):
            break
    return False, a, b, t


@njit(cache=True, nogil=True)
def _along(patch, axis, a, b, t):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Along one axis: the place (a, b, t), and how it changes with a, b and t."""
    p, n = patch[0], patch[1]
    normal = n[0, axis] + a * n[1, axis] + b * (n[2, axis] + a * n[3, axis])
    place = p[0, axis] + a * p[1, axis] + b * (p[2, axis] + a * p[3, axis]) + t * normal
    with_a = p[1, axis] + b * p[3, axis] + t * (n[1, axis] + b * n[3, axis])
    with_b = p[2, axis] + a * p[3, axis] + t * (n[2, axis] + a * n[3, axis])
    return place, with_a, with_b, normal


@njit(cache=True, nogil=True)
def _solved(z, y, x, rest):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Steps in a, b and t that make up for `rest` (z, y, x), by Cramer's rule; infinite where there are none."""
    _, za, zb, zt = z
    _, ya, yb, yt = y
    _, xa, xb, xt = x
    minor_z, minor_y, minor_x = yb * xt - yt * xb, zt * xb - zb * xt, zb * yt - zt * yb
    whole = za * minor_z + ya * minor_y + xa * minor_x
    if whole == 0:
        return np.inf, np.inf, np.inf
    rz, ry, rx = rest
    step_a = (rz * minor_z + ry * minor_y + rx * minor_x) / whole
    step_b = (za * (ry * xt - yt * rx) + ya * (zt * rx - rz * xt) + xa * (rz * yt - zt * ry)) / whole
    step_t = (za * (yb * rx - ry * xb) + ya * (rz * xb - zb * rx) + xa * (zb * ry - rz * yb)) / whole
    return step_a, step_b, step_t

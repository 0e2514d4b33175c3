"""Where the samples along the normals of a tile fall in a grid of voxels, and what they are worth: the compiled part.

The places of the samples are never stored for more than a few rows: each is the foot of its normal plus the offset times
the normal. All of a line is between its ends, in floating point too as long as every function here finds a place
by the same expression and none lets the compiler fuse it; so a line whose ends are inside needs no further looking.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from scroll.geometry import Size
from scroll.runtime.compiled import njit

NOWHERE = -1
Places = tuple[NDArray[np.int64], NDArray[np.float32]]


class Lines(NamedTuple):
    """Normals of a tile: feet and unit vectors (h, w, 3) float32 in z, y, x of level 0, valid (h, w), offsets (N,) float32."""

    points: NDArray[np.float32]
    normals: NDArray[np.float32]
    valid: NDArray[np.bool_]
    offsets: NDArray[np.float32]


class Grid(NamedTuple):
    """A grid of voxels in space: place p of level 0 is its voxel p * scale + shift (z, y, x); 0 to shape - 1 is inside, both included.

    With `nearest` a sample is the voxel nearest to it (halves go up), else a blend of the eight about it.
    """

    shape: Size
    scale: tuple[float, float, float]
    shift: tuple[float, float, float]
    nearest: bool


class TilePiece(NamedTuple):
    """A piece of a tile's samples: rows, columns and offsets, each (first, end)."""

    rows: tuple[int, int]
    columns: tuple[int, int]
    offsets: tuple[int, int]


class Layout(NamedTuple):
    """An array that holds part of a grid: the voxel it begins with, and its steps along z, y, x in items."""

    start: Size
    steps: Size


@njit(cache=True, nogil=True)
def place(lines: Lines, grid: Grid, part: TilePiece, layout: Layout, out: Places) -> None:
    """Fill `out` with where each sample of a part is found: corner (N, h, w) int64, shares (3, N, h, w) float32.

    The corner is the place in the array of the first of a sample's voxels, or -1 where the surface is invalid or the
    sample is outside the grid; the shares are the weights of the next voxel along z, y and x.
    """
    corners, shares = out
    width = part.columns[1] - part.columns[0]
    feet, steps, ok = np.empty((3, width)), np.empty((3, width)), np.empty(width, np.bool_)
    for row in range(part.rows[0], part.rows[1]):
        all_inside = True
        for k in range(width):
            column = part.columns[0] + k
            ok[k] = lines.valid[row, column]
            for axis in range(3):
                feet[axis, k], steps[axis, k] = _line(lines, grid, row, column, axis)
            all_inside &= ok[k] and _is_line_inside(feet, steps, k, _ends(lines, part), grid.shape)
        for n in range(part.offsets[1] - part.offsets[0]):
            offset = np.float64(lines.offsets[part.offsets[0] + n])
            i = row - part.rows[0]
            _place_row(
                feet, steps, offset, grid, layout, (corners[n, i], shares[0, n, i], shares[1, n, i], shares[2, n, i])
            )
            if not all_inside:
                _blank(feet, steps, offset, ok, grid.shape, corners[n, i])


@njit(cache=True, nogil=True)
def _line(lines, grid, row, column, axis):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Foot and step of a normal along an axis, in voxels of the grid."""
    foot = np.float64(lines.points[row, column, axis]) * grid.scale[axis] + grid.shift[axis]
    return foot, np.float64(lines.normals[row, column, axis]) * grid.scale[axis]


@njit(cache=True, nogil=True)
def _ends(lines, part):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    return np.float64(lines.offsets[part.offsets[0]]), np.float64(lines.offsets[part.offsets[1] - 1])


@njit(cache=True, nogil=True)
def _is_inside(feet, steps, k, offset, shape):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    inside = True
    for axis in range(3):
        place = feet[axis, k] + offset * steps[axis, k]
        inside &= 0.0 <= place and place <= shape[axis] - 1.0  # noqa: SIM300  # NaN is outside
    return inside


@njit(cache=True, nogil=True)
def _is_line_inside(feet, steps, k, ends, shape):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    return _is_inside(feet, steps, k, ends[0], shape) and _is_inside(feet, steps, k, ends[1], shape)


@njit(cache=True, nogil=True)
def _last(grid, axis):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """The last voxel that may be a sample's first: one follows it, unless there is one only or only one is requested."""
    length = grid.shape[axis]
    return np.int32(length - 1 if grid.nearest or length == 1 else length - 2)


@njit(cache=True, nogil=True)
def _place_row(feet, steps, offset, grid, layout, out):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Corner and shares along a row as if all of it were inside: without a branch, so that it is done by vectors."""
    corner, share_z, share_y, share_x = out
    half = 0.5 if grid.nearest else 0.0
    last_z, last_y, last_x = _last(grid, 0), _last(grid, 1), _last(grid, 2)
    start_z, start_y, start_x = layout.start
    step_z, step_y, step_x = layout.steps
    for k in range(corner.size):
        z = feet[0, k] + offset * steps[0, k]
        y = feet[1, k] + offset * steps[1, k]
        x = feet[2, k] + offset * steps[2, k]
        iz = min(np.int32(z + half), last_z)
        iy = min(np.int32(y + half), last_y)
        ix = min(np.int32(x + half), last_x)
        share_z[k] = np.float32(z - iz)
        share_y[k] = np.float32(y - iy)
        share_x[k] = np.float32(x - ix)
        corner[k] = (iz - start_z) * step_z + (iy - start_y) * step_y + (ix - start_x) * step_x


@njit(cache=True, nogil=True)
def _blank(feet, steps, offset, ok, shape, corner):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    for k in range(corner.size):
        if not (ok[k] and _is_inside(feet, steps, k, offset, shape)):
            corner[k] = NOWHERE


@njit(cache=True, nogil=True, fastmath={"contract"})
def blend(voxels: NDArray[Any], steps: Size, places: Places, out: NDArray[np.float32], at: Size) -> None:
    """Write trilinear samples of a flat array to `out` (N, h, w) float32 from `at` on: NaN where a place is nowhere.

    `places` and `steps` are those of `place`. A voxel of weight 0 counts for nothing, even if it is NaN.
    """
    corners, shares = places
    sz, sy, sx = np.uint64(steps[0]), np.uint64(steps[1]), np.uint64(steps[2])
    one = np.float32(1)
    for n in range(corners.shape[0]):
        for i in range(corners.shape[1]):
            row = out[at[0] + n, at[1] + i]
            for k in range(corners.shape[2]):
                if corners[n, i, k] == NOWHERE:
                    row[at[2] + k] = np.nan
                    continue
                c = np.uint64(corners[n, i, k])
                wz, wy, wx = shares[0, n, i, k], shares[1, n, i, k], shares[2, n, i, k]
                uz, uy, ux = one - wz, one - wy, one - wx
                a, b = _pair(voxels, c, sx, ux, wx), _pair(voxels, c + sy, sx, ux, wx)
                c += sz
                d, e = _pair(voxels, c, sx, ux, wx), _pair(voxels, c + sy, sx, ux, wx)
                value = uz * (uy * a + wy * b) + wz * (uy * d + wy * e)
                row[at[2] + k] = value if value == value else _without_nan(voxels, c - sz, (sz, sy, sx), (wz, wy, wx))


@njit(cache=True, nogil=True, fastmath={"contract"})
def _pair(voxels, at, step, before, after):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    return before * np.float32(voxels[at]) + after * np.float32(voxels[at + step])


@njit(cache=True, nogil=True, fastmath={"contract"})
def _without_nan(voxels, corner, steps, shares):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """The same blend again, now with regard to which voxels weigh nothing."""
    (sz, sy, sx), (wz, wy, wx) = steps, shares
    a = _mix(voxels[corner], voxels[corner + sx], wx)
    b = _mix(voxels[corner + sy], voxels[corner + sy + sx], wx)
    corner += sz
    d = _mix(voxels[corner], voxels[corner + sx], wx)
    e = _mix(voxels[corner + sy], voxels[corner + sy + sx], wx)
    return _mix(_mix(a, b, wy), _mix(d, e, wy), wz)


@njit(cache=True, nogil=True, fastmath={"contract"})
def _mix(before, after, share):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    if share == 0:
        return np.float32(before)
    if share == 1:
        return np.float32(after)
    return (np.float32(1) - share) * np.float32(before) + share * np.float32(after)


@njit(cache=True, nogil=True)
def pick(voxels: NDArray[Any], places: Places, out: NDArray[np.float32], at: Size) -> None:
    """The same for the nearest voxel."""
    corners = places[0]
    for n in range(corners.shape[0]):
        for i in range(corners.shape[1]):
            for k in range(corners.shape[2]):
                c = corners[n, i, k]
                out[at[0] + n, at[1] + i, at[2] + k] = np.nan if c == NOWHERE else np.float32(voxels[np.uint64(c)])


@njit(cache=True, nogil=True)
def extent(lines: Lines, grid: Grid, part: TilePiece) -> NDArray[np.int64]:
    """First and end voxel (2, 3) of a box that holds all that the samples of a part look at; all 0 where nothing does."""
    ends = _ends(lines, part)
    low, high = np.full(3, np.inf), np.full(3, -np.inf)
    for row in range(part.rows[0], part.rows[1]):
        for column in range(part.columns[0], part.columns[1]):
            if not lines.valid[row, column]:
                continue
            inside = True
            for axis in range(3):
                foot, step = _line(lines, grid, row, column, axis)
                a, b = foot + ends[0] * step, foot + ends[1] * step
                inside &= max(a, b) >= 0 and min(a, b) <= grid.shape[axis] - 1
            if inside:
                for axis in range(3):
                    foot, step = _line(lines, grid, row, column, axis)
                    a, b = foot + ends[0] * step, foot + ends[1] * step
                    low[axis], high[axis] = min(low[axis], min(a, b)), max(high[axis], max(a, b))
    box = np.zeros((2, 3), np.int64)
    if low[0] <= high[0]:
        for axis in range(3):
            box[0, axis] = min(np.int64(max(low[axis], 0.0)), np.int64(_last(grid, axis)))
            box[1, axis] = np.int64(min(high[axis], grid.shape[axis] - 2.0)) + 2 if grid.shape[axis] > 1 else 1
    return box


@njit(cache=True, nogil=True)
def mark(lines: Lines, grid: Grid, part: TilePiece, chunks: Size, first: Size, touched: NDArray[np.bool_]) -> None:
    """Set in `touched` each chunk with a voxel that weighs in a sample of a part; its own first chunk is number `first`."""
    feet, steps, box = np.empty((3, 1)), np.empty((3, 1)), np.empty((2, 3), np.int64)
    known = np.full((2, 3), -1.0)  # a box all of whose chunks are set; most lines lie where the one before them did
    for row in range(part.rows[0], part.rows[1]):
        for column in range(part.columns[0], part.columns[1]):
            if not lines.valid[row, column]:
                continue
            for axis in range(3):
                feet[axis, 0], steps[axis, 0] = _line(lines, grid, row, column, axis)
            if not _is_line_known(feet, steps, _ends(lines, part), known):
                _mark_line(feet, steps, lines.offsets, part.offsets, (grid, chunks), (first, touched))
                _widen(feet, steps, _ends(lines, part), (grid, chunks), (first, touched), (box, known))


@njit(cache=True, nogil=True)
def _is_line_known(feet, steps, ends, known):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    inside = True
    for axis in range(3):
        a, b = feet[axis, 0] + ends[0] * steps[axis, 0], feet[axis, 0] + ends[1] * steps[axis, 0]
        inside &= known[0, axis] <= a and a <= known[1, axis] and known[0, axis] <= b and b <= known[1, axis]
    return inside


@njit(cache=True, nogil=True)
def _mark_line(feet, steps, offsets, span, where, out):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Set the chunks of one line's samples from number span[0] to before span[1]."""
    grid, chunks = where
    box, n = np.empty((2, 3), np.int64), span[0]
    while n < span[1]:
        if _is_inside(feet, steps, 0, np.float64(offsets[n]), grid.shape):
            _chunks_of(feet, steps, np.float64(offsets[n]), grid, chunks, box)
            _set(out[1], box, out[0])
            n = _last_in_chunk(feet, steps, offsets, (n, span[1]), chunks, box[0])
        n += 1


@njit(cache=True, nogil=True)
def _widen(feet, steps, ends, where, out, boxes):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Make `known` the box of chunks about a line inside the grid, if all of them are set: then no line in it adds any."""
    (grid, chunks), (first, touched), (box, known) = where, out, boxes
    if not _is_line_inside(feet, steps, 0, ends, grid.shape):
        return
    far = np.empty((2, 3), np.int64)
    _chunks_of(feet, steps, ends[0], grid, chunks, box)
    _chunks_of(feet, steps, ends[1], grid, chunks, far)
    for axis in range(3):
        box[0, axis], box[1, axis] = min(box[0, axis], far[0, axis]), max(box[1, axis], far[1, axis])
    for z in range(box[0, 0], box[1, 0] + 1):
        for y in range(box[0, 1], box[1, 1] + 1):
            for x in range(box[0, 2], box[1, 2] + 1):
                if not touched[z - first[0], y - first[1], x - first[2]]:
                    return
    for axis in range(3):
        known[0, axis] = box[0, axis] * chunks[axis]
        known[1, axis] = min((box[1, axis] + 1) * chunks[axis], grid.shape[axis]) - 1


@njit(cache=True, nogil=True)
def _set(touched, box, first):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    for z in range(box[0, 0], box[1, 0] + 1):
        for y in range(box[0, 1], box[1, 1] + 1):
            for x in range(box[0, 2], box[1, 2] + 1):
                touched[z - first[0], y - first[1], x - first[2]] = True


@njit(cache=True, nogil=True)
def _chunks_of(feet, steps, offset, grid, chunks, box):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """First and last chunk (2, 3) along z, y, x of the voxels that weigh in one sample inside the grid."""
    half = 0.5 if grid.nearest else 0.0
    for axis in range(3):
        place = feet[axis, 0] + offset * steps[axis, 0]
        voxel = min(np.int32(place + half), _last(grid, axis))
        share = np.float32(0) if grid.nearest else np.float32(place - voxel)
        box[0, axis] = np.int32(voxel + (share == 1)) // np.int32(chunks[axis])
        box[1, axis] = np.int32(voxel + (share > 0)) // np.int32(chunks[axis])


@njit(cache=True, nogil=True)
def _last_in_chunk(feet, steps, offsets, span, chunks, chunk):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """The last sample before span[1] up to which a line stays in a chunk, where number span[0] is: by bisection."""
    last, beyond = span
    probe = beyond - 1
    while beyond - last > 1:
        stays = True
        for axis in range(3):
            place = feet[axis, 0] + np.float64(offsets[probe]) * steps[axis, 0]
            stays &= chunk[axis] * chunks[axis] <= place and place <= (chunk[axis] + 1) * chunks[axis] - 1
        if stays:
            last = probe
        else:
            beyond = probe
        probe = (last + beyond) // 2
    return last

"""One sheet grown over a grid: from cell to neighbouring cell, always to the ridge nearest to where the slope leads."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scroll.runtime.compiled import njit
from scroll.tracing.ridges import Ridges

CELL_VOX = 2.0
LEAST_UPRIGHT = 0.5  # cosine between a ridge's normal and the frame's: steeper ones belong to another frame
Ints = NDArray[np.int64]
Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Frame:
    """A grid of cells of CELL_VOX lying across `axes` (3, 3), whose rows are the directions of rows, columns and height.

    A point p has the row (axes[0] @ p - origin[0]) / CELL_VOX, the column likewise, and the height axes[2] @ p.
    """

    axes: NDArray[np.float64]
    origin: NDArray[np.float64]
    shape: tuple[int, int]

    def points(self, heights: NDArray[np.floating]) -> NDArray[np.float64]:
        """(H, W, 3) points z, y, x of heights (H, W) over the cells."""
        rows, columns = np.indices(self.shape) * CELL_VOX
        local = np.stack([rows + self.origin[0], columns + self.origin[1], heights], axis=-1)
        return np.asarray(local @ self.axes)


@dataclass(frozen=True, eq=False)
class Candidates:
    """Ridges in a frame: `row`, `column` (in cells, fractional), `height`, and slopes (N, 2) in voxels of height a cell.

    `order` are their numbers sorted by cell, and those of cell c are order[first[c] : first[c + 1]].
    """

    row: Floats
    column: Floats
    height: Floats
    slope: Floats
    order: Ints
    first: Ints


def frame_of(ridges: Ridges, shape: tuple[int, ...]) -> Frame:
    """The frame whose height runs along the mean normal of these ridges, over a whole (Z, Y, X) volume."""
    tensor = np.einsum("n,ni,nj->ij", ridges.strength, ridges.normals, ridges.normals, dtype=np.float64)
    up = np.linalg.eigh(tensor)[1][:, 2]
    along = np.eye(3)[np.abs(up).argmin()]
    rows = along - (along @ up) * up
    rows /= np.linalg.norm(rows)
    axes = np.stack([rows, np.cross(rows, up), up])
    corners = np.stack(np.meshgrid(*[[0.0, n - 1.0] for n in shape], indexing="ij"), -1).reshape(-1, 3) @ axes.T
    low, high = corners.min(axis=0), corners.max(axis=0)
    size = [int(np.ceil((high[k] - low[k]) / CELL_VOX)) + 1 for k in (0, 1)]
    return Frame(axes, low, (size[0], size[1]))


def candidates_in(frame: Frame, ridges: Ridges) -> Candidates:
    """Ridges as the frame sees them; too steep ones are given no cell."""
    local = ridges.points.astype(np.float64) @ frame.axes.T
    row, column = ((local[:, k] - frame.origin[k]) / CELL_VOX for k in (0, 1))
    normals = ridges.normals @ frame.axes.T
    upright = np.abs(normals[:, 2]) >= LEAST_UPRIGHT
    slope = -CELL_VOX * normals[:, :2] / np.where(upright, normals[:, 2], 1)[:, None]
    cells = np.rint(row).astype(np.int64) * frame.shape[1] + np.rint(column).astype(np.int64)
    cells[~upright] = frame.shape[0] * frame.shape[1]
    order = np.argsort(cells, kind="stable")
    first = np.searchsorted(cells[order], np.arange(frame.shape[0] * frame.shape[1] + 1))
    plain = [np.ascontiguousarray(part, np.float32) for part in (row, column, local[:, 2], slope)]
    return Candidates(plain[0], plain[1], plain[2], plain[3], order, first)


def grow(
    candidates: Candidates, heights: Floats, slopes: Floats, tolerance_vox: float, free: NDArray[np.bool_]
) -> None:
    """Fill the NaNs of `heights` (H, W) and `slopes` (H, W, 2), in place, from the cells that have one, nearest first.

    A cell takes the mean of the `free` ridges in it that lie within the tolerance of where its neighbour's slope leads.
    """
    parts = candidates
    _grow(
        (parts.row, parts.column, parts.height, parts.slope), (parts.order, parts.first), free, heights, slopes,
        np.float32(tolerance_vox),
    )  # fmt: skip


@njit(cache=True)
def _grow(places, index, free, heights, slopes, tolerance):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    high, wide = heights.shape
    queue = np.empty(high * wide, np.int64)
    first, end = 0, 0
    for cell in range(high * wide):
        if not np.isnan(heights.flat[cell]):
            queue[end], end = cell, end + 1
    while first < end:
        i, j = divmod(queue[first], wide)
        first += 1
        for down, right in ((-1, 0), (1, 0), (0, -1), (0, 1)):
            y, x = i + down, j + right
            if not (0 <= y < high and 0 <= x < wide) or not np.isnan(heights[y, x]):
                continue
            led = heights[i, j] + down * slopes[i, j, 0] + right * slopes[i, j, 1]
            if _settle(places, index, free, (y, x), led, tolerance, heights, slopes):
                queue[end], end = y * wide + x, end + 1


@njit(cache=True)
def _settle(places, index, free, cell, led, tolerance, heights, slopes):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Give a cell the mean of its ridges near the height it is led to; False where there is none."""
    row, column, height, slope = places
    order, starts = index
    y, x = cell
    number = y * heights.shape[1] + x
    count, total, along_row, along_column = 0.0, 0.0, 0.0, 0.0
    for place in range(starts[number], starts[number + 1]):
        n = order[place]
        if not free[n]:
            continue
        level = height[n] - (row[n] - y) * slope[n, 0] - (column[n] - x) * slope[n, 1]
        if abs(level - led) <= tolerance:
            count += 1
            total += level
            along_row += slope[n, 0]
            along_column += slope[n, 1]
    if count == 0:
        return False
    heights[y, x], slopes[y, x, 0], slopes[y, x, 1] = total / count, along_row / count, along_column / count
    return True


def join(
    candidates: Candidates, led: Floats, heights: Floats, slopes: Floats, tolerance_vox: float, free: NDArray[np.bool_]
) -> None:
    """Fill the NaNs of `heights`, in place, where a free ridge is within the tolerance of the height `led` (H, W)."""
    parts = candidates
    _join(
        (parts.row, parts.column, parts.height, parts.slope), (parts.order, parts.first), free, led, heights, slopes,
        np.float32(tolerance_vox),
    )  # fmt: skip


@njit(cache=True)
def _join(places, index, free, led, heights, slopes, tolerance):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    for y in range(heights.shape[0]):
        for x in range(heights.shape[1]):
            if np.isnan(heights[y, x]) and not np.isnan(led[y, x]):
                _settle(places, index, free, (y, x), led[y, x], tolerance, heights, slopes)

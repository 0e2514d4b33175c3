"""The one type that every reader gives: a grid of points on a sheet, and any tile of it at any resolution."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

INVALID = -1.0
STRIP_POINTS = 2**20  # whose slopes are held at once: 25 numbers a point, against 3 that are kept
ON_A_POINT = 1e-9  # cells; a rounding error must not make a pixel on the last row ask for the one after it


@dataclass(frozen=True, eq=False)
class Surface:
    """A sheet traced in a volume, as a grid (H, W) of points; rows and columns run along the sheet.

    Attributes:
        points: (H, W, 3) z, y, x in voxels of level 0 (a voxel's centre is a whole number); -1 where invalid.
        normals: (H, W, 3) z, y, x, unit vectors, 0 where there is none. As computed by `normals_of` they point where
            dP/dcolumn x dP/drow points (in x, y, z): out of the scroll, where columns run round it anticlockwise.
        valid: (H, W) bool.
        cell_vox: voxels of level 0 between neighbouring rows, and between neighbouring columns.
        path: where it was read.

    The arrays may be numpy arrays or anything that is sliced like one and reads only that slice (a .ppm of gigabytes).

    The sheet's full-resolution picture, its *canvas*, has one pixel a voxel: pixel (i, j) is at row i / cell_vox[0] and
    column j / cell_vox[1] of the grid, so that grid point (0, 0) is the centre of pixel (0, 0).
    """

    points: Any
    normals: Any
    valid: Any
    cell_vox: tuple[float, float]
    path: Path

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the grid."""
        return int(self.points.shape[0]), int(self.points.shape[1])

    def flipped(self) -> "Surface":
        """The same sheet with its normals, and so the direction of depth, turned round."""
        return replace(self, normals=_Negated(self.normals))

    def canvas_shape(self, pixel_vox: int = 1) -> tuple[int, int]:
        """Rows and columns of the canvas in pixels of `pixel_vox` voxels; a cut pixel at the far edge counts."""
        full = [max(1, round(n * cell)) for n, cell in zip(self.shape, self.cell_vox, strict=True)]
        return -(-full[0] // pixel_vox), -(-full[1] // pixel_vox)

    def tile(self, rows: slice, columns: slice, pixel_vox: int = 1) -> "Tile":
        """Points and unit normals of a piece of the canvas in pixels of `pixel_vox` voxels, bilinear between grid points.

        Pixel i of the coarse canvas is centred on full-resolution pixel (i + 0.5) * pixel_vox - 0.5. A pixel is valid
        where all the grid points it is made of are.
        """
        height, width = self.canvas_shape(pixel_vox)
        first_row, row_share = _places(rows, height, self.cell_vox[0], pixel_vox)
        first_column, column_share = _places(columns, width, self.cell_vox[1], pixel_vox)
        if not (first_row.size and first_column.size):
            empty = np.zeros((first_row.size, first_column.size, 3), np.float32)
            return Tile(empty, empty, empty[..., 0] > 0)
        box = _grid_box(first_row, self.shape[0]), _grid_box(first_column, self.shape[1])
        grid = _Grid(*(np.asarray(part[box]) for part in (self.points, self.normals, self.valid)))
        at = (first_row - box[0].start, first_column - box[1].start)
        return _interpolated(grid, at, (row_share.astype(np.float32), column_share.astype(np.float32)))


@dataclass(frozen=True, eq=False)
class _Negated:
    """Normals turned round as they are sliced: those of a large map stay on the disk."""

    normals: Any

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.normals.shape)

    def __getitem__(self, key: Any) -> Any:
        return -np.asarray(self.normals[key])


@dataclass(frozen=True)
class Tile:
    """A piece of a canvas: `points` and unit `normals` (h, w, 3) float32 in z, y, x, level 0; `valid` (h, w) bool.

    Where invalid, points are -1 and normals 0.
    """

    points: NDArray[np.float32]
    normals: NDArray[np.float32]
    valid: NDArray[np.bool_]


@dataclass(frozen=True)
class _Grid:
    points: NDArray[Any]
    normals: NDArray[Any]
    valid: NDArray[np.bool_]


def _places(
    picked: slice, length: int, cell_vox: float, pixel_vox: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The grid row (or column) before each pixel, and the share of the one after it."""
    pixels = np.arange(length)[picked]
    places = ((pixels + 0.5) * pixel_vox - 0.5) / cell_vox
    whole = np.rint(places)
    places = np.where(np.abs(places - whole) < ON_A_POINT, whole, places)
    before = np.floor(places).astype(np.int64)
    return before, places - before


def _grid_box(before: NDArray[np.int64], length: int) -> slice:
    return slice(min(int(before.min()), length - 1), min(int(before.max()) + 2, length))


def _interpolated(
    grid: _Grid, before: tuple[NDArray[np.int64], NDArray[np.int64]], share: tuple[NDArray[np.float32], ...]
) -> Tile:
    shape = (before[0].size, before[1].size)
    points, normals = np.zeros((*shape, 3), np.float64), np.zeros((*shape, 3), np.float32)
    valid = np.ones(shape, bool)
    for down in (0, 1):
        for right in (0, 1):
            rows, columns = before[0] + down, before[1] + right
            weight = np.outer(*(s if far else 1 - s for s, far in zip(share, (down, right), strict=True)))
            inside = np.outer(rows < grid.valid.shape[0], columns < grid.valid.shape[1])
            at = np.ix_(np.minimum(rows, grid.valid.shape[0] - 1), np.minimum(columns, grid.valid.shape[1] - 1))
            valid &= (inside & grid.valid[at]) | (weight == 0)  # a pixel on a grid point needs no other
            points += weight[..., None] * np.where(weight[..., None] > 0, grid.points[at], 0)
            normals += weight[..., None] * np.where(weight[..., None] > 0, grid.normals[at], 0)
    length = np.linalg.norm(normals, axis=-1)
    valid &= length > 1e-6
    normals /= np.maximum(length, 1e-6)[..., None]  # a mean of unit vectors is shorter than one
    points[~valid], normals[~valid] = INVALID, 0
    return Tile(points.astype(np.float32), normals, valid)


def normals_of(points: NDArray[np.floating], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Unit normals (H, W, 3) of a grid of points (H, W, 3), all z, y, x: dP/dcolumn x dP/drow in x, y, z.

    Slopes are central where both neighbours are valid and one-sided where one is; a point with no valid neighbour in a
    row or in a column, or whose neighbours fall together, has normal 0.
    """
    normals = np.empty(points.shape, np.float32)
    step = max(1, STRIP_POINTS // max(1, points.shape[1]))
    for row in range(0, points.shape[0], step):
        low, high = max(0, row - 1), row + step + 1
        strip = _strip_normals(points[low:high], valid[low:high])
        normals[row : row + step] = strip[row - low :][:step]
    return normals


def _strip_normals(points: NDArray[np.floating], valid: NDArray[np.bool_]) -> NDArray[np.float64]:
    along_row, along_column = _slope(points, valid, 0), _slope(points, valid, 1)
    # a cross product changes its sign when x, y, z are read backwards
    normals = np.cross(along_row, along_column)
    length = np.linalg.norm(normals, axis=-1, keepdims=True)
    usable = valid[..., None] & (length > 1e-12)
    return np.where(usable, normals / np.where(usable, length, 1), 0)


def _slope(points: NDArray[np.floating], valid: NDArray[np.bool_], axis: int) -> NDArray[np.float64]:
    """Difference to the neighbours along an axis, (H, W, 3); the mean of the one before and the one after, 0 without any."""
    total = np.zeros(points.shape, np.float64)
    count = np.zeros(valid.shape)
    if points.shape[axis] > 1:
        low: list[slice] = [slice(None)] * 2
        high = list(low)
        low[axis], high[axis] = slice(None, -1), slice(1, None)
        before, after = tuple(low), tuple(high)
        both = valid[before] & valid[after]
        step = np.where(both[..., None], points[after].astype(np.float64) - points[before], 0)
        for here in (before, after):
            total[here] += step
            count[here] += both
    return total / np.maximum(count, 1)[..., None]

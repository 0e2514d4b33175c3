"""Wavefront .obj meshes with UV: flattened by someone else, here drawn onto a grid.

Vertices are x, y, z in voxels of level 0; UV has its origin at the bottom left (`OBJWriter.cpp` in
educelab/volume-cartographer), so that rows of the grid run against v.
"""

import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scroll.errors import InputError
from scroll.surfaces.mesh import NONE, GridNote, Mesh, read_mesh
from scroll.surfaces.raster import draw_triangles
from scroll.surfaces.surface import INVALID, Surface, normals_of

UNDERSTANDS = "a .obj mesh with UV"
CELL_VOX = 4.0
MOST_CELLS = 2**26  # 1.7 GB of points and normals
ROUNDING = 1e-6  # a UV may leave 0 to 1 by so much and still be a share of a picture
STRIP_ROWS = 256


class Triangles(NamedTuple):
    """Of each triangle: dP/du and dP/dv (2, T, 3), twice its area in UV with its sign (T,), the cross of its edges (T, 3)."""

    slopes: NDArray[np.float64]
    area_uv: NDArray[np.float64]
    across: NDArray[np.float64]


def recognises(path: Path) -> bool:
    """Whether `path` is a file called .obj."""
    return path.is_file() and path.suffix.lower() == ".obj"


def open(path: Path, cell_vox: float | None = None) -> Surface:
    """Read a mesh with UV and draw it onto a grid with a point about every `cell_vox` voxels; in memory, points float32.

    UV may be shares of a picture (0 to 1: the grid is then the whole picture), pixels or anything else (the grid is then
    their bounding box); how many voxels a unit of u and of v spans is measured on the mesh. A cell is fitted so that the
    edges of the picture are rows and columns of the grid. `cell_vox` not given: the grid that a comment notes in the
    file, else 4. A grid point is valid where a triangle covers it; where several do, the first holds. Normals are
    dP/dcolumn x dP/drow, whatever the winding of the faces and the normals of the file.

    Raises:
        InputError: damaged, no face, no UV, UV without area, or a grid of more than 2**26 points.

    Warns:
        UserWarning: the file's normals point the other way, triangles are mirrored in UV, or overlap there.
    """
    if cell_vox is not None and not (np.isfinite(cell_vox) and cell_vox > 0):
        raise InputError(f"{path}: cell_vox is {cell_vox}; expected voxels between grid points above 0: for example 4")
    mesh = read_mesh(path)
    triangles = _triangles(mesh)
    low, high = _extent(mesh)
    grid = _grid(mesh, (high - low) * _vox_per_unit(path, triangles), cell_vox)
    at = ((mesh.uv - low) / (high - low) * (np.array(grid.shape[::-1]) - 1))[:, ::-1]  # row from the bottom, column
    at[:, 0] = grid.shape[0] - 1 - at[:, 0]
    points, valid = np.full((*grid.shape, 3), INVALID, np.float32), np.zeros(grid.shape, bool)
    again = draw_triangles(np.ascontiguousarray(at), mesh.vertices, mesh.corners[..., :2], points, valid)
    _warn(mesh, triangles, int(again), int(valid.sum()))
    return Surface(points, normals_of(points, valid), valid, grid.cell_vox, path)


def _grid(mesh: Mesh, size_vox: NDArray[np.float64], cell_vox: float | None) -> GridNote:
    """The grid to draw on: as noted in the file, or whole cells near `cell_vox` over `size_vox` (columns, rows).

    Raises:
        InputError: too many points.
    """
    noted = mesh.grid if cell_vox is None else None
    columns, rows = (float(n) + 1 for n in size_vox / (cell_vox or CELL_VOX)) if noted is None else noted.shape[::-1]
    if not rows * columns <= MOST_CELLS:
        raise InputError(
            f"{mesh.path}: a point every {cell_vox or CELL_VOX:g} voxels would make a grid of {rows:.4g} x {columns:.4g}; "
            f"expected at most {MOST_CELLS} points: open it with a larger cell_vox, or mend its UV"
        )
    if noted is not None:
        return noted
    shape = max(2, round(rows)), max(2, round(columns))
    return GridNote(shape, (float(size_vox[1]) / (shape[0] - 1), float(size_vox[0]) / (shape[1] - 1)))


def _extent(mesh: Mesh) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lowest and highest u, v that the grid spans."""
    used = mesh.uv[mesh.corners[..., 1]].reshape(-1, 2)
    low, high = used.min(axis=0), used.max(axis=0)
    if (low >= -ROUNDING).all() and (high <= 1 + ROUNDING).all():
        return np.minimum(low, 0.0), np.maximum(high, 1.0)
    return low, high


def _triangles(mesh: Mesh) -> Triangles:
    places, uv = mesh.vertices[mesh.corners[..., 0]], mesh.uv[mesh.corners[..., 1]]
    b, c = places[:, 1] - places[:, 0], places[:, 2] - places[:, 0]
    (b_u, b_v), (c_u, c_v) = (uv[:, 1] - uv[:, 0]).T, (uv[:, 2] - uv[:, 0]).T
    area_uv = b_u * c_v - c_u * b_v
    usable = np.where(area_uv == 0, np.inf, area_uv)[:, None]
    with np.errstate(over="ignore"):
        slopes = np.stack([b * c_v[:, None] - c * b_v[:, None], c * b_u[:, None] - b * c_u[:, None]]) / usable
    return Triangles(slopes, area_uv, np.cross(b, c))


def _vox_per_unit(path: Path, triangles: Triangles) -> NDArray[np.float64]:
    """Voxels that a unit of u and of v spans: the medians of |dP/du| and |dP/dv| over the area of the sheet.

    Raises:
        InputError: no triangle has an area both in UV and in space.
    """
    area = np.linalg.norm(triangles.across, axis=-1) * (triangles.area_uv != 0)
    lengths = [_median(np.linalg.norm(slope, axis=-1), area) for slope in triangles.slopes]
    if not (area.sum() > 0 and min(lengths) > 0 and np.isfinite(lengths).all()):
        raise InputError(
            f"{path}: no triangle has an area both in UV and in space; expected a flattened mesh: make its UV again"
        )
    return np.array(lengths)


def _median(values: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    order = np.argsort(values)
    total = np.cumsum(weights[order])
    return float(values[order][min(np.searchsorted(total, total[-1] / 2), len(values) - 1)])


def _warn(mesh: Mesh, triangles: Triangles, again: int, covered: int) -> None:
    area_uv = triangles.area_uv
    mirrored = int(min((area_uv > 0).sum(), (area_uv < 0).sum()))
    if mirrored:
        _say(
            f"{mesh.path}: {mirrored} of {len(area_uv)} triangles are mirrored in UV; there the sheet is folded: flatten it again"
        )
    if again:
        _say(
            f"{mesh.path}: triangles overlap in UV {again} times on {covered} grid points; the first holds: flatten it again"
        )
    corners = mesh.corners[..., 2]
    given = (corners != NONE).all(axis=1) & (area_uv != 0)
    if given.any():
        # dP/dcolumn x dP/drow in x, y, z is dP/du x dP/dv in z, y, x, as v runs against the rows
        ours = triangles.across[given] * np.sign(area_uv[given])[:, None]
        against = float(((mesh.normals[corners[given]].sum(axis=1) * ours).sum(axis=-1) < 0).mean())
        if against > 0.5:
            _say(
                f"{mesh.path}: the file's normals point against dP/dcolumn x dP/drow on {against:.1%} of its triangles; "
                "the latter is used: flip the normals if the file's are meant"
            )


def _say(message: str) -> None:
    warnings.warn(message, stacklevel=4)

"""Surfaces written as meshes and per-pixel maps, for the readers to read."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from scroll.errors import InputError
from scroll.runtime.files import written_aside
from scroll.surfaces.obj import STRIP_ROWS
from scroll.surfaces.ppm import END, EXPECTED
from scroll.surfaces.ppm import STRIP_ROWS as PPM_STRIP_ROWS
from scroll.surfaces.surface import Surface

GRID_LINE = "# scroll surface: {} rows, {} columns, cells of {!r} x {!r} voxels\n"


def write_obj(surface: Surface, path: Path) -> None:
    """Write a surface as a mesh, aside first: valid grid points with UV from 0 to 1 and normals, two triangles a whole quad.

    A comment notes the grid and its cells, so that it is read back as it was. Faces are wound so that they look along the
    normals dP/dcolumn x dP/drow. Made and written strip by strip.

    Raises:
        InputError: `path` does not end in .obj, by which it is known, or the surface has no whole quad.
    """
    if path.suffix.lower() != ".obj":
        raise InputError(f"{path}: a mesh is known by its name; expected one that ends in .obj: rename it")
    has_face = False
    with written_aside(path) as aside, aside.open("w", encoding="ascii") as file:
        file.write(GRID_LINE.format(*surface.shape, *map(float, surface.cell_vox)))
        for lines in _vertex_lines(surface):
            file.writelines(lines)
        for lines in _face_lines(surface):
            has_face |= bool(lines)
            file.writelines(lines)
        if not has_face:
            raise InputError(f"{surface.path}: no four neighbouring points are valid; expected a sheet: trace it again")


def _obj_strips(surface: Surface, more: int) -> Iterator[slice]:
    for row in range(0, surface.shape[0], STRIP_ROWS):
        yield slice(row, min(row + STRIP_ROWS + more, surface.shape[0]))


def _vertex_lines(surface: Surface) -> Iterator[list[str]]:
    """Lines v, vt and vn of the valid points, row by row."""
    height, width = surface.shape
    for rows in _obj_strips(surface, 0):
        points, normals, valid = (np.asarray(part[rows]) for part in (surface.points, surface.normals, surface.valid))
        i, j = np.nonzero(valid)
        uv = np.stack([j / max(width - 1, 1), 1 - (i + rows.start) / max(height - 1, 1)], axis=-1)
        number = "%.9g" if points.dtype == np.float32 else "%.17g"
        for kind, values, form in (
            ("v", points[valid][:, ::-1], number), ("vt", uv, "%.17g"), ("vn", normals[valid][:, ::-1], "%.9g"),
        ):  # fmt: skip
            line = " ".join([kind, *[form] * values.shape[1]]) + "\n"
            yield [line % tuple(row) for row in values.tolist()]


def _face_lines(surface: Surface) -> Iterator[list[str]]:
    before = 0
    for rows in _obj_strips(surface, 1):
        valid = np.asarray(surface.valid[rows])
        number = before + np.cumsum(valid).reshape(valid.shape)  # from 1
        before += int(valid[:STRIP_ROWS].sum())
        whole = valid[1:, 1:] & valid[1:, :-1] & valid[:-1, 1:] & valid[:-1, :-1]
        a, b, c, d = (part[whole] for part in (number[:-1, :-1], number[:-1, 1:], number[1:, :-1], number[1:, 1:]))
        yield [
            _face(*corners) for corners in np.concatenate([np.stack(t, -1) for t in ((a, b, c), (b, d, c))]).tolist()
        ]


def _face(*corners: Any) -> str:
    return "f " + " ".join(f"{n}/{n}/{n}" for n in corners) + "\n"


def write_ppm(surface: Surface, path: Path) -> None:
    """Write a surface as a per-pixel map and its <stem>_mask.png, aside first; zeros where invalid.

    A map has one pixel a voxel: a grid of other cells is written as its canvas, bilinear between its points. Made and
    written strip by strip, but for the mask, which is one byte a pixel.

    Raises:
        InputError: `path` does not end in .ppm, by which it is known.
    """
    if path.suffix.lower() != ".ppm":
        raise InputError(f"{path}: a per-pixel map is known by its name; expected one that ends in .ppm: rename it")
    is_canvas = surface.cell_vox == (1.0, 1.0)
    height, width = surface.shape if is_canvas else surface.canvas_shape()
    mask = np.zeros((height, width), bool)
    with ExitStack() as stack:
        aside, mask_aside = (
            stack.enter_context(written_aside(p)) for p in (path, path.with_name(f"{path.stem}_mask.png"))
        )
        with aside.open("wb") as file:
            file.write(_header_text(height, width))
            for row in range(0, height, PPM_STRIP_ROWS):
                rows = slice(row, min(row + PPM_STRIP_ROWS, height))
                values, mask[rows] = _ppm_strip(surface, rows, is_canvas)
                file.write(values.tobytes())
        _write_mask(mask_aside, mask)


def _header_text(height: int, width: int) -> bytes:
    message = {"width": width, "height": height, **EXPECTED}
    return "".join(f"{key}: {value}\n" for key, value in message.items()).encode() + END + b"\n"


def _ppm_strip(surface: Surface, rows: slice, is_canvas: bool) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """(h, W, 6) values and (h, W) valid of some rows."""
    piece = surface if is_canvas else surface.tile(rows, slice(None))
    box = (rows if is_canvas else slice(None), slice(None))
    points, normals, valid = (np.asarray(part[box]) for part in (piece.points, piece.normals, piece.valid))
    values = np.concatenate([points[..., ::-1], normals[..., ::-1]], axis=-1).astype("<f8")
    values[~valid] = 0
    return values, valid


def _write_mask(path: Path, mask: NDArray[np.bool_]) -> None:
    Image.fromarray(mask.astype(np.uint8) * 255).save(path, format="PNG")

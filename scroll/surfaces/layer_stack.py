"""A ready layer stack as a surface ("identity"): someone has flattened it already, and its sheet is the middle layer."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scroll.errors import InputError
from scroll.surfaces.lazy_grid import LazyGrid
from scroll.surfaces.surface import Surface
from scroll.volumes import is_volume, open_volume

UNDERSTANDS = "a layer stack (N, H, W) in any form that a volume may have, thinner than it is high and wide"


def recognises(path: Path) -> bool:
    """Whether `path` can be read as a volume; whether that is a stack, `open` sees."""
    return is_volume(path)


def open(path: Path) -> Surface:
    """Open a ready layer stack as a surface; no layer is read.

    Raises:
        InputError: the volume is broken, or as thick as it is wide, so that it is a scroll and no stack.
    """
    shape = open_volume(path).shape
    if shape[0] >= min(shape[1:]):
        size = " x ".join(map(str, shape))
        raise InputError(
            f"{path}: a volume of {size} (z, y, x) is no layer stack; expected fewer layers than rows and columns: "
            "point at a tifxyz folder, a .ppm or a .obj traced in it"
        )
    return layer_stack_surface(shape, path)


def layer_stack_surface(shape_zyx: Sequence[int], path: Path | str = "layer stack") -> Surface:
    """The middle layer of a stack (N, H, W) as a surface: point (i, j) is z = N // 2, y = i, x = j, all of them valid.

    Normals are +z, so that offset d is layer N // 2 + d: offsets grow with the number of the layer. That is also
    dP/dcolumn x dP/drow. Whether a higher layer is further out of the scroll is up to whoever flattened it. The arrays
    are made as they are asked for, whatever the size of the stack.
    """
    depth, height, width = (int(n) for n in shape_zyx)
    return Surface(
        LazyGrid((height, width, 3), np.dtype(np.float32), partial(_points, depth // 2)),
        LazyGrid((height, width, 3), np.dtype(np.float32), _normals),
        LazyGrid((height, width), np.dtype(bool), _valid),
        (1.0, 1.0),
        Path(path),
    )


def _shape(rows: slice, columns: slice) -> tuple[int, int]:
    return len(range(rows.start, rows.stop, rows.step or 1)), len(range(columns.start, columns.stop, columns.step or 1))


def _points(z: int, rows: slice, columns: slice) -> NDArray[np.float32]:
    points = np.empty((*_shape(rows, columns), 3), np.float32)
    points[..., 0] = z
    points[..., 1] = np.arange(rows.start, rows.stop, rows.step)[:, None]
    points[..., 2] = np.arange(columns.start, columns.stop, columns.step)
    return points


def _normals(rows: slice, columns: slice) -> NDArray[np.float32]:
    normals = np.zeros((*_shape(rows, columns), 3), np.float32)
    normals[..., 0] = 1
    return normals


def _valid(rows: slice, columns: slice) -> NDArray[Any]:
    return np.ones(_shape(rows, columns), bool)

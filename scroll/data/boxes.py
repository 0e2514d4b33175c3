"""Boxes of voxels and windows of pixels: moved inside what they are cut from, and filled up where that is smaller."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Size = tuple[int, int, int]


def box_inside(shape: Size, corner: Sequence[float] | NDArray[np.floating], size: Size) -> Size:
    """The corner of a box of that size, moved so that the box is inside a volume of `shape` where it can."""
    z, y, x = (int(np.clip(round(float(c)), 0, max(0, n - s))) for c, n, s in zip(corner, shape, size, strict=True))
    return z, y, x


def filled_up(values: NDArray[Any], size: Sequence[int], beyond: Any = None) -> NDArray[Any]:
    """(..., *size) out of values that may end before it along the last axes: their far edge repeated, or the value `beyond`.

    >>> filled_up(np.array([[1, 2]]), (1, 4)).tolist(), filled_up(np.array([[1, 2]]), (2, 2), beyond=0).tolist()
    ([[1, 2, 2, 2]], [[1, 2], [0, 0]])
    """
    there = values.shape[-len(size) :]
    short = [(0, max(0, want - have)) for want, have in zip(size, there, strict=True)]
    if not any(more for _, more in short):
        return values
    short = [(0, 0)] * (values.ndim - len(size)) + short
    return np.pad(values, short, mode="edge") if beyond is None else np.pad(values, short, constant_values=beyond)

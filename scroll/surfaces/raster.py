"""Triangles drawn onto a grid: the place in space of each grid point, linear within a triangle (barycentric)."""

import math

import numpy as np
from numpy.typing import NDArray

from scroll.runtime.compiled import njit

SLACK = 1e-6  # in shares of a triangle: a grid point on an edge belongs to both sides, and to one where there is one
LEAST_AREA = 1e-9  # in cells; what is thinner covers no grid point that its neighbours do not


@njit(cache=True)
def draw_triangles(
    at: NDArray[np.float64],
    points: NDArray[np.float64],
    corners: NDArray[np.int64],
    out: NDArray[np.float32],
    valid: NDArray[np.bool_],
) -> int:
    """Fill `out` (H, W, 3) and `valid` (H, W) with the points of the triangles that cover each grid point, the first holds.

    `at` (m, 2) are rows and columns in cells, `points` (n, 3) places in space, `corners` (T, 3, 2) the indices into
    `points` and `at` of each corner. Returns how many times a grid point lay within one more triangle.
    """
    again = 0
    for t in range(corners.shape[0]):
        a, b, c = corners[t, 0], corners[t, 1], corners[t, 2]
        row, column = at[a[1], 0], at[a[1], 1]
        down_b, right_b = at[b[1], 0] - row, at[b[1], 1] - column
        down_c, right_c = at[c[1], 0] - row, at[c[1], 1] - column
        area = down_b * right_c - down_c * right_b
        if not abs(area) > LEAST_AREA:
            continue
        for i in range(*_span(row, down_b, down_c, valid.shape[0])):
            for j in range(*_span(column, right_b, right_c, valid.shape[1])):
                down, right = i - row, j - column
                share_b = (down * right_c - down_c * right) / area
                share_c = (down_b * right - down * right_b) / area
                least = min(share_b, share_c, 1 - share_b - share_c)
                if least < -SLACK:
                    continue
                if valid[i, j]:
                    again += least > SLACK
                    continue
                valid[i, j] = True
                for k in range(3):
                    foot = points[a[0], k]
                    out[i, j, k] = foot + share_b * (points[b[0], k] - foot) + share_c * (points[c[0], k] - foot)
    return again


@njit(cache=True)
def _span(first, second, third, length):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Whole rows (or columns) from the lowest to the highest corner, `second` and `third` counted from `first`."""
    low, high = first + min(0.0, second, third), first + max(0.0, second, third)
    return max(0, math.ceil(low - SLACK)), min(length, math.floor(high + SLACK) + 1)

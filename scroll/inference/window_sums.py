"""A window's score added to weighted sums in one pass, with no array in between."""

import numpy as np
from numpy.typing import NDArray

from scroll.runtime.compiled import njit

Floats = NDArray[np.float32]


def add_window(sums: Floats, weights: Floats, score: Floats, weight: Floats, corner: tuple[int, ...]) -> bool:
    """Add `score * weight` to `sums` and `weight` to `weights` from `corner` on; whether all of the score is finite.

    `sums` (K, Z, Y, X) and `weights` (Z, Y, X), or (K, Y, X) and (Y, X), each in one piece of memory, are changed; score
    (K, *patch), weight (*patch). The corner's row is 0: sums are as high as a window.
    """
    height, width = sums.shape[-2:]
    there, count = sums.reshape(len(sums), -1, height, width), weights.reshape(-1, height, width)
    added = np.ascontiguousarray(score).reshape(len(sums), -1, *score.shape[-2:])
    first = corner[0] if len(corner) == 3 else 0
    is_finite: bool = _add(there, count, added, weight.reshape(added.shape[1:]), first, corner[-1])
    return is_finite


@njit(cache=True, nogil=True)
def _add(sums: Floats, weights: Floats, score: Floats, weight: Floats, first_z: int, first_x: int) -> bool:
    depth, height, width = weight.shape
    odd = 0
    for z in range(depth):
        for y in range(height):
            row = weight[z, y]
            for k in range(score.shape[0]):
                total, added = sums[k, first_z + z, y, first_x : first_x + width], score[k, z, y]
                for x in range(width):
                    total[x] += added[x] * row[x]
                for x in range(width):  # 0 of a number; NaN of NaN and of infinity
                    odd += added[x] - added[x] != 0
            count = weights[first_z + z, y, first_x : first_x + width]
            for x in range(width):
                count[x] += row[x]
    return odd == 0

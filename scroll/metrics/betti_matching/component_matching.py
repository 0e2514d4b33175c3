"""Betti matching in dimension 0: which components of prediction and label are the same.

The reference fills the space between the components of the union edge by edge in the order z, y, x, axis, and counts
a match whenever two clusters meet that both hold voxels of the prediction and both hold voxels of the label. In that
order one cluster eats its way through the volume: a voxel joins it over the edge from the voxel before it, on the
first axis that has one. So no cluster has to be tracked, only when each component of the union joins.
"""

import numpy as np
import numpy.typing as npt

from scroll.geometry import BoolVolume
from scroll.metrics.betti_matching.betti import components
from scroll.runtime.compiled import njit

PREDICTED, IN_LABEL, BOTH = 1, 2, 3


def matched_components(pred: BoolVolume, label: BoolVolume) -> int:
    """Matched bars of dimension 0 of two (Z, Y, X) masks; the first component of each is the essential one."""
    union = components(pred | label)
    count = int(union.max(initial=0))
    held, joins = _joining(union, np.ascontiguousarray(pred), np.ascontiguousarray(label), count)
    shared = held == BOTH
    if not shared.any():
        return 0
    before = joins < joins[shared].min()
    is_met = int(np.bitwise_or.reduce(held[before], initial=0)) == BOTH
    return int(shared.sum()) - (not is_met)


@njit(cache=True)
def _joining(
    union: npt.NDArray[np.uint32], pred: BoolVolume, label: BoolVolume, count: int
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Per component of the union: whose voxels it holds (bits), and the number of the edge over which it joins."""
    depth, height, width = union.shape
    held = np.zeros(count, np.uint8)
    joins = np.full(count, 3 * depth * height * width, np.int64)
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                if not union[z, y, x]:
                    continue
                piece = np.int64(union[z, y, x]) - 1
                held[piece] |= pred[z, y, x] * PREDICTED | label[z, y, x] * IN_LABEL
                voxel = (z * height + y) * width + x
                if z:
                    edge = (voxel - height * width) * 3
                elif y:
                    edge = (voxel - width) * 3 + 1
                else:
                    edge = (voxel - 1) * 3 + 2  # the first voxel of all: before every edge
                joins[piece] = min(joins[piece], edge)
    return held, joins

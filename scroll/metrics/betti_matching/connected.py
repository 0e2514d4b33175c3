"""Connected components of a mask."""

import cc3d
import numpy as np
import numpy.typing as npt

from scroll.geometry import BoolVolume, Labels
from scroll.runtime.compiled import njit


def connected_components(mask: BoolVolume, connectivity: int) -> Labels:
    """Components of a (Z, Y, X) mask, 6- or 26-connected, numbered from 1; 0 outside.

    >>> connected_components(np.array([[[True, False, True]]]), 26).tolist()
    [[[1, 0, 2]]]
    """
    if not mask.size:
        return np.zeros(mask.shape, np.uint32)
    depth, height, width = mask.shape
    if sorted(mask.shape)[1] == 1:  # cc3d 4.1 raises on single rows of voxels: "maximum length exception"
        mask = np.pad(mask, ((0, 1), (0, 1), (0, 1)))
    labels: Labels = cc3d.connected_components(mask, connectivity=connectivity, out_dtype=np.uint32)
    return np.ascontiguousarray(labels[:depth, :height, :width])


def component_sizes(labels: Labels) -> npt.NDArray[np.int64]:
    """How many voxels of (Z, Y, X) each number has, that of 0 first.

    >>> component_sizes(np.array([[[2, 2, 0]]], np.uint32)).tolist()
    [1, 0, 2]
    """
    sizes: npt.NDArray[np.int64] = _counted(labels.ravel(), int(labels.max(initial=0)) + 1)
    return sizes


@njit(cache=True)
def _counted(labels: npt.NDArray[np.uint32], count: int) -> npt.NDArray[np.int64]:
    """A run of one number at a time, for neighbours are mostly alike."""
    sizes, start = np.zeros(count, np.int64), 0
    for i in range(1, labels.size + 1):
        if i == labels.size or labels[i] != labels[start]:
            sizes[labels[start]] += i - start
            start = i
    return sizes

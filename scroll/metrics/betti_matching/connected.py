"""Connected components of a mask."""

import cc3d
import numpy as np

from scroll.geometry import BoolVolume, Labels


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

"""The skeleton of a label, for the loss that asks how much of it is found."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation

CROSS = np.array([[[False, True, False], [True, True, True], [False, True, False]]])  # (1, 3, 3): within a slice


def skeleton_tube(target: NDArray[np.bool_] | NDArray[np.float32], ignore: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The skeleton of a label (Y, X) or (Z, Y, X), thickened by one voxel within the label, where it is known.

    A volume is thinned slice by slice along z and the slices' skeletons united: of a sheet that crosses the slices that
    leaves its middle surface, where thinning in 3D would leave a bush of lines. A sheet that is along the slices, as ink
    does in a flattened stack, keeps the strokes' middle lines at each of its layers. A soft target (mixup) is cut at 1/2.

    >>> skeleton_tube(np.ones((5, 11), bool), np.zeros((5, 11), bool)).astype(int)[:, 4:7].tolist()
    [[0, 0, 0], [1, 1, 1], [1, 1, 1], [1, 1, 1], [0, 0, 0]]

    Source: Kirchhoff et al. 2024, "Skeleton recall loss ...". Ours differs: the tube is two voxels thinner than theirs (one
    dilation and not two), since strokes and sheets may be 3 voxels thick, and volumes are thinned by slices.
    """
    from skimage.morphology import skeletonize

    known = (target > 0.5) & ~ignore
    volume = known.reshape((-1, *known.shape[-2:]))  # (Z, Y, X); a picture is one slice
    lines = np.stack([skeletonize(layer) if layer.any() else layer for layer in volume])
    return np.asarray(binary_dilation(lines, CROSS).reshape(known.shape) & known)

"""An image on the surface becomes voxels again; here the surface is the stack's own plane."""

import numpy as np
from numpy.typing import NDArray


def lift_plane(mask: NDArray[np.bool_], thickness_vox: int) -> NDArray[np.bool_]:
    """A (Y, X) mask as a layer of ink, (thickness_vox, Y, X) bool, the same at every depth."""
    return np.repeat(mask[None], thickness_vox, axis=0)

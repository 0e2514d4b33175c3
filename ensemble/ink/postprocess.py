"""What is too small to be a stroke of ink goes."""

import math

import numpy as np
import numpy.typing as npt

from scroll.errors import InputError


def drop_small(mask: npt.NDArray[np.bool_], min_area_um2: float, pixel_um: float) -> npt.NDArray[np.bool_]:
    """Copy of a (Y, X) bool mask without its 8-connected components of less than `min_area_um2`.

    The area is in square micrometres, so that the same setting means the same ink at any resolution: 10,000 pixels of
    4 um are 160,000 um2 (0.16 mm2). A component of exactly that area stays. An area of 0 removes nothing.

    Raises:
        InputError: not a bool (Y, X) mask, a negative area, or a pixel size that is not above 0.
    """
    if mask.ndim != 2 or mask.dtype != np.bool_:
        raise InputError(f"small components: the mask is {mask.dtype} {mask.shape}, expected bool (Y, X); threshold it")
    if not (min_area_um2 >= 0 and math.isfinite(min_area_um2) and pixel_um > 0):
        raise InputError(
            f"small components: min_area_um2 is {min_area_um2} and pixel_um {pixel_um}, expected 0 or more and above 0"
        )
    min_pixels = math.ceil(min_area_um2 / pixel_um**2 - 1e-6)  # 1e-6: rounding must not turn 10,000 into 10,001
    if min_pixels <= 1 or not mask.any():
        return mask.copy()
    from scroll.metrics.betti_matching.connected import connected_components

    labels = connected_components(mask[None], 26)[
        0
    ]  # a volume of one slice: cc3d 4.1 mislabels some small pictures in 2D
    is_kept = np.bincount(labels.ravel()) >= min_pixels
    is_kept[0] = False
    return is_kept[labels]

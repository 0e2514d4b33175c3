"""Per-voxel predictions onto the sheet: here the surface is the stack's own plane, so flattening pools over depth."""

import numpy as np
from numpy.typing import NDArray

from scroll.config.schema import FlattenSettings
from scroll.errors import InputError

TOPK_SHARE = 0.25


def flattened(values: NDArray[np.floating], how: str) -> NDArray[np.float32]:
    """Pool (Z, Y, X) over depth to (C, Y, X): C is 1, or Z where `how` is "layers".

    `logsumexp` and `topk` are as in `scroll.training.losses.pool_depth`; all of them leave a constant as it is.
    """
    values = np.asarray(values, dtype=np.float32)
    if how == "layers":
        return values
    if how == "max":
        flat = values.max(axis=0)
    elif how == "mean":
        flat = values.mean(axis=0)
    elif how == "logsumexp":
        top = values.max(axis=0)
        flat = top + np.log(np.mean(np.exp(values - top), axis=0))
    elif how == "topk":
        k = max(1, round(values.shape[0] * TOPK_SHARE))
        flat = np.partition(values, values.shape[0] - k, axis=0)[-k:].mean(axis=0)
    else:
        raise InputError(f"unknown way to flatten '{how}'; there are max, mean, logsumexp, topk, layers")
    return flat[None].astype(np.float32)


def depth_window(settings: FlattenSettings, depth: tuple[int, int]) -> slice:
    """The layers to flatten, as indices into a volume that covers `depth` (layers relative to the sheet's centre).

    Raises:
        InputError: the window is not inside the predicted layers.
    """
    start, stop = settings.window or depth
    if not depth[0] <= start < stop <= depth[1]:
        raise InputError(
            f"stage1.flatten.window {(start, stop)} does not lie inside the predicted layers, data.depth {depth}"
        )
    return slice(start - depth[0], stop - depth[0])

"""Grey values sent to the networks as they are stored, where that is a byte or two a voxel, and scaled where the networks are."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scroll.data.intensity import FAR, AsStored, Intensity
from scroll.inference.fold_ensemble import placed


def sent(stored: NDArray[Any], how: Intensity) -> Tensor:
    """What `AsStored(how)` read, any shape, as the networks see it, float32, on their device; the values are those of `how.scaled`."""
    windows = placed(stored)
    return windows if windows.dtype == torch.float32 else scaled(windows, how)


def read_and_sent(raw: NDArray[Any], how: Intensity, place: str) -> Tensor:
    """Grey values of any type and shape as the networks see them, float32, on their device.

    Raises:
        UnreadableError: not all values are finite; the message begins with `place`.
    """
    return sent(np.ascontiguousarray(AsStored(how).scaled(raw, place)), how)


def scaled(raw: Tensor, how: Intensity) -> Tensor:
    """As `how.scaled` does with an array: the same operations on float32, the same bits, on the tensor's device."""
    values = raw.to(torch.float32)
    is_zero = values == 0 if how.keeps_zero and how.how != "ours" else None
    if how.how in ("clip_divide", "clip_zscore"):
        values = values.clamp(how.low, how.high)
    if how.how in ("zscore", "clip_zscore", "ours"):
        values = values - float(np.float32(how.middle))
    if how.how != "none":
        values = values / torch.full(
            (), how.spread, device=raw.device
        )  # a scalar would be multiplied by its inverse there
    if how.how == "ours":
        values = values.clamp(-FAR, FAR)
    return values if is_zero is None else values.masked_fill(is_zero, 0)

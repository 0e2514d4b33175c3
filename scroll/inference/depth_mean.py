"""Several depth windows looked at as one: through the networks one by one, then the mean of what they say of the same layers."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scroll.inference.sliding_window import Forward


def over_depth_windows(forward: Forward, count: int) -> Forward:
    """The same networks for `count` depth windows side by side, (B, count * C, ...) -> (B, count, ...); one window stays as it is.

    One after the other, so that a batch takes no more memory than it did.
    """
    if count == 1:
        return forward

    def of_all(windows: Tensor) -> Tensor:
        return torch.cat([forward(one) for one in windows.chunk(count, dim=1)], dim=1)

    return of_all


def depth_mean(maps: NDArray[np.float32], shifts: Sequence[int], is_of_sheet: bool) -> NDArray[np.float32]:
    """Mean probability by layer of windows that lie `shifts` layers deeper than the map, (K, Z, rows, X) -> (1, Z, rows, X).

    What each window says is moved back to the layers that it looked at. A layer that some windows do not reach has the mean of
    those that do; one window must reach each layer, as the one that is not shifted does.

    `is_of_sheet`: a network that was supervised on logits pooled over depth says something of the sheet, not of single
    layers. Every window then counts in every layer, with its nearest layer where it does not reach: else the outer layers
    would be means of fewer windows, spread wider, and a maximum over depth would take theirs. A network that says one thing of
    all layers so gives the plain mean of its maps. A map of one channel, where nothing was looked at, stays as it is.
    """
    if len(maps) == 1:
        return maps
    depth = maps.shape[1]
    total, count = np.zeros_like(maps[0]), np.zeros((depth, 1, 1), np.float32)
    for own, shift in zip(maps, shifts, strict=True):
        layers = np.arange(depth) - shift  # of the window, for each layer of the map
        if is_of_sheet:
            layers = layers.clip(0, depth - 1)
        is_reached = (layers >= 0) & (layers < depth)
        total[is_reached] += own[layers[is_reached]]
        count[is_reached] += 1
    return np.asarray((total / count)[None], np.float32)

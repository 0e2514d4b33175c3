"""Windows of voxels of another size: what a network was trained on, made of the voxels that are there, and its answer brought back."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import ceil, sqrt
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from torch import Tensor

from scroll.geometry import Size

ROUNDING = 1e-6  # voxels


@dataclass(frozen=True)
class Line:
    """Along one axis: voxel n of a window is centred at voxel `first + n * step` of a box, within it.

    Attributes:
        window, size: voxels of the window, and of the box.
    """

    window: int
    size: int
    first: float
    step: float

    @classmethod
    def centred(cls, window: int, step: float) -> "Line":
        """With the smallest box about the window, and the same middle.

        >>> Line.centred(5, 0.4)
        Line(window=5, size=3, first=0.19999999999999996, step=0.4)
        """
        size = ceil((window - 1) * step - ROUNDING) + 1
        return cls(window, size, (size - 1 - (window - 1) * step) / 2, step)

    def into(self) -> Tensor:
        """(window, size) weights of the box's voxels in those of the window."""
        return _weights(self.first + self.step * np.arange(self.window), self.size, self.step)

    def back(self) -> Tensor:
        """(size, window) weights of the window's voxels in those of the box; what is outside the window has its nearest."""
        return _weights((np.arange(self.size) - self.first) / self.step, self.window, 1 / self.step)


def _weights(places: NDArray[np.floating[Any]], count: int, step: float) -> Tensor:
    """(places, count) float32: linear interpolation between voxels, after a Gaussian where places lie farther apart than those.

    The Gaussian makes of a blur of half a voxel one of half the way between places, so that there is no detail that they could not
    show. Each row sums to 1; beyond either end is what is there.
    """
    away = np.abs(np.arange(count) - places.clip(0, count - 1)[:, None])
    weights = (1 - away).clip(0)
    if step > 1:
        weights = weights @ gaussian_filter1d(np.eye(count), sqrt(step**2 - 1) / 2, axis=0, mode="nearest")
    return torch.from_numpy(weights.astype(np.float32))


@lru_cache(maxsize=64)
def _into(line: Line) -> Tensor:
    return line.into()


@lru_cache(maxsize=64)
def _back(line: Line, device: torch.device) -> Tensor:
    return line.back().to(device)


@dataclass(frozen=True)
class Resampling:
    """Along z, y, x: the window that a network sees, and the box of an item's voxels that it is made of."""

    lines: tuple[Line, Line, Line]

    @property
    def size(self) -> Size:
        """Of the box."""
        z, y, x = (line.size for line in self.lines)
        return z, y, x

    def window_of(self, box: NDArray[Any]) -> NDArray[np.float32]:
        """(*size) grey values of any type -> (*window) float32."""
        values = torch.from_numpy(np.ascontiguousarray(box, np.float32))
        return np.ascontiguousarray(_along(values, [_into(line) for line in self.lines]).numpy())

    def brought_back(self, scores: Tensor) -> Tensor:
        """(B, K, *window) or, of a map, (B, K, Y, X) of it -> (B, K, *size), or (B, K, Y, X)."""
        return _along(scores, [_back(line, scores.device) for line in self.lines[5 - scores.ndim :]])


def _along(values: Tensor, weights: Sequence[Tensor]) -> Tensor:
    """Values with each of the last axes resampled by (new, old) weights."""
    for axis, matrix in zip(range(-len(weights), 0), weights, strict=True):
        values = (values.movedim(axis, -1) @ matrix.T).movedim(-1, axis)
    return values

"""Probability volumes whose sheets are known exactly, for the tests beside this file."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Height = Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]
SIZE = 64


def ridge(height: Height, half_vox: float = 1.3, size: int = SIZE) -> NDArray[np.float32]:
    """A cube whose probability falls off as a Gaussian about the surface z = height(y, x), measured along its normal."""
    z, y, x = np.indices((size,) * 3).astype(np.float64)
    level = height(y, x)
    slope = np.hypot(height(y + 0.5, x) - height(y - 0.5, x), height(y, x + 0.5) - height(y, x - 0.5))
    away = (z - level) / np.sqrt(1 + slope**2)
    return np.exp(-0.5 * (away / half_vox) ** 2).astype(np.float32)


def plane(middle: float, down: float = 0.0, right: float = 0.0) -> Height:
    return lambda y, x: middle + down * (y - SIZE / 2) + right * (x - SIZE / 2)


def bowl(middle: float, radius: float) -> Height:
    return lambda y, x: (
        middle + radius - np.sqrt(np.maximum(radius**2 - (y - SIZE / 2) ** 2 - (x - SIZE / 2) ** 2, 1.0))
    )


def misfit(points: NDArray[np.floating], height: Height) -> NDArray[np.float64]:
    """How far along z each point (N, 3) is from the surface."""
    z, y, x = points.T.astype(np.float64)
    return np.asarray(np.abs(z - height(y, x)))

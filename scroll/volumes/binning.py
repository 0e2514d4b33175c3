"""Coarser arrays: each block of voxels becomes its mean, rounded to nearest where the type is whole."""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np


def block_mean(array: np.ndarray, factors: Sequence[int], is_half_to_even: bool = False) -> np.ndarray:
    """Means over blocks of `factors` voxels, of the same type; at the far edges over the voxels that are there.

    The shape becomes ceil(length / factor) along each axis. Whole types round to nearest, halves upwards, or to the even
    neighbour as numpy's `rint` does.

    >>> block_mean(np.array([[1, 2, 9], [3, 4, 10]], np.uint8), (2, 2))
    array([[ 3, 10]], dtype=uint8)
    """
    factors = tuple(factors)
    if math.prod(factors) == 1:
        return array
    shape = [-(-length // factor) for length, factor in zip(array.shape, factors, strict=True)]
    total: Any = np.zeros(shape, _exact(array.dtype, math.prod(factors)))
    # strided adds, not reshape and sum: several times faster for small blocks, and edges need no padding
    for corner in itertools.product(*map(range, factors)):
        part = array[tuple(slice(at, None, factor) for at, factor in zip(corner, factors, strict=True))]
        inside = total[tuple(slice(0, length) for length in part.shape)]
        np.add(inside, part, out=inside, casting="same_kind")
    counts = _counts(array.shape, factors)
    if array.dtype.kind == "f":
        return (total / counts).astype(array.dtype)
    counts = counts.astype(total.dtype)
    total += counts // 2
    if is_half_to_even:
        mean, rest = np.divmod(total, counts)
        mean -= (rest == 0) & (counts % 2 == 0) & (mean % 2 == 1)  # what was a half went up to an odd number
        return mean.astype(array.dtype)
    total //= counts
    return total.astype(array.dtype)


def _exact(dtype: np.dtype[Any], voxels: int) -> type:
    """A type that holds the sum of `voxels` values without loss (floats: with little)."""
    if dtype.kind == "u":
        return np.uint32 if dtype.itemsize <= 2 and voxels < 2**16 else np.uint64
    return np.int64 if dtype.kind == "i" else np.float64


def _counts(shape: Sequence[int], factors: Sequence[int]) -> np.ndarray:
    """How many voxels each block holds."""
    counts = np.ones([1] * len(shape), np.int64)
    for axis, (length, factor) in enumerate(zip(shape, factors, strict=True)):
        along = np.full(-(-length // factor), factor)
        along[-1] = length - factor * (len(along) - 1)
        counts = counts * along.reshape([-1 if place == axis else 1 for place in range(len(shape))])
    return counts

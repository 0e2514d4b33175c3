"""Smooth random fields: a coarse Gaussian lattice times one small B-spline matrix per axis."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

FloatArray = NDArray[np.float32]
Seed = int | tuple[int, ...]


def stream(seed: Seed, name: str) -> np.random.Generator:
    """A generator that depends on the seed and on what it is for, so that one ingredient never disturbs another.

    >>> bool(stream(1, "face").random() == stream(1, "face").random() != stream(1, "ink").random())
    True
    """
    return np.random.default_rng([*numbers(seed), zlib.crc32(name.encode())])


def numbers(seed: Seed) -> tuple[int, ...]:
    """A seed as a tuple, to put a further number behind it."""
    return (seed,) if isinstance(seed, int) else tuple(seed)


@dataclass(frozen=True)
class Spline:
    """Cubic B-splines along one axis: voxel n is the sum of four lattice values from `first[n]` on, by `weights[n]`.

    Attributes:
        first: (n,) int64.
        weights: (n, 4) float32, each row scaled to unit variance.
    """

    first: NDArray[np.int64]
    weights: FloatArray

    @property
    def matrix(self) -> sparse.csr_array:
        """The same as (n, lattice) weights."""
        length, columns = len(self.first), self.first[:, None] + np.arange(4)
        indptr = np.arange(0, 4 * length + 1, 4)
        shape = (length, int(self.first[-1]) + 4)
        return sparse.csr_array((self.weights.ravel(), columns.ravel(), indptr), shape=shape)


@dataclass(frozen=True)
class SmoothField:
    """A smooth field as it was drawn: a coarse lattice of float32 normal numbers, and the splines along each of its axes."""

    splines: tuple[Spline, ...]
    lattice: FloatArray

    @property
    def values(self) -> FloatArray:
        """The whole field. Sparse products, not BLAS, so that the bytes do not depend on threads."""
        values = self.lattice
        for axis in reversed(range(values.ndim)):  # the longest-strided axis last: the array is largest there
            values = _apply(self.splines[axis].matrix, values, axis)
        return values


def draw_field(rng: np.random.Generator, shape: Sequence[int], knots_vox: Sequence[float]) -> SmoothField:
    """Draw what `smooth_noise` is made of.

    Raises:
        ValueError: a spacing is not positive, or there is not one per axis.
    """
    if len(shape) != len(knots_vox) or min(knots_vox) <= 0:
        raise ValueError(f"need one positive knot spacing per axis, got {tuple(knots_vox)} for shape {tuple(shape)}")
    splines = tuple(_spline(n, knots, float(rng.random())) for n, knots in zip(shape, knots_vox, strict=True))
    return SmoothField(splines, rng.standard_normal([int(s.first[-1]) + 4 for s in splines], dtype=np.float32))


def smooth_noise(rng: np.random.Generator, shape: Sequence[int], knots_vox: Sequence[float]) -> FloatArray:
    """Gaussian field of mean 0 and variance 1 whose detail is as wide as the knot spacing along each axis.

    `shape` is the field's shape, `knots_vox` the spacing per axis in voxels. About equal to white noise
    blurred by a Gaussian of 0.58 knots.

    Raises:
        ValueError: a spacing is not positive, or there is not one per axis.
    """
    return draw_field(rng, shape, knots_vox).values


def _spline(length: int, knots_vox: float, phase: float) -> Spline:
    position = (np.arange(length) + phase * knots_vox) / knots_vox
    first = np.floor(position).astype(np.int64)
    t = position - first
    weights = np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3], axis=1)
    weights /= np.sqrt((weights**2).sum(axis=1, keepdims=True))
    return Spline(first, weights.astype(np.float32))


def _apply(matrix: sparse.csr_array, values: FloatArray, axis: int) -> FloatArray:
    before, after = values.shape[:axis], values.shape[axis + 1 :]
    if axis == 0:
        return (matrix @ values.reshape(values.shape[0], -1)).reshape(matrix.shape[0], *after)
    blocks = values.reshape(-1, values.shape[axis], int(np.prod(after, dtype=np.int64)))
    if blocks.shape[2] == 1:
        product = np.ascontiguousarray((matrix @ np.ascontiguousarray(blocks[:, :, 0].T)).T)
    else:
        product = np.stack([matrix @ block for block in blocks])
    return product.reshape(*before, matrix.shape[0], *after)

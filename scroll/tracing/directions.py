"""The direction along which a structure tensor says that most changes, for many places at once."""

import numpy as np
import numpy.typing as npt

from scroll.runtime.compiled import njit

Floats = npt.NDArray[np.float32]


def first_eigenvectors(tensor: Floats, squarings: int = 6) -> Floats:
    """The eigenvector of the largest eigenvalue of symmetric matrices, (Z, Y, X, 3) of unit length and either sign.

    Each matrix is squared until the largest eigenvalue is left alone: an eigenvalue of a share s of it weighs s^(2^squarings) in
    the direction. Zero where the trace is 0.

    Args:
        tensor: (Z, Y, X, 6) float32: zz, zy, zx, yy, yx, xx.
        squarings: how many times.
    """
    vectors: Floats = _rows_of_eigenvectors(tensor, squarings)
    return vectors


@njit(cache=True)
def _rows_of_eigenvectors(tensor: Floats, squarings: int) -> Floats:
    depth, height, width = tensor.shape[:3]
    vectors, row = np.zeros((depth, height, width, 3), np.float32), np.empty((6, width), np.float32)
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                for part in range(6):
                    row[part, x] = tensor[z, y, x, part]
                if row[0, x] + row[3, x] + row[5, x] <= 0:
                    row[:, x] = 0
            for _ in range(squarings):
                _square(row[0], row[1], row[2], row[3], row[4], row[5])
            for x in range(width):
                zz, zy, zx, yy, yx, xx = row[0, x], row[1, x], row[2, x], row[3, x], row[4, x], row[5, x]
                if zz >= yy and zz >= xx:
                    one, two, three = np.float64(zz), np.float64(zy), np.float64(zx)
                elif yy >= xx:
                    one, two, three = np.float64(zy), np.float64(yy), np.float64(yx)
                else:
                    one, two, three = np.float64(zx), np.float64(yx), np.float64(xx)
                length = np.sqrt(one**2 + two**2 + three**2)
                if length > 0:
                    vectors[z, y, x, 0], vectors[z, y, x, 1] = one / length, two / length
                    vectors[z, y, x, 2] = three / length
    return vectors


@njit(cache=True)
def _square(zz: Floats, zy: Floats, zx: Floats, yy: Floats, yx: Floats, xx: Floats) -> None:
    """Symmetric matrices, (N,) of each part, divided by their traces and squared, in place; those of trace 0 stay 0."""
    for i in range(zz.size):
        trace = zz[i] + yy[i] + xx[i]
        trace = trace if trace != 0 else np.float32(1)
        a, b, c, d, e, f = zz[i] / trace, zy[i] / trace, zx[i] / trace, yy[i] / trace, yx[i] / trace, xx[i] / trace
        zz[i], zy[i], zx[i] = a * a + b * b + c * c, a * b + b * d + c * e, a * c + b * e + c * f
        yy[i], yx[i], xx[i] = b * b + d * d + e * e, b * c + d * e + e * f, c * c + e * e + f * f

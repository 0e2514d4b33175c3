"""Sheets of one thickness: what is within half of it from a ridge of the probability, along the sheet's normal."""

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

from ensemble.surface.postprocess.merge_guard import keep_apart
from scroll.geometry import BoolVolume
from scroll.runtime.compiled import njit

FloatVolume = npt.NDArray[np.float32]
GRADIENT_SIGMA = 1.0  # of the structure tensor, in voxels of half the resolution
TENSOR_SIGMA = 4.0
STEP_VOX = 0.5  # between two samples along the normal


def even_thickness(mask: BoolVolume, prob: FloatVolume, threshold: float, thickness_vox: float) -> BoolVolume:
    """Bring the sheets of a mask to `thickness_vox` about the ridges of `prob`, (Z, Y, X) each.

    A voxel belongs to a sheet where a maximum of the probability along its normal, at least `threshold` high, is at
    most half the thickness away. Thick sheets become thinner and faint ones thicker, and two ridges in one thick slab come
    apart; no two 26-connected components of the mask are joined.
    """
    if not mask.any():
        return mask.copy()
    band = _near_ridge(prob, sheet_normals(prob), np.float32(threshold), np.float32(thickness_vox / 2))
    return keep_apart(mask, band)


def sheet_normals(prob: FloatVolume) -> FloatVolume:
    """Direction in which a probability (Z, Y, X) changes most, at half the resolution: unit vectors (z/2, y/2, x/2, 3).

    It is the first eigenvector of the structure tensor, so its sign says nothing; zero where nothing changes.
    """
    coarse = _halved(prob)
    slopes = [
        gaussian_filter(coarse, GRADIENT_SIGMA, order=order, truncate=3.0)
        for order in ((1, 0, 0), (0, 1, 0), (0, 0, 1))
    ]
    tensor = np.empty((*coarse.shape, 6), np.float32)
    for i, (one, other) in enumerate(((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))):
        tensor[..., i] = gaussian_filter(slopes[one] * slopes[other], TENSOR_SIGMA, truncate=2.0)
    return _first_eigenvectors(tensor)


def _halved(prob: FloatVolume) -> FloatVolume:
    padded = np.pad(prob, [(0, size % 2) for size in prob.shape], mode="edge")
    for _ in range(3):  # the first axis is halved and goes to the end, three times
        padded = np.moveaxis((padded[::2] + padded[1::2]) * np.float32(0.5), 0, 2)
    return np.ascontiguousarray(padded)


@njit(cache=True)
def _first_eigenvectors(tensor: FloatVolume) -> FloatVolume:
    """By squaring the matrix until the largest eigenvalue is left alone: exact enough for a direction."""
    vectors = np.zeros((*tensor.shape[:3], 3), np.float32)
    matrix = np.empty((3, 3), np.float64)
    for z in range(tensor.shape[0]):
        for y in range(tensor.shape[1]):
            for x in range(tensor.shape[2]):
                zz, zy, zx, yy, yx, xx = tensor[z, y, x]
                trace = zz + yy + xx
                if trace <= 0:
                    continue
                for _ in range(6):
                    zz, zy, zx, yy, yx, xx = zz / trace, zy / trace, zx / trace, yy / trace, yx / trace, xx / trace
                    zz, zy, zx, yy, yx, xx = (
                        zz * zz + zy * zy + zx * zx,
                        zz * zy + zy * yy + zx * yx,
                        zz * zx + zy * yx + zx * xx,
                        zy * zy + yy * yy + yx * yx,
                        zy * zx + yy * yx + yx * xx,
                        zx * zx + yx * yx + xx * xx,
                    )
                    trace = zz + yy + xx
                matrix[0, 0], matrix[0, 1], matrix[0, 2] = zz, zy, zx
                matrix[1, 0], matrix[1, 1], matrix[1, 2] = zy, yy, yx
                matrix[2, 0], matrix[2, 1], matrix[2, 2] = zx, yx, xx
                longest = 0 if zz >= yy and zz >= xx else (1 if yy >= xx else 2)
                length = np.sqrt((matrix[longest] ** 2).sum())
                if length > 0:
                    vectors[z, y, x] = matrix[longest] / length
    return vectors


@njit(cache=True)
def _near_ridge(prob: FloatVolume, normals: FloatVolume, threshold: float, half: float) -> BoolVolume:
    """Where the nearest maximum along the normal of at least `threshold` is at most `half` voxels away."""
    band = np.zeros(prob.shape, np.bool_)
    reach = (
        int(half / STEP_VOX) + 2
    )  # one sample beyond the last that may be a maximum, and one for its place between two
    profile = np.empty(2 * reach + 1, np.float32)
    for z in range(prob.shape[0]):
        for y in range(prob.shape[1]):
            for x in range(prob.shape[2]):
                if prob[z, y, x] < threshold / 4:
                    continue
                normal = normals[z // 2, y // 2, x // 2]
                if normal[0] == 0 and normal[1] == 0 and normal[2] == 0:
                    continue
                for i in range(profile.size):
                    step = (i - reach) * STEP_VOX
                    profile[i] = _sample(prob, z + step * normal[0], y + step * normal[1], x + step * normal[2])
                band[z, y, x] = _distance_to_maximum(profile, threshold) <= half
    return band


@njit(cache=True)
def _distance_to_maximum(profile: npt.NDArray[np.float32], threshold: float) -> float:
    """From the middle of a profile to its nearest maximum of at least `threshold`, by a parabola through three samples."""
    middle, nearest = profile.size // 2, np.inf
    for i in range(1, profile.size - 1):
        here, before, after = profile[i], profile[i - 1], profile[i + 1]
        if here >= threshold and here >= before and here > after:
            place = i - middle + 0.5 * (before - after) / (before - 2 * here + after)
            nearest = min(nearest, abs(place) * STEP_VOX)
    return nearest


@njit(cache=True)
def _sample(prob: FloatVolume, z: float, y: float, x: float) -> float:
    """Trilinear; beyond the border the border's value."""
    depth, height, width = prob.shape
    z, y, x = min(max(z, 0.0), depth - 1.0), min(max(y, 0.0), height - 1.0), min(max(x, 0.0), width - 1.0)
    k, j, i = int(z), int(y), int(x)
    c, b, a = np.float32(z - k), np.float32(y - j), np.float32(x - i)
    k2, j2, i2 = min(k + 1, depth - 1), min(j + 1, height - 1), min(i + 1, width - 1)
    top = (prob[k, j, i] * (1 - a) + prob[k, j, i2] * a) * (1 - b) + (
        prob[k, j2, i] * (1 - a) + prob[k, j2, i2] * a
    ) * b
    low = (prob[k2, j, i] * (1 - a) + prob[k2, j, i2] * a) * (1 - b) + (
        prob[k2, j2, i] * (1 - a) + prob[k2, j2, i2] * a
    ) * b
    return top * (1 - c) + low * c

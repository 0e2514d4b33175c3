"""Sheets of one thickness: what is within half of it from a ridge of the probability, along the sheet's normal."""

import numpy as np
import numpy.typing as npt

from ensemble.surface.postprocess.merge_guard import keep_apart
from scroll.geometry import BoolVolume
from scroll.runtime.compiled import njit
from scroll.runtime.gaussian import gaussian
from scroll.tracing.directions import first_eigenvectors

FloatVolume = npt.NDArray[np.float32]
Profile = npt.NDArray[np.float32]
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
    slopes = [gaussian(coarse, GRADIENT_SIGMA, slope_along=axis, truncate=3.0) for axis in range(3)]
    tensor = np.empty((*coarse.shape, 6), np.float32)
    for i, (one, other) in enumerate(((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))):
        tensor[..., i] = gaussian(slopes[one] * slopes[other], TENSOR_SIGMA, truncate=2.0)
    return first_eigenvectors(tensor)


def _halved(prob: FloatVolume) -> FloatVolume:
    padded = np.pad(prob, [(0, size % 2) for size in prob.shape], mode="edge")
    for _ in range(3):  # the first axis is halved and goes to the end, three times
        padded = np.moveaxis((padded[::2] + padded[1::2]) * np.float32(0.5), 0, 2)
    return np.ascontiguousarray(padded)


@njit(cache=True)
def _near_ridge(prob: FloatVolume, normals: FloatVolume, threshold: float, half: float) -> BoolVolume:
    """Where the nearest maximum along the normal of at least `threshold` is at most `half` voxels away."""
    depth, height, width = prob.shape
    band, flat = np.zeros(prob.shape, np.bool_), prob.ravel()
    reach = (
        int(half / STEP_VOX) + 2
    )  # one sample beyond the last that may be a maximum, and one for its place between two
    away = int(reach * STEP_VOX) + 2
    profile = np.empty(2 * reach + 1, np.float32)
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                if prob[z, y, x] < threshold / 4:
                    continue
                normal = normals[z // 2, y // 2, x // 2]
                if normal[0] == 0 and normal[1] == 0 and normal[2] == 0:
                    continue
                is_inside = min(z, y, x) >= away and z < depth - away and y < height - away and x < width - away
                band[z, y, x] = _is_near_ridge(prob, flat, (z, y, x), normal, is_inside, threshold, half, profile)
    return band


@njit(cache=True)
def _is_near_ridge(
    prob: FloatVolume,
    flat: Profile,
    voxel: tuple[int, int, int],
    normal: Profile,
    is_inside: bool,
    threshold: float,
    half: float,
    profile: Profile,
) -> bool:
    """From the voxel outwards, so that the first maximum that is near enough ends the search."""
    height, width = prob.shape[1:]
    middle = profile.size // 2
    for off in range(middle + 1):
        for side in (-off, off) if off else (0, 0):
            step = side * STEP_VOX
            z, y, x = voxel[0] + step * normal[0], voxel[1] + step * normal[1], voxel[2] + step * normal[2]
            if is_inside:
                profile[middle + side] = _sample_inside(flat, height, width, z, y, x)
            else:
                profile[middle + side] = _sample(prob, z, y, x)
        if off and (
            _is_maximum(profile, middle - off + 1, threshold, half)
            or _is_maximum(profile, middle + off - 1, threshold, half)
        ):
            return True
    return False


@njit(cache=True)
def _is_maximum(profile: Profile, i: int, threshold: float, half: float) -> bool:
    """Whether there is a maximum of at least `threshold`, at most `half` voxels from the middle: a parabola through three samples."""
    here, before, after = profile[i], profile[i - 1], profile[i + 1]
    if not (here >= threshold and here >= before and here > after):
        return False
    place = i - profile.size // 2 + 0.5 * (before - after) / (before - 2 * here + after)
    return abs(place) * STEP_VOX <= half


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


@njit(cache=True)
def _sample_inside(flat: Profile, height: int, width: int, z: float, y: float, x: float) -> float:
    """As `_sample` to the bit, where all eight voxels are there."""
    k, j, i = int(z), int(y), int(x)
    c, b, a = np.float32(z - k), np.float32(y - j), np.float32(x - i)
    row, plane = np.uint64(width), np.uint64(height * width)
    here, one = (
        np.uint64((k * height + j) * width + i),
        np.uint64(1),
    )  # without a sign: no look whether it counts from the end
    under, beneath = here + row, here + plane
    far = beneath + row
    top = (flat[here] * (1 - a) + flat[here + one] * a) * (1 - b) + (flat[under] * (1 - a) + flat[under + one] * a) * b
    low = (flat[beneath] * (1 - a) + flat[beneath + one] * a) * (1 - b) + (
        flat[far] * (1 - a) + flat[far + one] * a
    ) * b
    return top * (1 - c) + low * c

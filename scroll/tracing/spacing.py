"""Sheets of papyrus have a thickness: one that was not seen behind another cannot lie inside it."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, distance_transform_edt, label

from scroll.tracing.growing import CELL_VOX, Frame

TOUCHING_VOX = 10.0  # a sheet that ends so close beside another has run into it
DRAWN_IN = 0.15  # voxels nearer to the other for each voxel along it
ROOMY = 0.8  # share of the spacing that a third sheet must leave
LEAST_SHARED = 20  # cells where both sheets are seen, to tell on which side of the other one is
LEAST_AGREED = 0.7  # of those cells lie on that side


def points_on(frame: Frame, heights: NDArray[np.float32]) -> NDArray[np.float64]:
    """The points (N, 3) z, y, x of a height map (H, W) where it is not NaN."""
    return frame.points(np.nan_to_num(heights))[np.isfinite(heights)]


def heights_in(frame: Frame, points: NDArray[np.float64]) -> NDArray[np.float32]:
    """The heights (H, W) of another sheet's points (N, 3) over this frame's cells, NaN where it is not."""
    local = points @ frame.axes.T
    cells = [np.rint((local[:, axis] - frame.origin[axis]) / CELL_VOX).astype(np.int64) for axis in (0, 1)]
    inside = [(cell >= 0) & (cell < length) for cell, length in zip(cells, frame.shape, strict=True)]
    kept = inside[0] & inside[1]
    flat = cells[0][kept] * frame.shape[1] + cells[1][kept]
    count = np.bincount(flat, minlength=frame.shape[0] * frame.shape[1])
    total = np.bincount(flat, local[kept, 2], minlength=count.size)
    heights = np.where(count > 0, total / np.maximum(count, 1), np.nan).reshape(frame.shape)
    return _without_pinholes(heights)


def _without_pinholes(heights: NDArray[np.float64]) -> NDArray[np.float32]:
    """A grid turned against another leaves some cells empty: they take the mean of their neighbours."""
    seen = np.isfinite(heights)
    near = np.zeros((2, *heights.shape))
    padded = np.pad(heights, 1, constant_values=np.nan)
    for down in range(3):
        for right in range(3):
            one = padded[down : down + heights.shape[0], right : right + heights.shape[1]]
            near[0] += np.nan_to_num(one)
            near[1] += np.isfinite(one)
    filled = np.divide(near[0], near[1], out=np.full(heights.shape, np.nan), where=near[1] >= 3)
    return np.where(seen, heights, filled).astype(np.float32)


def push_apart(
    heights: NDArray[np.float32], seen: NDArray[np.bool_], other: NDArray[np.float32], spacing_vox: float
) -> None:
    """Move what was not seen of a sheet (H, W), in place, so far off another that both have room on the side it is on.

    The side is that of the cells where the sheet was seen and the other is; if they disagree, nothing is moved.
    """
    with np.errstate(invalid="ignore"):
        apart = heights - other
        shared = apart[seen & np.isfinite(apart) & (np.abs(apart) > spacing_vox / 2)]
        if shared.size < LEAST_SHARED:
            return
        side = 1.0 if np.median(shared) > 0 else -1.0
        if np.mean(np.sign(shared) == side) < LEAST_AGREED:
            return
        close = ~seen & (side * apart < spacing_vox)
    heights[close] = other[close] + np.float32(side * spacing_vox)


def go_on_beside(
    heights: NDArray[np.float32], others: Sequence[NDArray[np.float32]], spacing_vox: float, reach_vox: float
) -> NDArray[np.bool_]:
    """Let a sheet (H, W) that ends close beside another go on beside it, in place; returns where, (H, W) bool.

    Two sheets that touch look like one to a network, so that the ridge of one ends where they meet. There it is carried on
    for up to `reach_vox`, on its side of the other and as far off it as at its rim, drawing nearer to the spacing.
    """
    guessed = np.zeros(heights.shape, bool)
    for number, other in enumerate(others):
        own = np.isfinite(heights)
        near = own & (np.abs(np.nan_to_num(heights - other, nan=np.inf)) <= TOUCHING_VOX)
        apart = (heights - other)[near]
        if apart.size < LEAST_SHARED:
            continue
        side = 1.0 if np.median(apart) > 0 else -1.0
        room = ~own & np.isfinite(other)
        rim = near & binary_dilation(room) & (side * np.nan_to_num(heights - other) > 0)
        if np.mean(np.sign(apart) == side) < LEAST_AGREED or not rim.any():
            continue
        far, nearest = distance_transform_edt(~rim, return_indices=True)
        room &= far * CELL_VOX <= reach_vox
        off = np.maximum(side * (heights - other)[tuple(nearest)] - DRAWN_IN * far * CELL_VOX, spacing_vox)
        led = other + side * off
        for third in (one for n, one in enumerate(others) if n != number):
            room &= ~(np.abs(np.nan_to_num(led - third, nan=np.inf)) < ROOMY * spacing_vox)
        parts, _ = label(room | rim)
        room &= np.isin(parts, np.unique(parts[rim]))
        heights[room] = led[room]
        guessed |= room
    return guessed

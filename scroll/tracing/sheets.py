"""Every sheet of a probability volume, each as a height map in its own frame, the best supported first."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_closing, binary_dilation, binary_fill_holes, label

from scroll.config.schema import TracingSettings
from scroll.surfaces.surface import INVALID, Surface, normals_of
from scroll.tracing.bridging import bridged
from scroll.tracing.growing import CELL_VOX, Candidates, Frame, candidates_in, frame_of, grow, join
from scroll.tracing.ridges import Ridges, ridge_points
from scroll.tracing.spacing import go_on_beside, heights_in, points_on, push_apart

SUPPORT_VOX = 16  # edge of the blocks that are searched for the next seed
LEAST_SUPPORT = 26  # ridges in a block that may hold a seed: a tenth of a sheet across it
AROUND_VOX = 48.0  # of the seed lie the ridges whose normals make the frame
ALIKE = 0.7  # least cosine between their normals and the seed's
ROUNDS = 6  # of bridging gaps and growing on beyond them, at most
STEEPEST = 1.75  # voxels of height a voxel: about 60 degrees against the sheet's mean plane
LEAST_GAIN = 0.005  # share of new cells: a round that finds fewer is the last
NAME = Path("traced sheet")


@dataclass(frozen=True, eq=False)
class Traced:
    """A sheet: its surface, and on the surface's grid (H, W) where it was only guessed, along a sheet that it touches."""

    surface: Surface
    guessed: NDArray[np.bool_]


def trace_sheets(prob: Any, settings: TracingSettings) -> list[Traced]:
    """The sheets of a (Z, Y, X) probability volume, none of them twice, the best supported first.

    A sheet grows from its best supported place to the ridges that its slope leads to; gaps are bridged by a thin plate,
    and beyond them it grows on. Each ridge belongs to one sheet, so that of two that touch the second has the ridges that
    the first left; where they run into one ridge, it is guessed to go on beside the first. A sheet is single-valued over the
    plane across its own mean normal; what bends further is another one. Grids have cells of two voxels. Which side the
    normals point to is chance (see `scroll.tracing.orient_normals`).
    """
    found = list(_height_maps(prob, settings))
    points = [points_on(frame, heights) for frame, heights in found]
    traced = []
    for number, (frame, heights) in enumerate(found):
        others = [heights_in(frame, one) for n, one in enumerate(points) if n != number]
        guessed = go_on_beside(heights, others, settings.least_spacing_vox, settings.follow_vox)
        traced.append(_traced(frame, heights, guessed, prob.shape))
    return traced


def _height_maps(prob: Any, settings: TracingSettings) -> Iterator[tuple[Frame, NDArray[np.float32]]]:
    """The frame and the heights (H, W) of every sheet, NaN where it is not."""
    ridges = ridge_points(prob, settings.min_prob)
    free = np.ones(len(ridges), bool)
    unseeded = free.copy()
    earlier: list[NDArray[np.float64]] = []
    while (seed := _next_seed(ridges, unseeded)) is not None:
        near = free & (np.linalg.norm(ridges.points - ridges.points[seed], axis=1) < AROUND_VOX)
        near &= np.abs(ridges.normals @ ridges.normals[seed]) > ALIKE
        frame = frame_of(ridges.chosen(near), prob.shape)
        candidates = candidates_in(frame, ridges)
        seen = torn_off(_grown(candidates, seed, free, frame.shape, settings), candidates, seed)
        heights = torn_off(bridged(seen, _domain(np.isfinite(seen), settings)), candidates, seed)
        for points in earlier:
            push_apart(heights, np.isfinite(seen), heights_in(frame, points), settings.least_spacing_vox)
        own = free & _claimed(candidates, heights, settings.claim_vox)
        unseeded &= ~own
        unseeded[seed] = False
        if np.count_nonzero(np.isfinite(seen)) * CELL_VOX**2 >= settings.least_area_vox:
            free &= ~own
            earlier.append(points_on(frame, heights))
            yield frame, heights
        else:
            unseeded &= (ridges.points // SUPPORT_VOX != ridges.points[seed] // SUPPORT_VOX).any(axis=1)


def _next_seed(ridges: Ridges, unseeded: NDArray[np.bool_]) -> int | None:
    """The strongest ridge in the block that holds most of them; None where no block holds enough."""
    numbers = np.flatnonzero(unseeded)
    blocks = (ridges.points[numbers] // SUPPORT_VOX).astype(np.int64) + 1  # a ridge may lie 0.7 voxels outside
    keys = (blocks << np.array([40, 20, 0])).sum(axis=1)
    _, inverse, counts = np.unique(keys, return_inverse=True, return_counts=True)
    if not counts.size or counts.max() < LEAST_SUPPORT:
        return None
    inside = numbers[inverse == counts.argmax()]
    return int(inside[ridges.strength[inside].argmax()])


def _grown(
    candidates: Candidates, seed: int, free: NDArray[np.bool_], shape: tuple[int, int], settings: TracingSettings
) -> NDArray[np.float32]:
    """Heights (H, W) of the cells where the sheet of a seed has ridges, NaN elsewhere."""
    heights, slopes = np.full(shape, np.nan, np.float32), np.zeros((*shape, 2), np.float32)
    at = round(float(candidates.row[seed])), round(float(candidates.column[seed]))
    heights[at], slopes[at] = candidates.height[seed], candidates.slope[seed]
    grow(candidates, heights, slopes, settings.step_vox, free)
    for _ in range(ROUNDS):
        before = np.isfinite(heights)
        around = binary_dilation(before, disk(settings.gap_vox / CELL_VOX))
        join(candidates, bridged(heights, around), heights, slopes, settings.step_vox, free)
        grow(candidates, heights, slopes, settings.step_vox, free)
        if np.count_nonzero(np.isfinite(heights)) - before.sum() <= LEAST_GAIN * before.sum():
            break
    return heights


def torn_off(seen: NDArray[np.float32], candidates: Candidates, seed: int) -> NDArray[np.float32]:
    """Heights (H, W) without what hangs on the seed's part only by steps steeper than a sheet is, and without those steps."""
    steep = np.zeros(seen.shape, bool)
    with np.errstate(invalid="ignore"):
        for axis in (0, 1):
            step = np.abs(np.diff(seen, axis=axis)) > STEEPEST * CELL_VOX
            first = [slice(None), slice(None)]
            second = list(first)
            first[axis], second[axis] = slice(None, -1), slice(1, None)
            steep[tuple(first)] |= step
            steep[tuple(second)] |= step
    parts, count = label(np.isfinite(seen) & ~steep)
    if count == 0:
        return np.full_like(seen, np.nan)
    at = round(float(candidates.row[seed])), round(float(candidates.column[seed]))
    own = parts[at] or int(np.bincount(parts.ravel())[1:].argmax()) + 1
    return np.where(parts == own, seen, np.nan).astype(np.float32)


def _domain(seen: NDArray[np.bool_], settings: TracingSettings) -> NDArray[np.bool_]:
    """Where a sheet is taken to be: what was seen, the gaps and holes in it, and a margin."""
    reach = int(np.ceil(settings.gap_vox / CELL_VOX))
    closed = binary_fill_holes(binary_closing(np.pad(seen, reach), disk(reach)))
    inside = slice(reach, closed.shape[0] - reach), slice(reach, closed.shape[1] - reach)
    return np.asarray(binary_dilation(closed[inside], disk(settings.margin_vox / CELL_VOX)))


def _claimed(candidates: Candidates, heights: NDArray[np.float32], claim_vox: float) -> NDArray[np.bool_]:
    """Which ridges (N,) lie as close to a sheet as that, along its frame's height."""
    places = (candidates.row, candidates.column)
    row, column = (
        np.clip(np.rint(place).astype(np.int64), 0, n - 1) for place, n in zip(places, heights.shape, strict=True)
    )
    with np.errstate(invalid="ignore"):
        return np.asarray(np.abs(heights[row, column] - candidates.height) <= claim_vox)


def _traced(frame: Frame, heights: NDArray[np.float32], guessed: NDArray[np.bool_], shape: tuple[int, ...]) -> Traced:
    """The part of a height map that is in the volume, as a surface whose grid is no larger than it has to be."""
    points = frame.points(np.nan_to_num(heights)).astype(np.float32)
    valid = np.isfinite(heights) & ((points >= -0.5) & (points <= np.array(shape) - 0.5)).all(axis=-1)
    points = np.clip(points, 0, np.array(shape) - 1).astype(np.float32)
    points[~valid] = INVALID
    lines = [np.flatnonzero(valid.any(axis=axis)) for axis in (1, 0)]
    box = tuple(slice(line[0], line[-1] + 1) if line.size else slice(0, 1) for line in lines)
    points, valid = points[box], valid[box]
    surface = Surface(points, normals_of(points, valid), valid, (CELL_VOX, CELL_VOX), NAME)
    return Traced(surface, guessed[box] & valid)


def disk(radius: float) -> NDArray[np.bool_]:
    """A disk of that radius as a structuring element.

    >>> int(disk(1).sum())
    5
    """
    reach = int(np.ceil(radius))
    rows, columns = np.indices((2 * reach + 1,) * 2) - reach
    return np.asarray(np.hypot(rows, columns) <= radius + 1e-6)

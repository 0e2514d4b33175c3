"""Which parts of a volume lie about a sheet: small blocks, so that a box is asked in microseconds and terabytes fit in megabytes."""

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from scroll.surfaces.surface import Surface
from scroll.volumes.place import Place, check_cubes, place_of

EDGE_VOX = 16
STEP_VOX = 4  # between the points looked at; each stands for all within that distance
STRIP_PIXELS = 256


class Blocks:
    """Blocks of 16 voxels a side of a volume of `shape` (Z, Y, X) that sheets pass through or come near.

    A voxel of a marked sheet always is in a marked block; a marked block may lie up to `STEP_VOX` from it.
    """

    def __init__(self, shape: Sequence[int]) -> None:
        self.shape = tuple(shape)
        self.marked: NDArray[np.bool_] = np.zeros([-(-n // EDGE_VOX) for n in shape], dtype=bool)

    def mark(
        self, surface: Surface, rows: tuple[int, int], band_vox: tuple[float, float], level: int | Place = 0
    ) -> None:
        """Mark where canvas rows [first, end) of level-0 pixels lie, from `band_vox[0]` to `band_vox[1]` along the normals.

        `band_vox` counts voxels of what is at `level` (a place, or the number of a level of a pyramid that halves), as do the
        blocks.

        Raises:
            InputError: these voxels are no cubes.
        """
        volume = place_of(level)
        check_cubes(surface.path, volume)
        depths = np.unique([*np.arange(*band_vox, STEP_VOX), band_vox[1]])
        first, end = rows[0] // STEP_VOX, -(-rows[1] // STEP_VOX)
        for start in range(first, end, STRIP_PIXELS):
            stop = min(start + STRIP_PIXELS, end)
            above = max(0, start - 1)  # a row more on either side: what is beside a hole there reaches into it
            below = min(stop + 1, max(stop, surface.canvas_shape(STEP_VOX)[0]))
            tile = surface.tile(slice(above, below), slice(None), STEP_VOX)
            inner = slice(start - above, stop - above)
            near = _grown(tile.valid)  # a coarse pixel whose centre just misses the sheet may still hold some of it
            points = _filled(tile.points, tile.valid, near)[inner]
            normals = _filled(tile.normals, tile.valid, near)[inner]
            near = near[inner]
            at = volume.voxels(points[near])
            for depth in depths:
                self._mark_points(at + depth * normals[near])

    def _mark_points(self, points: NDArray[np.floating]) -> None:
        for shift in itertools.product((-STEP_VOX, STEP_VOX), repeat=3):
            index = np.floor((points + shift) / EDGE_VOX).astype(np.int64)
            index = np.clip(index, 0, np.array(self.marked.shape) - 1)
            self.marked[tuple(index.T)] = True

    def touches(self, corner: Sequence[int], size: Sequence[int]) -> bool:
        """Whether a box (in voxels) meets a marked block."""
        return bool(self.marked[self._box(corner, size)].any())

    def extent(self) -> tuple[tuple[int, int], ...] | None:
        """First and end voxel of the marked blocks along z, y, x; None where nothing is marked."""
        if not self.marked.any():
            return None
        spans = []
        for axis, length in enumerate(self.shape):
            found = np.flatnonzero(self.marked.any(axis=tuple(a for a in range(3) if a != axis)))
            spans.append((int(found[0]) * EDGE_VOX, min(length, (int(found[-1]) + 1) * EDGE_VOX)))
        return tuple(spans)

    @staticmethod
    def _box(corner: Sequence[int], size: Sequence[int]) -> tuple[slice, ...]:
        return tuple(slice(max(0, c // EDGE_VOX), -(-(c + s) // EDGE_VOX)) for c, s in zip(corner, size, strict=True))


def _grown(valid: NDArray[np.bool_]) -> NDArray[np.bool_]:
    grown = valid.copy()
    for axis, step in itertools.product((0, 1), (-1, 1)):
        grown |= _moved(valid, step, axis)
    return grown


def _filled(values: NDArray[np.float32], valid: NDArray[np.bool_], near: NDArray[np.bool_]) -> NDArray[np.float32]:
    """The values, and where invalid but near those of a neighbour."""
    filled = values.copy()
    missing = near & ~valid
    for axis, step in itertools.product((0, 1), (-1, 1)):
        from_there = missing & _moved(valid, step, axis)
        filled[from_there] = np.roll(values, step, axis)[from_there]
        missing &= ~from_there
    return filled


def _moved(mask: NDArray[np.bool_], step: int, axis: int) -> NDArray[np.bool_]:
    """`mask` shifted by one along an axis, nothing coming in at the edge."""
    moved = np.roll(mask, step, axis)
    edge: list[slice | int] = [slice(None)] * 2
    edge[axis] = 0 if step > 0 else -1
    moved[tuple(edge)] = False
    return moved

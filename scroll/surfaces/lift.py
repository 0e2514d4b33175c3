"""Lifting a picture of a sheet back into the volume: each voxel in a band along the normals gets its foot's value."""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scroll.errors import InputError
from scroll.geometry import Size
from scroll.surfaces.prisms import Cells, Paint, bounds, paint
from scroll.surfaces.surface import Surface
from scroll.volumes.place import Place, check_cubes, place_of

UNKNOWN, NO_INK, INK = 0, 1, 2
SOFT_INK = 255  # of soft labels, which count from NO_INK to it
BLOCK_VOX = 128
TILE_VOX = 128  # of a sheet, looked up and painted together
Band = tuple[float, float]


@dataclass(frozen=True, eq=False)
class Painted:
    """A picture on a sheet, or several, and how deep it goes.

    Attributes:
        surface: the sheet.
        image: (H, W) uint8, the surface's canvas in pixels of `pixel_vox` voxels; anything that is sliced like numpy. Several
            of them are (C, H, W), and are lifted together.
        bands: (256, 2) for each value of a pixel the depths, first and end, that it is painted at; in voxels of level 0
            along the normal, the end left out.
        pixel_vox: voxels of level 0 to a pixel.

    Raises:
        InputError: the image has another size than the canvas, or a band ends before it begins.
    """

    surface: Surface
    image: Any
    bands: NDArray[np.float64]
    pixel_vox: int = 1

    def __post_init__(self) -> None:
        canvas = self.surface.canvas_shape(self.pixel_vox)
        if tuple(self.image.shape[-2:]) != canvas or self.image.dtype != np.uint8:
            raise InputError(
                f"{self.surface.path}: a picture {tuple(self.image.shape)} {self.image.dtype} to lift; expected {canvas} uint8, "
                f"one pixel for {self.pixel_vox} voxels: draw it on this surface's canvas"
            )
        if self.bands.shape != (256, 2) or not (self.bands[:, 0] < self.bands[:, 1]).all():
            raise InputError(
                f"{self.surface.path}: a band along the normal ends before it begins; expected (first, end), for example (0, 3)"
            )

    @property
    def hull(self) -> Band:
        """From the lowest to the highest depth of any value."""
        return float(self.bands[:, 0].min()), float(self.bands[:, 1].max())


def image_band(surface: Surface, image: Any, band: Band, pixel_vox: int = 1) -> Painted:
    """A picture whose every value goes from `band[0]` to below `band[1]` voxels along the normal."""
    return Painted(surface, image, np.tile(np.asarray(band, np.float64), (256, 1)), pixel_vox)


def label_bands(
    surface: Surface, ink: NDArray[Any], known: NDArray[np.bool_], ink_band: Band, papyrus_band: Band
) -> Painted:
    """Ink and where it is known, (H, W) bool on the canvas, as a training label: 0 unknown, 1 no ink, 2 ink.

    Known ink is 2 in the ink band, and unknown in the rest of the papyrus band: who drew it did not see how deep it is.
    Known papyrus without ink is 1 all through the papyrus band. What is not known is 0, and keeps a sheet behind it from
    being taken for it.

    A soft label, float32 from 0 to 1, goes from 1, no ink, to 255, ink, and back by `soft_ink`. From 1/2 on it is ink, in the ink
    band; below it is papyrus, in the papyrus band.
    """
    bands = np.tile(np.asarray(papyrus_band, np.float64), (256, 1))
    if ink.dtype == bool:
        image = np.where(known, np.where(ink, INK, NO_INK), UNKNOWN).astype(np.uint8)
        bands[INK] = ink_band
        return Painted(surface, image, bands)
    values = np.arange(256, dtype=np.uint8)
    image = np.where(known, np.rint(ink * (SOFT_INK - NO_INK)) + NO_INK, UNKNOWN).astype(np.uint8)
    bands[(soft_ink(values) >= 0.5) & (values != UNKNOWN)] = ink_band
    return Painted(surface, image, bands)


def soft_ink(values: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The share of ink, 0 to 1, that lifted values of a soft label stand for; 0 where unknown.

    >>> soft_ink(np.array([0, 1, 128, 255], np.uint8)).tolist()
    [0.0, 0.0, 0.5, 1.0]
    """
    steps = np.maximum(values, NO_INK) - NO_INK
    return np.asarray(steps / np.float32(SOFT_INK - NO_INK), np.float32)


def lift(
    painted: Sequence[Painted], shape: Sequence[int], origin_zyx: Size = (0, 0, 0), level: int | Place = 0
) -> NDArray[np.uint8]:
    """The pictures as voxels: a cut-out (Z, Y, X) uint8 of a level of the volume that begins at voxel `origin_zyx`.

    `level` is the place of a volume, or the number of a level of a pyramid that halves.

    A voxel at a depth within the hull of a picture's bands gets the value of the pixel its foot on the sheet falls in
    (0 outside the value's own band); where several feet claim it, of any of the pictures, the nearest does. 0 elsewhere.
    A foot is on the sheet where the grid cell about it has four valid corners. Depths up to a thousandth of
    a voxel before the first count as it. Of sheets that bear C pictures each, (C, Z, Y, X).
    """
    several = painted[0].image.shape[:-2] if painted else ()
    out = np.zeros((*several, *shape), np.uint8)
    for box, voxels in lifted_blocks(painted, shape, (BLOCK_VOX,) * 3, origin_zyx, level):
        out[(slice(None),) * len(several) + box] = voxels
    return out


def lift_into(array: Any, painted: Sequence[Painted], origin_zyx: Size = (0, 0, 0), level: int | Place = 0) -> None:
    """The same into an empty (Z, Y, X) uint8 array on disk, however large: chunk by chunk, each written once."""
    block = getattr(array, "shards", None) or getattr(array, "chunks", None) or (BLOCK_VOX,) * 3
    for box, voxels in lifted_blocks(painted, array.shape, block, origin_zyx, level):
        array[box] = voxels


def lifted_blocks(
    painted: Sequence[Painted],
    shape: Sequence[int],
    block: Sequence[int],
    origin_zyx: Size = (0, 0, 0),
    level: int | Place = 0,
) -> Iterator[tuple[tuple[slice, ...], NDArray[np.uint8]]]:
    """(box, voxels) of each block of `block` voxels that anything was painted in; the rest of the shape is 0.

    In memory lie one block at a time, and for each piece of a sheet (128 voxels a side) the list of blocks it reaches.

    Raises:
        InputError: voxels that are no cubes.
    """
    place = place_of(level)
    check_cubes("a volume to lift into", place)
    tiles = [(number, tile) for number, one in enumerate(painted) for tile in _tiles(one.surface)]
    reached: dict[tuple[int, ...], list[int]] = {}
    for n, (number, tile) in enumerate(tiles):
        for index in _blocks(painted[number], tile, (origin_zyx, place), shape, block):
            reached.setdefault(index, []).append(n)
    for index in sorted(reached):
        low = [i * size for i, size in zip(index, block, strict=True)]
        high = [min(start + size, n) for start, size, n in zip(low, block, shape, strict=True)]
        size = [end - start for start, end in zip(low, high, strict=True)]
        several = painted[0].image.shape[:-2]
        voxels, nearest = np.zeros((*(several or (1,)), *size), np.uint8), np.full(size, np.inf, np.float32)
        corner = np.add(low, origin_zyx)
        for n in reached[index]:
            number, tile = tiles[n]
            paint(
                _cells(painted[number].surface, tile, corner, place),
                _paint(painted[number], tile, place),
                voxels,
                nearest,
            )
        if voxels.any():
            box = tuple(slice(start, end) for start, end in zip(low, high, strict=True))
            yield box, voxels if several else voxels[0]


@dataclass(frozen=True)
class _Tile:
    """Cells of a grid: rows and columns of the points at their corners, first and end."""

    rows: tuple[int, int]
    columns: tuple[int, int]


def _tiles(surface: Surface) -> Iterator[_Tile]:
    spans = []
    for length, cell in zip(surface.shape, surface.cell_vox, strict=True):
        step = max(1, round(TILE_VOX / cell))
        spans.append([(first, min(first + step, length - 1) + 1) for first in range(0, length - 1, step)])
    return (_Tile(rows, columns) for rows, columns in itertools.product(*spans))


def _cells(surface: Surface, tile: _Tile, corner: NDArray[np.integer], place: Place) -> Cells:
    """The tile in voxels of a block of a level that begins at voxel `corner` of that level."""
    box = slice(*tile.rows), slice(*tile.columns)
    points = place.voxels(np.asarray(surface.points[box], np.float64)) - corner
    normals = np.asarray(surface.normals[box], np.float64)
    valid = np.asarray(surface.valid[box]) & (np.abs(normals).sum(axis=-1) > 0)
    return Cells(np.ascontiguousarray(points), np.ascontiguousarray(normals), np.ascontiguousarray(valid))


def _hull(painted: Painted, place: Place) -> Band:
    return painted.hull[0] / place.edge, painted.hull[1] / place.edge


def _paint(painted: Painted, tile: _Tile, place: Place) -> Paint:
    """The pixels under a tile, and how they are found from its corner."""
    spans, scales, shifts = [], [], []
    ends = zip((tile.rows, tile.columns), painted.surface.cell_vox, painted.image.shape[-2:], strict=True)
    for (first, end), cell, length in ends:
        scale, begin = cell / painted.pixel_vox, (first * cell + 0.5) / painted.pixel_vox
        span = slice(min(math.floor(begin), length - 1), min(math.floor(begin + (end - 1 - first) * scale) + 1, length))
        spans.append(span)
        scales.append(scale)
        shifts.append(begin - span.start)
    pixels = np.ascontiguousarray(painted.image[(..., *spans)])
    bands = painted.bands / place.edge
    pictures = pixels.reshape(-1, *pixels.shape[-2:])
    return Paint(pictures, (scales[0], scales[1]), (shifts[0], shifts[1]), bands, _hull(painted, place))


def _blocks(
    painted: Painted, tile: _Tile, where: tuple[Size, Place], shape: Sequence[int], block: Sequence[int]
) -> Iterator[tuple[int, ...]]:
    """Indices of the blocks of an array that the band of a tile may reach."""
    origin, place = where
    box = bounds(_cells(painted.surface, tile, np.asarray(origin), place), _hull(painted, place))
    if not np.isfinite(box).all():
        return iter(())
    ranges = []
    for low, high, length, size in zip(*box, shape, block, strict=True):
        first, last = max(0, math.ceil(low)), min(length - 1, math.floor(high))
        ranges.append(range(first // size, last // size + 1) if first <= last else range(0))
    return itertools.product(*ranges)

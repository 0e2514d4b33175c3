"""Images on the surface become voxels again, to be scored where the surface competition scores."""

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from scroll.data.segments import Segment, at_level
from scroll.data.sheets import Sheet
from scroll.surfaces.lift import image_band, lift

BITS = 8  # of a pixel that is lifted


def lifted(sheet: Sheet, masks: Sequence[NDArray[np.bool_]], thickness_vox: int) -> list[NDArray[np.bool_]]:
    """Masks (Y, X) of one sheet as layers of voxels of that thickness, (Z, Y, X) bool each, all in the same cut-out.

    A fragment's sheet is the plane of its layers. A segment's is curved: the layer begins at the traced surface, and the
    cut-out of the volume is as large as the band about all that is true in any mask (one voxel where nothing is).
    """
    if isinstance(sheet, Segment):
        return _lifted_on_segment(sheet, masks, thickness_vox)
    return [np.broadcast_to(mask, (thickness_vox, *mask.shape)) for mask in masks]


def _lifted_on_segment(
    segment: Segment, masks: Sequence[NDArray[np.bool_]], thickness_vox: int
) -> list[NDArray[np.bool_]]:
    place = segment.volume.place
    low, high = _extent(segment, np.logical_or.reduce(masks), thickness_vox)
    shape = tuple(int(n) for n in high - low)
    band = (0.0, float(thickness_vox * place.edge))
    origin = (int(low[0]), int(low[1]), int(low[2]))
    layers = []
    for first in range(0, len(masks), BITS):  # a pixel's value is lifted whole, so each mask is a bit of it
        some = masks[first : first + BITS]
        image = np.zeros(some[0].shape, np.uint8)
        for bit, mask in enumerate(some):
            image |= mask.astype(np.uint8) << bit
        voxels = lift([image_band(segment.surface, image, band)], shape, origin, place)
        layers += [(voxels >> bit & 1).astype(bool) for bit in range(len(some))]
    return layers


def _extent(segment: Segment, pixels: NDArray[np.bool_], margin: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First and end voxel (3,) of a box about the requested pixels, with a margin on every side, inside the volume."""
    low, high = np.full(3, np.inf), np.full(3, -np.inf)
    for row, column in itertools.product(*(range(0, n, 512) for n in pixels.shape)):
        box = slice(row, row + 512), slice(column, column + 512)
        tile = segment.surface.tile(*box)
        points = tile.points[tile.valid & pixels[box]]
        if len(points):
            low, high = np.minimum(low, points.min(axis=0)), np.maximum(high, points.max(axis=0))
    if not np.isfinite(low).all():
        return np.zeros(3, np.int64), np.ones(3, np.int64)
    place, shape = segment.volume.place, np.array(segment.volume.shape)
    first = np.clip(np.floor(at_level(low, place)) - margin - 1, 0, shape - 1)
    end = np.clip(np.ceil(at_level(high, place)) + margin + 2, first + 1, shape)
    return first.astype(np.int64), end.astype(np.int64)

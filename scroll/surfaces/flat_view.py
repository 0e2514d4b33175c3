"""A traced sheet seen as the layer stack that flattening would give, sampled when and where it is looked at."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from scroll.surfaces.sample import Offsets, Source, sample_along_normals
from scroll.surfaces.surface import Surface, Tile


class FlatView:
    """A lazy (N, H, W) float32 array over a volume: layer n is `first_vox + n * step_vox` along the normals.

    One pixel is one voxel of level 0; 0 where the sheet is not traced or leaves the volume. Slices with positive steps.
    """

    def __init__(self, surface: Surface, source: Source, first_vox: float, layers: int, step_vox: float = 1.0) -> None:
        self.surface, self.source = surface, source
        self.first_vox, self.step_vox = first_vox, step_vox
        self.shape = (layers, *surface.canvas_shape())
        self.dtype = np.dtype(np.float32)

    def __getitem__(self, box: tuple[slice, ...]) -> NDArray[np.float32]:
        """The block of three slices."""
        depth, rows, columns = (range(*part.indices(n)) for part, n in zip(box, self.shape, strict=True))
        if not (depth and rows and columns):
            return np.zeros((len(depth), len(rows), len(columns)), np.float32)
        step = self.step_vox * depth.step
        start = self.first_vox + depth.start * self.step_vox
        tile = self.surface.tile(slice(rows.start, rows[-1] + 1), slice(columns.start, columns[-1] + 1))
        every_nth: tuple[Any, ...] = (slice(None, None, rows.step), slice(None, None, columns.step))
        tile = Tile(tile.points[every_nth], tile.normals[every_nth], tile.valid[every_nth])
        values = sample_along_normals(tile, Offsets(start, start + (len(depth) - 0.5) * step, step), [self.source])
        return np.nan_to_num(values[0], copy=False)

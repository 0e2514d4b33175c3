"""Prediction and flattening in one pass: tile by tile of the canvas, the boxes of voxels that a tile's samples look at.

No volume of probabilities is written, and none is held that is larger than what one tile looks at.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from scroll.errors import InputError
from scroll.inference.prediction_store import CHUNK
from scroll.runtime.progress import progress
from scroll.runtime.receipt import is_current, key_of, write_receipt
from scroll.shards.grid import place_in_order
from scroll.surfaces.sample import Source, blocks_about, box_about, sample_along_normals
from scroll.surfaces.surface import Surface, Tile
from scroll.volumes.place import Place, place_of
from stage1_3d.segments.flatten_surface import (
    Flattening,
    how_as_json,
    pooled_channels,
    state_of_sources,
    state_of_surface,
    where_of,
)
from stage1_3d.segments.tile_maps import MAPS, TileMaps

BLOCK_VOX = 16  # a window is left out where no block of this edge in it is looked at
Triple = tuple[int, int, int]
Box = tuple[slice, ...]


class IsSeen(Protocol):
    """Whether any voxel of a box (corner, size) may weigh in a sample; where not, its values do not matter."""

    def __call__(self, corner: Sequence[int], size: Sequence[int]) -> bool:
        """Corner and size (z, y, x) in voxels of the predicted level."""


class PredictBox(Protocol):
    """What gives the probabilities of a box: the same for a voxel, whichever box it is asked for in."""

    def __call__(self, corner: Triple, size: Triple, is_seen: IsSeen) -> NDArray[np.float32] | None:
        """(K, *size) float32, NaN where nobody predicts; None where the scan is empty, which counts as 0.

        Windows of which `is_seen` is false may be left out: no voxel that they reach is looked at.
        """


@dataclass(frozen=True)
class BoxPrediction:
    """A prediction that is made where it is needed.

    Attributes:
        channels: names of its K probabilities.
        shape: (Z, Y, X) of the predicted space, in voxels of `level`.
        level: where these lie: a place, or the number of a level of a pyramid that halves.
        key: hash of all that decides a value.
    """

    predict_box: PredictBox
    channels: tuple[str, ...]
    shape: Triple
    level: int | Place
    key: str


@dataclass(frozen=True)
class Tiling:
    """How the canvas is gone through: tiles of `edge` pixels, cut in four as long as their box takes more than `box_bytes`.

    Raises:
        ValueError: tiles that are not made of whole chunks of the result.
    """

    edge: int = 256
    box_bytes: int = 256 * 2**20

    def __post_init__(self) -> None:
        if self.edge < 1 or self.edge % CHUNK:
            raise ValueError(f"need tiles of a multiple of {CHUNK} pixels, got {self.edge}")


def flatten_on_the_fly(
    surface: Surface,
    predicted: BoxPrediction,
    how: Flattening,
    folder: Path,
    voxel_um: float | None,
    *,
    beside: Mapping[str, Source] | None = None,
    tiling: Tiling | None = None,
) -> None:
    """Write <folder>/flat.zarr (C, N, H, W) float16, coverage.zarr (C, H, W) and a receipt, as `flatten_surface` does of a
    volume that was predicted before; goes on where it was stopped, tile by tile.

    The channels are those of `beside` (volumes that are there, such as the CT), then those of `predicted`. Tiles on
    which the surface is nowhere valid are 0 without a look. Memory: a tile of the result and about three times
    `tiling.box_bytes`, and what predicting takes.

    Raises:
        InputError: a channel's name is given twice.
    """
    beside, tiling = dict(beside or {}), tiling or Tiling()
    channels = [*beside, *predicted.channels]
    if len({*channels}) < len(channels):
        raise InputError(f"channels {', '.join(channels)}: expected a name of its own for each; rename one of them")
    made_from = [
        state_of_sources(beside),
        list(predicted.channels),
        predicted.key,
        place_of(predicted.level).name,
        tiling.edge,
    ]
    key = key_of([str(surface.path), state_of_surface(surface), made_from, how_as_json(how), voxel_um, "on the fly"])
    if is_current(folder, key) and all((folder / name).exists() for name in MAPS):
        return
    shape = surface.canvas_shape(how.pixel_vox)
    maps = TileMaps(folder, key, (len(channels), how.depth, *shape), voxel_um, how.pixel_vox)
    tiles = tiles_in_order(shape, tiling.edge)
    left = [tile for tile in tiles if not maps.is_done(tile)]
    view = _View(predicted, how, tiling.box_bytes, list(beside.values()))
    with progress(f"predict and flatten {surface.path.name}", len(tiles), "tile", len(tiles) - len(left)) as advance:
        for row, column in left:
            top, left_edge = row * tiling.edge, column * tiling.edge
            spans = slice(top, top + tiling.edge), slice(left_edge, left_edge + tiling.edge)
            tile = surface.tile(*spans, how.pixel_vox)
            if tile.valid.any():
                maps.write((top, left_edge), *pooled_channels(view.sampled(tile), how.reduce))
            maps.mark_done((row, column))
            advance()
    maps.finish()
    write_receipt(
        folder, key, surface=str(surface.path), sources={name: where_of(s) for name, s in beside.items()}, axes="czyx",
        channels=channels, voxel_um=voxel_um, how=how_as_json(how), predicted=predicted.key, level=place_of(predicted.level).name,
    )  # fmt: skip


def tiles_in_order(shape: tuple[int, int], edge: int) -> list[tuple[int, int]]:
    """Row and column of every tile of a canvas along a Z-order curve: of all neighbours some follow soon, and share windows.

    >>> tiles_in_order((200, 300), 128)
    [(0, 0), (0, 1), (1, 0), (1, 1), (0, 2), (1, 2)]
    """
    rows, columns = (range(-(-length // edge)) for length in shape)
    return sorted(itertools.product(rows, columns), key=lambda tile: place_in_order((0, *tile)))


@dataclass(frozen=True)
class _View:
    """What is sampled, and how."""

    predicted: BoxPrediction
    how: Flattening
    box_bytes: int
    beside: list[Source] = field(default_factory=list)

    def sampled(self, tile: Tile) -> NDArray[np.float32]:
        """All channels (C, N, h, w), NaN where not covered."""
        there = sample_along_normals(tile, self.how.offsets, self.beside, self.how.order)
        return np.concatenate([there, self._predicted(tile)])

    def _predicted(self, tile: Tile) -> NDArray[np.float32]:
        """(K, N, h, w); a tile that looks at too large a box is cut in four."""
        count, (height, width) = len(self.predicted.channels), tile.valid.shape
        blocks = blocks_about(tile, self.how.offsets, self._source(), BLOCK_VOX, self.how.order)
        box = box_about(tile, self.how.offsets, self._source(), self.how.order)
        if box is None or not blocks:
            return np.full((count, len(self.how.offsets.values), height, width), np.nan, np.float32)
        is_large = 4 * count * math.prod(part.stop - part.start for part in box) > self.box_bytes
        if not is_large or height * width == 1:
            return self._of_box(tile, box, _seen(blocks))
        out = np.empty((count, len(self.how.offsets.values), height, width), np.float32)
        for part in itertools.product(_halves(height), _halves(width)):
            out[:, :, *part] = self._predicted(Tile(tile.points[part], tile.normals[part], tile.valid[part]))
        return out

    def _of_box(self, tile: Tile, box: Box, is_seen: IsSeen) -> NDArray[np.float32]:
        z, y, x = box
        size = (z.stop - z.start, y.stop - y.start, x.stop - x.start)
        prob = self.predicted.predict_box((z.start, y.start, x.start), size, is_seen)
        if prob is None:
            prob = np.zeros((len(self.predicted.channels), *size), np.float32)
        if prob.shape != (len(self.predicted.channels), *size):
            raise ValueError(f"expected probabilities {(len(self.predicted.channels), *size)}, got {prob.shape}")
        held = [self._source(_Held(self.predicted.shape, box, one)) for one in prob]
        return sample_along_normals(tile, self.how.offsets, held, self.how.order)

    def _source(self, array: Any = None) -> Source:
        return Source(_Held(self.predicted.shape) if array is None else array, self.predicted.level)


class _Held:
    """A volume of which only one box is in memory; it has the whole shape, so that places in it are the very same numbers."""

    dtype = np.dtype(np.float32)

    def __init__(self, shape: Triple, box: Box = (), block: NDArray[np.float32] | None = None) -> None:
        self.shape, self.box, self.block = shape, box, block

    def __getitem__(self, box: Box) -> Any:
        if self.block is None:
            raise IndexError(f"nothing of {box} is held")
        return self.block[tuple(slice(p.start - h.start, p.stop - h.start) for p, h in zip(box, self.box, strict=True))]


def _halves(length: int) -> list[slice]:
    return [slice(0, length // 2), slice(length // 2, length)] if length > 1 else [slice(0, 1)]


def _seen(blocks: set[Triple]) -> IsSeen:
    """Whether a box meets one of the blocks."""
    numbers = np.array(sorted(blocks))
    first = numbers.min(axis=0)
    marked = np.zeros(numbers.max(axis=0) - first + 1, np.bool_)
    marked[tuple((numbers - first).T)] = True

    def is_seen(corner: Sequence[int], size: Sequence[int]) -> bool:
        spans = [
            (c // BLOCK_VOX - f, -(-(c + s) // BLOCK_VOX) - f) for c, s, f in zip(corner, size, first, strict=True)
        ]
        return bool(marked[tuple(slice(max(0, low), max(0, high)) for low, high in spans)].any())

    return is_seen

"""Sampling volumes along the normals of a surface: all sources at once, tile by tile, only the chunks that are touched."""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from scroll.errors import InputError
from scroll.geometry import Size
from scroll.surfaces.lines import Grid, Layout, Lines, TilePiece, blend, extent, mark, pick, place
from scroll.surfaces.surface import Tile
from scroll.volumes.chunk_cache import CachedChunks, Index, is_chunked, lay
from scroll.volumes.place import NOWHERE_ELSE, Place, place_of
from scroll.volumes.volume import LazyArray, Volume

BOX_BYTES = 256 * 2**20  # of voxels laid out at once; a tile that needs more is cut
SLAB_SAMPLES = 2**15  # whose places are kept at once: they stay in the processor's cache
SLAB_COLUMNS = 512


@dataclass(frozen=True)
class Offsets:
    """Places along a normal in voxels of level 0: `start`, `start + step`, ... below `stop`; positive is along the normal.

    Raises:
        InputError: not finite, no step above 0, or nothing between start and stop.
    """

    start: float
    stop: float
    step: float = 1.0

    def __post_init__(self) -> None:
        if not (
            all(map(math.isfinite, (self.start, self.stop, self.step))) and self.step > 0 and self.stop > self.start
        ):
            raise InputError(
                f"offsets from {self.start} to {self.stop} in steps of {self.step}; expected start < stop and a step above 0: "
                "for example -32 to 33 in steps of 1"
            )

    @property
    def values(self) -> NDArray[np.float32]:
        """(N,) float32.

        >>> Offsets(-1, 1, 0.5).values
        array([-1. , -0.5,  0. ,  0.5], dtype=float32)
        """
        count = math.ceil(
            (self.stop - self.start) / self.step - 1e-9
        )  # 0.3 / 0.1 is a little less than 3, and 0.6 / 0.2 more
        return (self.start + self.step * np.arange(max(1, count))).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Source:
    """What is sampled: a (Z, Y, X) array of any integer or float type, and where its voxels lie.

    Voxel (0, 0, 0) of `volume` is voxel `origin_zyx` of what is at `level`: a place, or the number of a level of a pyramid
    that halves, where voxel x of level L is centred on level-0 place (x + 0.5) * 2**L - 0.5, the middle of the 2**L voxels
    it is the mean of. None: where the volume's metadata say; an array without any is level 0.
    """

    volume: Volume | LazyArray
    level: int | Place | None = None
    origin_zyx: Size = (0, 0, 0)

    @property
    def array(self) -> Any:
        """The array itself."""
        return self.volume.array if isinstance(self.volume, Volume) else self.volume

    @property
    def base(self) -> Place:
        """Where voxel (0, 0, 0) would lie if `origin_zyx` were 0, 0, 0."""
        if self.level is None:
            return self.volume.place if isinstance(self.volume, Volume) else NOWHERE_ELSE
        return place_of(self.level)

    def grid(self, nearest: bool) -> Grid:
        """Where its voxels lie, as the compiled part wants it."""
        z, y, x = (int(length) for length in self.array.shape)
        place = self.base
        scale = tuple(1 / step for step in place.step)
        shift = [
            (0.5 - begin) * s - 0.5 - first for begin, s, first in zip(place.begin, scale, self.origin_zyx, strict=True)
        ]
        return Grid((z, y, x), (scale[0], scale[1], scale[2]), (shift[0], shift[1], shift[2]), nearest)


def sample_along_normals(
    tile: Tile, offsets: Offsets, sources: Sequence[Source], order: Literal[0, 1] = 1
) -> NDArray[np.float32]:
    """Values of C sources at N offsets along the normals of a tile (h, w): (C, N, h, w) float32.

    Trilinear (`order` 1), or the nearest voxel (`order` 0; halfway, the one with the higher index). NaN where not
    covered: the surface is invalid, a place is outside the source (beyond the centre of its first or last voxel), or a
    voxel that weighs in it is NaN. Sources that lie alike share the work of finding the places.

    Arrays in memory or mapped from a file are sampled where they are. Of chunked ones exactly the chunks with a voxel
    that weighs in a sample are read, each once (again only if a cache smaller than the tile forgot it, or the tile has to
    be cut because it spans more than 256 MiB); give them a cache (`scroll.volumes.chunk_cache.cached`) where tiles are
    neighbours. Of other lazy arrays the box about the tile is read.
    """
    lines, whole = _lines(tile, offsets)
    out = np.empty((len(sources), offsets.values.size, *tile.valid.shape), np.float32)
    if out.size == 0:
        return out
    alike: dict[tuple[Grid, Layout | None], list[int]] = {}
    for number, source in enumerate(sources):
        alike.setdefault((source.grid(order == 0), _layout(source.array)), []).append(number)
    for (grid, layout), numbers in alike.items():
        arrays, outs = [sources[n].array for n in numbers], [out[n] for n in numbers]
        if layout is None:
            _sample_in_boxes(lines, grid, whole, [_chunks(array) for array in arrays], outs)
        else:
            _sample(lines, grid, whole, layout, list(zip(map(_flat, arrays), outs, strict=True)))
    return out


def box_about(tile: Tile, offsets: Offsets, source: Source, order: Literal[0, 1] = 1) -> tuple[slice, ...] | None:
    """The box (z, y, x) of a source's voxels that `sample_along_normals` looks at; None where nothing of the tile is in it."""
    lines, whole = _lines(tile, offsets)
    box = tuple(slice(int(first), int(end), 1) for first, end in extent(lines, source.grid(order == 0), whole).T)
    return None if any(along.start == along.stop for along in box) else box


def blocks_about(tile: Tile, offsets: Offsets, source: Source, edge_vox: int, order: Literal[0, 1] = 1) -> set[Index]:
    """Numbers (z, y, x) of the blocks of a source, `edge_vox` a side, that hold a voxel which weighs in a sample."""
    box = box_about(tile, offsets, source, order)
    if box is None:
        return set()
    lines, whole = _lines(tile, offsets)
    return set(_touched(lines, source.grid(order == 0), whole, (edge_vox,) * 3, box))


def _lines(tile: Tile, offsets: Offsets) -> tuple[Lines, TilePiece]:
    """Normals as the compiled part wants them, and all of them as a part."""
    lines = Lines(*(_plain(part) for part in (tile.points, tile.normals, tile.valid, offsets.values)))
    return lines, TilePiece((0, tile.valid.shape[0]), (0, tile.valid.shape[1]), (0, offsets.values.size))


def _plain(values: NDArray[Any]) -> NDArray[Any]:
    """Contiguous and not writable, always, so that the compiler sees one kind of array only."""
    plain = np.ascontiguousarray(values).view()
    plain.flags.writeable = False
    return plain


def _layout(array: Any) -> Layout | None:
    """How an array is in memory, if it can be sampled there."""
    if not isinstance(array, np.ndarray) or not array.dtype.isnative or array.dtype == np.float16:
        return None
    if any(stride < 0 or stride % array.itemsize for stride in array.strides):
        return None
    return Layout((0, 0, 0), _steps(array))


def _steps(array: NDArray[Any]) -> Size:
    """Items from a voxel to the next along z, y, x; 0 where there is no next."""
    z, y, x = (stride // array.itemsize if n > 1 else 0 for stride, n in zip(array.strides, array.shape, strict=True))
    return z, y, x


def _flat(array: NDArray[Any]) -> NDArray[Any]:
    """All items from an array's first to its last in one row; not a copy."""
    span = sum((n - 1) * stride // array.itemsize for n, stride in zip(array.shape, array.strides, strict=True)) + 1
    return np.lib.stride_tricks.as_strided(array, (span,), (array.itemsize,), writeable=False)


def _chunks(array: Any) -> Any:
    """Chunked arrays with a cache, so that a cut tile does not read a chunk again; others as they are."""
    return CachedChunks(array) if is_chunked(array) and not isinstance(array, CachedChunks) else array


Job = tuple[NDArray[Any], NDArray[np.float32]]  # flat voxels, and (N, h, w) where their samples go


def _sample(lines: Lines, grid: Grid, part: TilePiece, layout: Layout, jobs: list[Job]) -> None:
    for slab in _slabs(part):
        count, height, width = (end - first for first, end in (slab.offsets, slab.rows, slab.columns))
        places = np.empty((count, height, width), np.int64), np.empty((3, count, height, width), np.float32)
        place(lines, grid, slab, layout, places)
        at = (slab.offsets[0], slab.rows[0], slab.columns[0])
        for voxels, out in jobs:
            if grid.nearest:
                pick(voxels, places, out, at)
            else:
                blend(voxels, layout.steps, places, out, at)


def _slabs(part: TilePiece) -> Iterator[TilePiece]:
    count = part.offsets[1] - part.offsets[0]
    columns = min(part.columns[1] - part.columns[0], SLAB_COLUMNS, max(16, SLAB_SAMPLES // count))
    rows = max(1, SLAB_SAMPLES // (count * columns))
    for row, column in itertools.product(range(*part.rows, rows), range(*part.columns, columns)):
        yield TilePiece(
            (row, min(row + rows, part.rows[1])), (column, min(column + columns, part.columns[1])), part.offsets
        )


def _sample_in_boxes(
    lines: Lines, grid: Grid, part: TilePiece, arrays: list[Any], outs: list[NDArray[np.float32]]
) -> None:
    """Lay out what a part needs of each array in a box in memory and sample that; halve the part if the boxes are too large."""
    box = tuple(slice(int(first), int(end), 1) for first, end in extent(lines, grid, part).T)
    size = [along.stop - along.start for along in box]
    types = [np.dtype(np.float32 if array.dtype == np.float16 else array.dtype).newbyteorder("=") for array in arrays]
    halves = _halves(part)
    if math.prod(size) * sum(kind.itemsize for kind in types) > BOX_BYTES and halves:
        for half in halves:
            _sample_in_boxes(lines, grid, half, arrays, outs)
        return
    if 0 in size:
        for out in outs:
            out[tuple(slice(*span) for span in (part.offsets, part.rows, part.columns))] = np.nan
        return
    boxes = [np.zeros(size, kind) for kind in types]  # no garbage, for 0 times infinity would count
    touched: dict[Index, list[Index]] = {}
    for array, held in zip(arrays, boxes, strict=True):
        if not isinstance(array, CachedChunks):
            held[...] = array[box]
            continue
        if array.chunks not in touched:
            touched[array.chunks] = _touched(lines, grid, part, array.chunks, box)
        for index, voxels in array.fetch(touched[array.chunks]):
            lay(voxels, [i * c for i, c in zip(index, array.chunks, strict=True)], held, [along.start for along in box])
    start = (box[0].start, box[1].start, box[2].start)
    layout = Layout(start, _steps(boxes[0]))
    _sample(lines, grid, part, layout, list(zip(map(_flat, boxes), outs, strict=True)))


def _halves(part: TilePiece) -> list[TilePiece]:
    """The part cut in two across its longer side, by offsets only where it is one line; none if it is one sample."""
    longest = max(("rows", "columns"), key=lambda name: getattr(part, name)[1] - getattr(part, name)[0])
    for name in (longest, "offsets"):
        first, end = getattr(part, name)
        if end - first > 1:
            middle = (first + end) // 2
            return [part._replace(**{name: (first, middle)}), part._replace(**{name: (middle, end)})]
    return []


def _touched(lines: Lines, grid: Grid, part: TilePiece, chunks: Index, box: tuple[slice, ...]) -> list[Index]:
    """Which chunks hold a voxel that weighs in a sample of the part; `box` holds all of those voxels."""
    first = tuple(along.start // chunk for along, chunk in zip(box, chunks, strict=True))
    ends = [-(-along.stop // chunk) for along, chunk in zip(box, chunks, strict=True)]
    touched = np.zeros([end - low for low, end in zip(first, ends, strict=True)], np.bool_)
    mark(lines, grid, part, chunks, first, touched)
    return [(int(z), int(y), int(x)) for z, y, x in np.argwhere(touched) + first]

"""A bounded memory of decoded chunks: what is on one sheet is fetched once, however often and in whatever pieces it is asked for."""

import itertools
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scroll.volumes.lru import LruCache
from scroll.volumes.volume import Volume

LIMIT_BYTES = 256 * 2**20
FETCHERS = 8  # threads: decoding frees the interpreter, and a remote chunk is mostly waiting
LOT = 2 * FETCHERS  # chunks that are asked for together; they and the next as many come on top of those that are kept
Index = tuple[int, int, int]
Voxels = NDArray[Any]


class CachedChunks:
    """A lazy (Z, Y, X) array over a chunked one, such as a `zarr.Array`, that reads whole chunks and keeps those last used.

    At most `limit_bytes` of decoded chunks stay (one always does); another process starts with none. Two threads that
    ask for the same missing chunk at the same moment may both fetch it.

    Raises:
        ValueError: the array is not chunked along three axes.
    """

    def __init__(self, array: Any, limit_bytes: int = LIMIT_BYTES) -> None:
        if not is_chunked(array):
            raise ValueError(f"need an array (Z, Y, X) with chunks along z, y, x, got {array!r}")
        self.array = array
        z, y, x = (int(length) for length in array.shape)
        self.shape: Index = (z, y, x)
        self.dtype = np.dtype(array.dtype).newbyteorder("=")
        z, y, x = (int(length) for length in array.chunks)
        self.chunks: Index = (z, y, x)
        self._kept: LruCache[Voxels] = LruCache(limit_bytes, _bytes)

    @property
    def shards(self) -> tuple[int, ...] | None:
        """What is stored in one file, where that is several chunks."""
        return getattr(self.array, "shards", None)

    def chunk(self, index_zyx: Index) -> Voxels:
        """One decoded chunk, cut where the array ends; not to be written to."""
        (found,) = self._kept.kept([index_zyx])
        return self._read_box(_alone(index_zyx))[index_zyx] if found is None else found

    def fetch(self, indices: Iterable[Index]) -> Iterator[tuple[Index, Voxels]]:
        """(index, chunk) of each of `indices`, in their order, the next few on their way while one is looked at."""
        requested = list(indices)
        lots = [requested[first : first + LOT] for first in range(0, len(requested), LOT)]
        ahead = self._asked(lots[0], is_alone=len(lots) == 1) if lots else {}
        for number, lot in enumerate(lots, 1):
            asked, ahead = ahead, self._asked(lots[number]) if number < len(lots) else {}
            for index in lot:
                found = asked[index]
                yield index, found if isinstance(found, np.ndarray) else found.result()[index]

    def __getitem__(self, box: tuple[slice, ...]) -> Voxels:
        """The block of three slices with positive steps inside the shape, put together from chunks."""
        spans = [range(*part.indices(length)) for part, length in zip(box, self.shape, strict=True)]
        if not all(spans):
            return np.empty([len(span) for span in spans], self.dtype)
        low, high = [span.start for span in spans], [span[-1] + 1 for span in spans]
        parts = [_shared(a, b, c) for a, b, c in zip(low, high, self.chunks, strict=True)]
        block = np.empty([b - a for a, b in zip(low, high, strict=True)], self.dtype)
        for (z, y, x), voxels in self.fetch(itertools.product(*parts)):  # type: ignore[arg-type]
            (there_z, here_z), (there_y, here_y), (there_x, here_x) = parts[0][z], parts[1][y], parts[2][x]
            block[there_z, there_y, there_x] = voxels[here_z, here_y, here_x]
        if all(span.step == 1 for span in spans):
            return block
        return block[tuple(slice(None, None, span.step) for span in spans)]

    def _asked(
        self, lot: Sequence[Index], is_alone: bool = False
    ) -> "dict[Index, Voxels | Future[dict[Index, Voxels]]]":
        """What is kept of some chunks, and what will bring the others: a read for each box of them, in the one pool.

        A single box that nothing else waits for is read here. Of shards every chunk is read alone: a box that holds a whole shard
        would be fetched as one file, past what is known of its index.
        """
        asked: dict[Index, Any] = dict(zip(lot, self._kept.kept(lot), strict=True))
        missing = [index for index, found in asked.items() if found is None]
        boxes = list(boxes_of(missing) if self.shards is None else map(_alone, missing))
        if is_alone and len(boxes) == 1:
            return asked | self._read_box(boxes[0])
        for one in boxes:
            reading = fetchers(getattr(_here, "depth", 0) + 1).submit(self._read_box, one)
            asked.update(dict.fromkeys(itertools.product(*one), reading))
        return asked

    def _read_box(self, box: tuple[range, range, range]) -> dict[Index, Voxels]:
        """The chunks of a box of chunks, in one call of the array; copies, so that each can be forgotten alone."""
        ends = list(zip(box, self.chunks, self.shape, strict=True))
        whole = self.array[tuple(slice(part.start * c, min(part.stop * c, n)) for part, c, n in ends)]
        found = {}
        for index in itertools.product(*box):
            at = [(i - part.start) * c for i, (part, c, _) in zip(index, ends, strict=True)]
            voxels = whole[tuple(slice(a, a + c) for a, c in zip(at, self.chunks, strict=True))]
            voxels = np.array(voxels, self.dtype, order="C")
            voxels.flags.writeable = False
            found[index] = self._kept.keep(index, voxels)
        return found

    def __reduce__(self) -> Any:
        return CachedChunks, (self.array, self._kept.limit)


def boxes_of(indices: Iterable[Index]) -> Iterator[tuple[range, range, range]]:
    """Chunks as few boxes: runs along x, of which alike ones are joined along y, and then along z.

    >>> list(boxes_of([(0, 0, 0), (0, 0, 1), (0, 1, 0), (0, 1, 1), (4, 1, 1)]))
    [(range(0, 1), range(0, 2), range(0, 2)), (range(4, 5), range(1, 2), range(1, 2))]
    """
    boxes = [tuple((i, i + 1) for i in index) for index in indices]
    for axis in (2, 1, 0):
        joined: list[tuple[tuple[int, int], ...]] = []
        for box in sorted(boxes, key=lambda box: (*box[:axis], *box[axis + 1 :], box[axis])):
            if joined and joined[-1][axis][1] == box[axis][0] and _is_beside(joined[-1], box, axis):
                joined[-1] = (*box[:axis], (joined[-1][axis][0], box[axis][1]), *box[axis + 1 :])
            else:
                joined.append(box)
        boxes = joined
    for z, y, x in boxes:
        yield range(*z), range(*y), range(*x)


def _alone(index: Index) -> tuple[range, range, range]:
    z, y, x = (range(i, i + 1) for i in index)
    return z, y, x


def _is_beside(one: tuple[tuple[int, int], ...], other: tuple[tuple[int, int], ...], axis: int) -> bool:
    return all(one[other_axis] == other[other_axis] for other_axis in range(3) if other_axis != axis)


def _shared(low: int, high: int, chunk: int) -> dict[int, tuple[slice, slice]]:
    """Along one axis: the chunks that a block from `low` to `high` touches, where each is in it, and what of the chunk."""
    parts = {}
    for number in range(low // chunk, -(-high // chunk)):
        first, end = max(low, number * chunk), min(high, number * chunk + chunk)
        parts[number] = slice(first - low, end - low), slice(first - number * chunk, end - number * chunk)
    return parts


_here = threading.local()


@cache
def fetchers(depth: int) -> ThreadPoolExecutor:
    """The threads of this process that fetch chunks, made when the first are needed.

    An array may be made of another one with a cache of its own: whoever fetches for it at one `depth` waits for threads of the next,
    never for one of its own, all of which may be waiting.
    """
    return ThreadPoolExecutor(FETCHERS, f"chunks-{depth}", initializer=_fetch_at, initargs=(depth,))


def _fetch_at(depth: int) -> None:
    _here.depth = depth


os.register_at_fork(after_in_child=fetchers.cache_clear)  # a forked process has none of the threads


def is_chunked(array: Any) -> bool:
    """Whether an array is stored in chunks along z, y, x, each of which is read whole."""
    return len(getattr(array, "chunks", None) or ()) == len(array.shape) == 3


def cached(volume: Volume, limit_bytes: int = LIMIT_BYTES) -> Volume:
    """The volume with a cache of its chunks; as it is where it is in memory, is mapped, has no chunks, or has a cache."""
    if isinstance(volume.array, CachedChunks) or not is_chunked(volume.array):
        return volume
    return replace(volume, array=CachedChunks(volume.array, limit_bytes))


def lay(voxels: Voxels, at: Iterable[int], block: Voxels, corner: Iterable[int]) -> None:
    """Copy what two pieces of one volume share: `voxels`, whose first one is number `at`, into `block`, which begins at `corner`."""
    here, there = [], []
    for first, length, start, size in zip(at, voxels.shape, corner, block.shape, strict=True):
        low, high = max(first, start), min(first + length, start + size)
        if low >= high:
            return
        here.append(slice(low - first, high - first))
        there.append(slice(low - start, high - start))
    block[tuple(there)] = voxels[tuple(here)]


def _bytes(voxels: Voxels) -> int:
    return int(voxels.nbytes)

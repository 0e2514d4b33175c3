"""A bounded memory of decoded chunks: what is on one sheet is fetched once, however often and in whatever pieces it is asked for."""

import itertools
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scroll.volumes.lru import LruCache
from scroll.volumes.volume import Volume

LIMIT_BYTES = 256 * 2**20
FETCHERS = 8  # threads: decoding frees the interpreter, and a remote chunk is mostly waiting
LOT = 4 * FETCHERS  # chunks on their way at once: they come on top of those that are kept
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
        return self._kept.get(index_zyx, lambda: self._read(index_zyx))

    def fetch(self, indices: Iterable[Index]) -> Iterator[tuple[Index, Voxels]]:
        """(index, chunk) of each of `indices`, in their order, the next few on their way while one is looked at."""
        wanted = list(indices)
        if len(wanted) < 2:
            yield from ((index, self.chunk(index)) for index in wanted)
            return
        with ThreadPoolExecutor(min(FETCHERS, len(wanted))) as pool:
            for first in range(0, len(wanted), LOT):
                lot = wanted[first : first + LOT]
                yield from zip(lot, pool.map(self.chunk, lot), strict=True)

    def __getitem__(self, box: tuple[slice, ...]) -> Voxels:
        """The block of three slices with positive steps inside the shape, put together from chunks."""
        spans = [range(*part.indices(length)) for part, length in zip(box, self.shape, strict=True)]
        low = [span.start for span in spans]
        high = [span[-1] + 1 if span else span.start for span in spans]
        if not all(spans):
            return np.empty([len(span) for span in spans], self.dtype)
        touched = [range(a // c, -(-b // c)) for a, b, c in zip(low, high, self.chunks, strict=True)]
        block = np.empty([b - a for a, b in zip(low, high, strict=True)], self.dtype)
        for index, voxels in self.fetch(itertools.product(*touched)):  # type: ignore[arg-type]
            lay(voxels, [i * c for i, c in zip(index, self.chunks, strict=True)], block, low)
        return block[tuple(slice(None, None, span.step) for span in spans)]

    def _read(self, index: Index) -> Voxels:
        box = tuple(slice(i * c, min(i * c + c, n)) for i, c, n in zip(index, self.chunks, self.shape, strict=True))
        voxels = np.ascontiguousarray(self.array[box], self.dtype)
        voxels.flags.writeable = False
        return voxels

    def __reduce__(self) -> Any:
        return CachedChunks, (self.array, self._kept.limit)


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

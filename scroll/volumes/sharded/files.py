"""What is stored of a level of an output: a box of whole files encoded in memory, and damage in them found by name."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scroll.errors import InputError, UnreadableError
from scroll.geometry import Box


def encoded(array: Any, box: Box, block: NDArray[np.uint8]) -> Mapping[str, bytes | None]:
    """The files of a level that hold a box of whole files, as zarr encodes them; None for those that are all 0."""
    import zarr
    from zarr.core.buffer import Buffer, default_buffer_prototype
    from zarr.storage import MemoryStore

    prototype = default_buffer_prototype()
    held: dict[str, Buffer] = dict(array.metadata.to_buffer_dict(prototype))
    twin = zarr.open_array(MemoryStore(held), mode="r+")
    twin[box] = block
    edges = array.shards or array.chunks
    numbers = itertools.product(*(range(p.start // e, -(-p.stop // e)) for p, e in zip(box, edges, strict=True)))
    names = [array.metadata.encode_chunk_key(number) for number in numbers]
    return {name: held[name].to_bytes() if name in held else None for name in names}


def read_checked(array: Any, box: Box, where: str) -> NDArray[np.uint8]:
    """A box of a `zarr.Array`; `where` is its path or address, for the error.

    Raises:
        UnreadableError: a stored chunk is damaged; names it and its file.
    """
    try:
        return np.asarray(array[box])
    except InputError:
        raise
    except Exception:
        for number, part in _chunks(box, array.chunks):
            try:
                array[part]
            except InputError:
                raise
            except Exception as reason:
                raise _damaged(array, number, where, reason) from reason
        raise


def _chunks(box: Box, chunks: Sequence[int]) -> Iterator[tuple[tuple[int, ...], Box]]:
    """Number and box of what is in a box of each chunk."""
    ranges = [range(part.start // c, -(-part.stop // c)) for part, c in zip(box, chunks, strict=True)]
    for number in itertools.product(*ranges):
        spans = zip(number, chunks, box, strict=True)
        yield number, tuple(slice(max(part.start, n * c), min(part.stop, (n + 1) * c)) for n, c, part in spans)


def _damaged(array: Any, number: Sequence[int], where: str, error: Exception) -> UnreadableError:
    first = [n * c for n, c in zip(number, array.chunks, strict=True)]
    edges = array.shards or array.chunks
    file = array.metadata.encode_chunk_key(tuple(f // e for f, e in zip(first, edges, strict=True)))
    reason = " ".join(str(error).split())[:120] or type(error).__name__
    return UnreadableError(
        f"{where}/{file}: the chunk at voxel {tuple(first)} (z, y, x) is damaged ({reason}); expected it as it was "
        "stored: delete that file, and the command that wrote it writes it again"
    )

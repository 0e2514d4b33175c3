"""One picture of any number type written to a TIFF file tile by tile, from what is cut as it is needed."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

TILE = 1024


def write_image(path: Path, shape: tuple[int, int], dtype: Any, cut: Callable[[slice, slice], NDArray[Any]]) -> None:
    """Write a (Y, X) picture as LZW tiles of at most 1024 pixels a side, each of them cut when its turn comes."""
    import tifffile

    tile = tuple(min(TILE, -(-n // 16) * 16) for n in shape)
    tifffile.imwrite(
        path, _tiles(shape, tile, dtype, cut), shape=shape, dtype=dtype, tile=tile,
        compression="lzw", photometric="minisblack", metadata=None, maxworkers=1,
    )  # fmt: skip


def _tiles(
    shape: tuple[int, int], tile: tuple[int, ...], dtype: Any, cut: Callable[[slice, slice], NDArray[Any]]
) -> Iterator[NDArray[Any]]:
    for top in range(0, shape[0], tile[0]):
        for left in range(0, shape[1], tile[1]):
            part = cut(slice(top, min(top + tile[0], shape[0])), slice(left, min(left + tile[1], shape[1])))
            whole = np.zeros(tile, dtype)
            whole[: part.shape[0], : part.shape[1]] = part
            yield whole

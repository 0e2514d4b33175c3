"""One picture of any number type in a TIFF file: read whole, or written tile by tile from what is cut as it is needed."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scroll.errors import InputError
from scroll.volumes.tiff_pages import MEND, check_whole, opened_tiff

TILE = 1024
MOST_PACKED = (
    2**16
)  # pixels that a byte may stand for: a header that promises more is damaged, and no memory is lost on it


def read_image(path: Path) -> NDArray[Any]:
    """The first page of a TIFF, tiled or in strips, packed or raw: (Y, X) of any integer or float type; channel 0 of many.

    A page of single bits reads as 0 and 255.

    Raises:
        InputError: not a TIFF, cut off, damaged, or not numbers.
    """
    with opened_tiff(path) as tiff:
        page = tiff.pages[0]
        is_numbers = page.dtype is not None and page.dtype.kind in "uifb"
        if not is_numbers or page.axes not in ("YX", "YXS", "SYX") or page.size == 0:
            raise InputError(
                f"{path}: holds {page.dtype} of shape {page.shape}; expected a (Y, X) picture of numbers: export it again"
            )
        if page.size > MOST_PACKED * path.stat().st_size:
            raise InputError(f"{path}: says {page.shape} in {path.stat().st_size} bytes; expected a whole TIFF: {MEND}")
        check_whole(path, [page])
        image = page.asarray(maxworkers=1)
    first = image[..., 0] if page.axes == "YXS" else image[0] if page.axes == "SYX" else image
    return np.where(first, np.uint8(255), np.uint8(0)) if first.dtype == bool else np.asarray(first)


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

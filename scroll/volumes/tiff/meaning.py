"""What the numbers of a TIFF page mean: grey as they are stored, or turned round, or looked up in a palette of greys."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scroll.errors import InputError

PHOTOMETRIC, ORIENTATION, SOFTWARE = 262, 274, 305
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE = 0, 1, 2, 3
UPRIGHT = 1
OF_COLOURS = {4: "a transparency mask", 5: "CMYK", 6: "YCbCr", 8: "CIELab", 9: "ICCLab", 10: "ITULab"}
PALETTE_BITS = 8
RAW, JPEG = 1, (6, 7, 33007, 34892)
MEND = "export it as plain grey, upright, where black is zero"


@dataclass(frozen=True, eq=False)
class Grey:
    """How stored numbers become the grey that is meant: `table[stored]`, or without a table `highest - stored`."""

    highest: int = 0
    table: NDArray[np.uint8] | None = None

    def as_shown(self, stored: NDArray[Any]) -> NDArray[Any]:
        """The grey of an array of any shape, of the same type (bool: of uint8 where there is a table)."""
        if self.table is not None:
            return self.table[stored.astype(np.intp)]
        return ~stored if stored.dtype == bool else np.subtract(stored.dtype.type(self.highest), stored)


def grey_of(path: Path, page: Any) -> Grey | None:
    """How the page's numbers are to be shown; None: as they are stored. Reads the header alone, of an open file.

    Raises:
        InputError: the header turns or mirrors the page, or says colours other than RGB, or a palette that is not grey.
    """
    orientation = page.tags.valueof(ORIENTATION, UPRIGHT)
    if orientation != UPRIGHT:
        raise InputError(f"{path}: its header turns or mirrors it (orientation {orientation!s:.20}); {MEND}")
    photometric = page.tags.valueof(PHOTOMETRIC, BLACK_IS_ZERO)
    if photometric == PALETTE:
        return _grey_palette(path, page)
    if photometric == WHITE_IS_ZERO:
        return _turned_round(path, page)
    if photometric not in (BLACK_IS_ZERO, RGB):
        name = OF_COLOURS.get(photometric, f"photometric {photometric!s:.20}")
        raise InputError(f"{path}: its header says {name}; expected grey: {MEND}")
    return None


def _turned_round(path: Path, page: Any) -> Grey | None:
    if page.dtype is None or page.dtype.kind not in "ub":
        raise InputError(f"{path}: its header says that white is zero, of {page.dtype} numbers; {MEND}")
    if page.bitspersample == 1 and str(page.tags.valueof(SOFTWARE, "")).startswith("tifffile"):
        return None  # it marks every array of bools so, and yet stores true as 1
    return Grey(highest=2 ** int(page.bitspersample) - 1)


def _grey_palette(path: Path, page: Any) -> Grey | None:
    colours = page.colormap
    bits = page.bitspersample
    if colours is None or bits > PALETTE_BITS or np.shape(colours) != (3, 2**bits) or page.samplesperpixel != 1:
        raise InputError(f"{path}: a palette of {bits} bits that cannot be looked up; expected grey: {MEND}")
    if not (colours == colours[0]).all():
        raise InputError(f"{path}: a palette of colours; expected grey: {MEND}")
    levels = np.asarray(colours[0])
    table = (levels if levels.max() <= 255 else levels >> 8).astype(np.uint8)  # some writers have 8 bits, not 16
    return None if bits == PALETTE_BITS and np.array_equal(table, np.arange(256)) else Grey(table=table)


def check_packing(path: Path, pages: Sequence[Any]) -> None:
    """Refuse pages packed as nothing here unpacks, or as JPEG, which changes the numbers that it packs.

    Raises:
        InputError: such a page.
    """
    from tifffile import TIFF

    for packing in {page.compression for page in pages}:
        if packing in JPEG:
            raise InputError(
                f"{path}: is compressed as JPEG, which changes grey values; expected raw, LZW or deflate: export it from "
                "the source, or convert it"
            )
        if packing != RAW and packing not in TIFF.DECOMPRESSORS:
            raise InputError(f"{path}: is packed as {packing!s:.40}; expected raw, LZW or deflate: convert it")

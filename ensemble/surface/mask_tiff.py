"""One TIFF of a submission as a grader sees it: page by page, with Pillow."""

import io
import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from scroll.volumes.tiff.meaning import ORIENTATION, PHOTOMETRIC, UPRIGHT, WHITE_IS_ZERO

if TYPE_CHECKING:
    from PIL.Image import Image

GREY = "L"
MODES = {
    "1": "1 bit",
    "P": "a palette of colours",
    "I": "int32",
    "F": "float32",
    "LA": "grey with transparency",
    "RGB": "RGB",
    "RGBA": "RGB with transparency",
    "CMYK": "CMYK",
}
SHOWN_VALUES = 6


@dataclass(frozen=True)
class Page:
    """What was seen of one page; a part that could not be read, or was too large to, is None.

    Attributes:
        size_yx: rows and columns.
        mode: Pillow's word for the kind of pixels; "L" is uint8.
        counts: of a uint8 page, how many pixels have each of the 256 values.
        first_yx: its first pixel that is neither 0 nor 1.
        reason: why it cannot be decoded.
        is_inverted: its header says that white is zero, so that readers turn its values round.
        is_turned: its header says that it is to be turned or mirrored, which some readers do.
    """

    size_yx: tuple[int, int] | None = None
    mode: str | None = None
    counts: NDArray[np.int64] | None = None
    first_yx: tuple[int, int] | None = None
    reason: str | None = None
    is_inverted: bool = False
    is_turned: bool = False


def tiff_faults(content: bytes, shape: tuple[int, int, int]) -> tuple[list[str], list[str]]:
    """Faults of a TIFF that should be a mask of `shape` (Z, Y, X), and what is read but surely not meant; a phrase each."""
    from PIL import Image

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            with Image.open(io.BytesIO(content), formats=["TIFF"]) as image:
                pages = _pages(image, 2 * math.prod(shape))
        except Exception as error:  # noqa: BLE001 - Pillow raises many kinds for a damaged picture
            return [f"is not readable as TIFF ({_words(error)}); write it again"], []
    faults = [*_decoding_faults(pages), *_mode_faults(pages), *_shape_faults(pages, shape), *_value_faults(pages)]
    doubts = []
    if caught and not faults:
        doubts.append(f"is read, but its headers are damaged ({_words(caught[0].message)}); write it again")
    if all(page.counts is not None and not page.counts[1:].any() for page in pages):
        doubts.append("holds no surface at all; such a cube scores next to nothing")
    return faults, doubts


def _pages(image: "Image", most_pixels: int) -> list[Page]:
    """What is seen of every page, and of the pixels of no more of them than a cube has, with some to spare."""
    pages: list[Page] = []
    while True:
        try:
            image.seek(len(pages))
        except EOFError:
            return pages
        except Exception as error:  # noqa: BLE001 - as above; where the next header is, nobody knows then
            return [*pages, Page(reason=_words(error))]
        pages.append(_page(image, most_pixels))
        most_pixels -= math.prod(pages[-1].size_yx or (0,))


def _page(image: "Image", most_pixels: int) -> Page:
    size_yx, mode = (image.size[1], image.size[0]), image.mode
    is_turned = getattr(image, "tag_v2", {}).get(ORIENTATION, UPRIGHT) != UPRIGHT  # Pillow forgets it when it decodes
    if math.prod(size_yx) > most_pixels:
        return Page(size_yx, mode, is_turned=is_turned)
    try:
        pixels = np.asarray(image)
    except Exception as error:  # noqa: BLE001 - as above
        return Page(size_yx, mode, reason=_words(error), is_turned=is_turned)
    if mode != GREY:
        return Page(size_yx, mode, is_turned=is_turned)
    counts = np.bincount(pixels.ravel(), minlength=256)
    first_yx = None
    if counts[2:].any():
        y, x = np.unravel_index(int(np.argmax(pixels > 1)), pixels.shape)
        first_yx = int(y), int(x)
    is_inverted = getattr(image, "tag_v2", {}).get(PHOTOMETRIC) == WHITE_IS_ZERO
    return Page(size_yx, mode, counts, first_yx, is_inverted=is_inverted, is_turned=is_turned)


def _decoding_faults(pages: Sequence[Page]) -> Iterator[str]:
    broken = [(number, page.reason) for number, page in enumerate(pages) if page.reason is not None]
    if broken:
        number, reason = broken[0]
        yield f"has a page {number} that cannot be decoded ({reason}){_more(len(broken))}; write it again"


def _mode_faults(pages: Sequence[Page]) -> Iterator[str]:
    strange = [(number, page.mode) for number, page in enumerate(pages) if page.mode not in (None, GREY)]
    turned = [number for number, page in enumerate(pages) if page.is_turned]
    if turned:
        yield f"has a page {turned[0]} that its header turns or mirrors{_more(len(turned))}; write it upright"
    if strange:
        number, mode = strange[0]
        found = "uint16" if str(mode).startswith("I;16") else MODES.get(str(mode), f"of Pillow's mode {mode}")
        yield f"has a page {number} that is {found}{_more(len(strange))}; expected uint8 grey pages"


def _shape_faults(pages: Sequence[Page], shape: tuple[int, int, int]) -> Iterator[str]:
    sizes = [page.size_yx for page in pages if page.size_yx is not None]
    if not sizes:
        return
    for number, size in enumerate(sizes):
        if size != sizes[0]:
            yield f"has a page {number} of {size} (y, x), where page 0 is {sizes[0]}; expected {shape} (z, y, x)"
            return
    if len(pages) == 1 < shape[0]:
        yield f"is a single page of {sizes[0]} (y, x); expected {shape} (z, y, x), one page a layer"
    elif (len(pages), *sizes[0]) != shape:
        yield f"is {(len(pages), *sizes[0])} (z, y, x); expected {shape}, as the test image"


def _value_faults(pages: Sequence[Page]) -> Iterator[str]:
    first = next(((z, page) for z, page in enumerate(pages) if page.first_yx is not None), None)
    if first is None:
        return
    z, page = first
    counts = np.sum([page.counts for page in pages if page.counts is not None], axis=0)
    others = (np.flatnonzero(counts[2:]) + 2).tolist()
    listed = ", ".join(map(str, others[:SHOWN_VALUES])) + (", ..." if len(others) > SHOWN_VALUES else "")
    place = ", ".join(map(str, (z, *(page.first_yx or ()))))
    if page.is_inverted:
        hint = "; its header says that white is zero, which turns 0 and 1 into 255 and 254: write it as minisblack"
    else:
        hint = "; divide by 255" if others == [255] and not counts[1] else "; threshold it"
    yield f"has {counts[2:].sum()} voxels other than 0 and 1 ({listed}), the first at z, y, x = {place}{hint}"


def _more(count: int) -> str:
    return f", as are {count - 1} more" if count > 1 else ""


def _words(error: Exception | Warning | str) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__

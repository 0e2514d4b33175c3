"""The pages of TIFF files as one lazy (Z, Y, X) array: mapped where they are raw, decoded piece by piece where not."""

import logging
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from scroll.errors import InputError, UnreadableError
from scroll.runtime.bounded import plain_file
from scroll.runtime.reading import shortened
from scroll.volumes.lru import LruCache
from scroll.volumes.tiff.axes import slice_count
from scroll.volumes.tiff.meaning import check_packing, grey_of

OPEN_FILES = 256  # a mapped file costs a file descriptor, and 1024 of them is a common limit for a process
CACHE_BYTES = 256 * 2**20
MOST_PAGES = 2**18
LARGEST_TILE = 2**24  # pixels, of a page that is smaller than its tiles
MEND = "copy or download the file again"
DAMAGED = (
    ValueError,
    IndexError,
    KeyError,
    TypeError,
    struct.error,
    RuntimeError,
    ArithmeticError,
    MemoryError,
    AssertionError,
    AttributeError,
)


class TiffFilePages:
    """The checked headers of one TIFF file, whose pages are alike: (Y, X) `page_shape` of uint8 or uint16 `dtype`.

    `count` slices: as many as there are pages, or all that ImageJ wrote behind one header.

    Raises:
        InputError: not a TIFF, cut off, pages that differ, more than one sample a pixel, another type of number, pages
            that are channels or times, or a header that says other than upright grey.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with opened_tiff(path) as tiff:
            self.pages = list(tiff.pages)
            if not self.pages or _next_page_at(tiff, self.pages[-1]) != 0:
                raise ValueError(f"the header of page {len(self.pages)} is not there")
            self._greys = [grey_of(path, page) for page in self.pages]
            self.page_shape, self.dtype = _alike(path, self.pages)
            check_whole(path, self.pages)
            check_packing(path, self.pages)
            self.count = slice_count(path, tiff, len(self.pages))

    @property
    def is_raw(self) -> bool:
        """Whether every page is in the file as plain numbers."""
        return all(page.is_final for page in self.pages)

    @cached_property
    def content(self) -> np.ndarray:
        """The bytes of the file, mapped."""
        return np.memmap(self.path, np.uint8, "r")

    def plane(self, page: int) -> np.ndarray | None:
        """Page as a (Y, X) view of the mapped file, in the file's byte order; None where it must be decoded."""
        is_one_each = self.count == len(self.pages)
        header = self.pages[page if is_one_each else 0]
        if not header.is_final:
            return None
        stored = self.dtype.newbyteorder(header.parent.byteorder)
        start = header.dataoffsets[0] + (0 if is_one_each else page * header.nbytes)
        return np.ndarray(self.page_shape, stored, self.content, start)

    def as_shown(self, page: int, stored: np.ndarray) -> np.ndarray:
        """Grey of numbers that were read from a page, as its header means them."""
        grey = self._greys[min(page, len(self._greys) - 1)]
        return stored if grey is None else grey.as_shown(stored)

    @property
    def piece_shape(self) -> tuple[int, int]:
        """(Y, X) of the strips or tiles that are decoded one by one."""
        header = self.pages[0]
        if header.is_tiled:
            return int(header.tilelength), int(header.tilewidth)
        height, width = self.page_shape
        return min(int(header.rowsperstrip), height), width

    def piece(self, page: int, number: int) -> np.ndarray:
        """Decode one strip or tile, numbered row by row; (Y, X), cut off at the page's edge.

        Raises:
            UnreadableError: it cannot be decoded.
        """
        header = self.pages[page]
        offset, count = header.dataoffsets[number], header.databytecounts[number]
        encoded = self.content[offset : offset + count].tobytes() if count else None
        try:
            decoded, _, shape = header.decode(encoded, number)
        except (ValueError, RuntimeError, NotImplementedError, struct.error) as error:
            raise UnreadableError(
                f"{self.path}: page {page} cannot be decoded ({error}); expected a whole TIFF: {MEND}"
            ) from error
        return np.zeros(shape[1:3], self.dtype) if decoded is None else decoded[0, :, :, 0]  # an absent tile is empty


def _alike(path: Path, pages: Sequence[Any]) -> tuple[tuple[int, int], np.dtype[Any]]:
    """(Y, X) and type of all pages.

    Raises:
        InputError: pages that differ, or are not grey of a type that is read.
    """
    shapes = {(tuple(page.shape), str(page.dtype)) for page in pages}
    if len(shapes) > 1:
        raise InputError(
            f"{path}: pages differ ({shortened(_words(shapes))}); expected all of one size and type: export it again"
        )
    shape, dtype = pages[0].shape, pages[0].dtype
    if len(shape) != 2 or dtype not in (np.uint8, np.uint16):
        found = f"pages of shape {shortened(str(tuple(shape)))} and type {dtype}"
        raise InputError(f"{path}: {found}; expected grey (Y, X) pages of uint8 or uint16: convert and export again")
    return (int(shape[0]), int(shape[1])), np.dtype(dtype)


@contextmanager
def opened_tiff(path: Path) -> Iterator[Any]:
    """Yield tifffile's view of a file; whatever it finds wrong in the block comes out as one line.

    Raises:
        InputError: not a TIFF, or one that cannot be decoded.
    """
    import tifffile

    if path.exists() and not path.is_file():
        raise InputError(f"{path}: is no plain file; expected a TIFF: point at one")
    log = logging.getLogger("tifffile")
    usual_level = log.level
    log.setLevel(logging.CRITICAL)  # it complains of a cut file line by line; the one line raised here says it all
    try:
        with tifffile.TiffFile(plain_file(path)) as tiff:
            _check_chain(path, tiff)
            yield tiff
    except InputError:
        raise
    except DAMAGED as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        found = f"{path.stat().st_size} bytes, unreadable as TIFF ({reason})"
        raise InputError(f"{path}: {found}; expected a whole TIFF: {MEND}") from error
    finally:
        log.setLevel(usual_level)


def _next_page_at(tiff: Any, page: Any) -> int:
    """The byte where `page` says that the next page's header begins, 0 after the last; tifffile only logs a wrong one."""
    file, layout = tiff.filehandle, tiff.tiff
    file.seek(page.offset)
    (tags,) = struct.unpack(layout.tagnoformat, file.read(layout.tagnosize))
    file.seek(page.offset + layout.tagnosize + tags * layout.tagsize)
    return int(struct.unpack(layout.offsetformat, file.read(layout.offsetsize))[0])


def _check_chain(path: Path, tiff: Any) -> None:
    """Refuse headers that lead back to one before, or are more than any file has: followed, they never end.

    Raises:
        InputError: they do.
    """
    file, layout = tiff.filehandle, tiff.tiff
    seen: set[int] = set()
    file.seek(8 if tiff.is_bigtiff else 4)
    at = _number(layout.offsetformat, file.read(layout.offsetsize))
    while at:
        if at in seen or len(seen) == MOST_PAGES:
            wrong = "lead in a circle" if at in seen else f"are more than {MOST_PAGES}"
            raise InputError(f"{path}: its page headers {wrong}; expected a last one: {MEND}")
        seen.add(at)
        file.seek(at)
        tags = _number(layout.tagnoformat, file.read(layout.tagnosize))
        file.seek(at + layout.tagnosize + tags * layout.tagsize)
        at = _number(layout.offsetformat, file.read(layout.offsetsize))


def _number(layout: str, content: bytes) -> int:
    """A number of a header; 0 where the file ends before it, which those who read the page say."""
    return int(struct.unpack(layout, content)[0]) if len(content) == struct.calcsize(layout) else 0


def check_whole(path: Path, pages: list[Any]) -> None:
    """Refuse a file that ends before its pages do.

    Raises:
        InputError: it is cut off.
    """
    size = path.stat().st_size
    for number, page in enumerate(pages):
        offsets, counts = page.dataoffsets, page.databytecounts
        ends = max((offset + count for offset, count in zip(offsets, counts, strict=False)), default=0)
        height, width = page.imagelength, page.imagewidth
        rows, columns = (page.tilelength, page.tilewidth) if page.is_tiled else (min(page.rowsperstrip, height), width)
        if page.is_tiled and rows * columns > max(LARGEST_TILE, 4 * height * width):
            raise InputError(f"{path}: says tiles of {rows} x {columns} for {height} x {width} pixels; {MEND}")
        pieces = -(-height // rows) * -(-width // columns)
        missing = len(offsets) < pieces or len(counts) < pieces or (page.is_final and sum(counts) < page.nbytes)
        if ends > size or missing:
            needed = f"page {number} ends at byte {ends}" if ends > size else f"page {number} lacks some of its strips"
            raise InputError(f"{path}: cut off at {size} bytes, but {needed}; expected a whole TIFF: {MEND}")


def _words(shapes: set[tuple[tuple[int, ...], str]]) -> str:
    return ", ".join(f"{'x'.join(map(str, shape))} {dtype}" for shape, dtype in sorted(shapes)[:3])


class TiffPages:
    """TIFF pages in order as a (Z, Y, X) array; give it one file of Z pages, or Z files of one page.

    `shape` and `dtype` are what the headers say. Raw pages are mapped; of others only the strips or tiles that a box
    touches are decoded, and the last `cache_bytes` of them are kept. `is_raw`: no page needs decoding. `first`: the
    headers of the first file, where they were read already.
    """

    def __init__(
        self,
        files: Sequence[Path],
        shape: tuple[int, int, int],
        dtype: Any,
        is_raw: bool = False,
        cache_bytes: int = CACHE_BYTES,
        first: TiffFilePages | None = None,
    ) -> None:
        self.files = tuple(files)
        self.shape = shape
        self.dtype = np.dtype(dtype)
        self.is_raw = is_raw
        self._opened: LruCache[TiffFilePages] = LruCache(OPEN_FILES, _one)
        if first is not None:
            self._opened.keep(0, first)
        self._pieces: LruCache[np.ndarray] = LruCache(cache_bytes, _bytes)

    def layers(self, start: int, stop: int) -> "TiffPages":
        """Files [start, stop) of a stack of one-page files."""
        shape = (stop - start, *self.shape[1:])
        return TiffPages(self.files[start:stop], shape, self.dtype, self.is_raw, self._pieces.limit)

    def __getitem__(self, box: tuple[slice, slice, slice]) -> np.ndarray:
        """Read three forward slices inside the shape into an array (Z, Y, X) of one's own."""
        layers, rows, columns = (range(part.start, part.stop, part.step) for part in box)
        block = np.empty((len(layers), len(rows), len(columns)), self.dtype)
        for place, layer in enumerate(layers):
            number, page = (layer, 0) if len(self.files) > 1 else (0, layer)
            tiff = self._opened.get(number, partial(TiffFilePages, self.files[number]))
            plane = tiff.plane(page)
            stored = self._decoded(tiff, page, layer, rows, columns) if plane is None else plane[box[1:]]
            block[place] = tiff.as_shown(page, stored)
        return block

    def _decoded(self, tiff: TiffFilePages, page: int, layer: int, rows: range, columns: range) -> np.ndarray:
        height, width = tiff.piece_shape
        across = -(-self.shape[2] // width)
        top, left = rows[0], columns[0]
        part = np.empty((rows[-1] + 1 - top, columns[-1] + 1 - left), self.dtype)
        for down in range(top // height, rows[-1] // height + 1):
            for right in range(left // width, columns[-1] // width + 1):
                number = down * across + right
                piece = self._pieces.get((layer, number), partial(tiff.piece, page, number))
                _paste(piece, (down * height - top, right * width - left), part)
        return part[:: rows.step, :: columns.step]


def _paste(piece: np.ndarray, corner: tuple[int, int], part: np.ndarray) -> None:
    """Copy the overlap of `piece`, whose first pixel is at `corner` of `part` (may be negative), into `part`."""
    (down, right), (height, width) = corner, piece.shape
    y0, y1 = max(down, 0), min(down + height, part.shape[0])
    x0, x1 = max(right, 0), min(right + width, part.shape[1])
    part[y0:y1, x0:x1] = piece[y0 - down : y1 - down, x0 - right : x1 - right]


def _one(_: object) -> int:
    return 1


def _bytes(piece: np.ndarray) -> int:
    return piece.nbytes

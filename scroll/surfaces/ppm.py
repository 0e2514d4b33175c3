"""The per-pixel map of Volume Cartographer (.ppm, not Netpbm): a short text header, then x, y, z and a normal for every pixel.

Source: `PointSetIO.hpp` and `PerPixelMap.cpp` in educelab/volume-cartographer. 48 bytes a pixel, so it is never read whole.
"""

from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scroll.errors import InputError
from scroll.runtime.bounded import plain_file
from scroll.runtime.reading import reads
from scroll.surfaces.lazy_grid import LazyGrid
from scroll.surfaces.surface import INVALID, Surface
from scroll.volumes.masks import ENDINGS, MASK, files_beside, read_beside

UNDERSTANDS = "a .ppm per-pixel map of Volume Cartographer"
HEADER_BYTES = 65536  # of a header with many comments; the usual one has 80
END = b"<>"
VALUES = 6
PIXEL_BYTES = 8 * VALUES
STRIP_ROWS = 64
LARGEST_VOX = 1e9  # what is further out is damage: no volume is so large
EXPECTED = {"dim": "6", "ordered": "true", "type": "double", "version": "1"}
OPTIONAL = {"version"}


def recognises(path: Path) -> bool:
    """Whether `path` is a file called .ppm."""
    return path.is_file() and path.suffix.lower() == ".ppm"


@reads("a whole .ppm")
def open(path: Path) -> Surface:
    """Open a per-pixel map lazily: only the header is read, and of the values what is sliced; a cell is one voxel.

    Points and normals are float64, the normals those of the file, made unit vectors. A pixel is valid where <stem>_mask.png
    beside the file is 255, or, without it, where the six values are not all 0 or all -1; and where they are finite, the
    place within 1e9 voxels.

    Raises:
        InputError: a Netpbm picture, no header, other values than six doubles in rows, a file longer or shorter than it says,
            or (when first sliced) a damaged mask or one of another size.
    """
    height, width, start = _header(path)
    expected, found = start + height * width * PIXEL_BYTES, path.stat().st_size
    if found != expected:
        raise InputError(
            f"{path}: {found} bytes; expected {expected} for {height} rows of {width} pixels after a header of {start}: "
            "copy or download the file again"
        )
    masks = files_beside([path.parent], path.stem, MASK, reserved=[f"{MASK}{ending}" for ending in ENDINGS])
    pixels = PpmPixels(path, (height, width), start, tuple(masks))
    return Surface(
        LazyGrid((height, width, 3), np.dtype(np.float64), partial(_points, pixels)),
        LazyGrid((height, width, 3), np.dtype(np.float64), partial(_normals, pixels)),
        LazyGrid((height, width), np.dtype(bool), pixels.valid),
        (1.0, 1.0),
        path,
    )


def _header(path: Path) -> tuple[int, int, int]:
    """Rows, columns, and the byte where the values begin."""
    with plain_file(path).open("rb") as file:
        head = file.read(HEADER_BYTES)
    if head[:1] == b"P" and head[1:2].isdigit():
        raise InputError(
            f"{path}: a Netpbm picture; expected a per-pixel map of Volume Cartographer: point at the other .ppm"
        )
    header: dict[str, str] = {}
    start = 0
    for line in head.splitlines(keepends=True):
        start += len(line)
        text = line.strip()
        if text == END and line.endswith(b"\n"):
            return _length(path, header, "height"), _length(path, header, "width"), _checked(path, header, start)
        if not text.startswith(b"#"):
            key, _, value = text.decode("latin-1").partition(":")
            header[key.strip()] = value.strip()
    raise InputError(
        f"{path}: no line '<>' in the first {len(head)} bytes; expected it after the header of a per-pixel map: "
        "copy or export the file again"
    )


def _checked(path: Path, header: dict[str, str], start: int) -> int:
    for key, expected in EXPECTED.items():
        found = header.get(key, expected if key in OPTIONAL else "not given")
        if found.lower() != expected:
            raise InputError(
                f"{path}: {key} is {found:.60}; expected {expected}: export it as an ordered map of doubles"
            )
    return start


def _length(path: Path, header: dict[str, str], key: str) -> int:
    found = header.get(key, "not given")
    if not (found.isascii() and found.isdigit() and len(found) < 10 and int(found) > 0):
        raise InputError(f"{path}: {key} is {found:.60}; expected a number of pixels above 0: export the file again")
    return int(found)


@dataclass(frozen=True, eq=False)
class PpmPixels:
    """The values of a map of `shape` (H, W), which begin at byte `start`; `masks` are the files of the mask beside it."""

    path: Path
    shape: tuple[int, int]
    start: int
    masks: tuple[Path, ...]

    def __reduce__(self) -> Any:
        """Without the mask, which another process reads itself."""
        return PpmPixels, (self.path, self.shape, self.start, self.masks)

    def values(self, rows: slice, columns: slice) -> NDArray[np.float64]:
        """(h, w, 6) x, y, z and the normal of a box of pixels, mapped from the file."""
        return np.memmap(self.path, "<f8", "r", self.start, (*self.shape, VALUES))[rows, columns]

    @cached_property
    def mask(self) -> NDArray[np.bool_] | None:
        """(H, W), one byte a pixel, read when first asked for."""
        return read_beside(self.masks, self.shape) if self.masks else None

    def valid(self, rows: slice, columns: slice) -> NDArray[np.bool_]:
        """(h, w) of a box of pixels."""
        values = self.values(rows, columns)
        is_finite = np.isfinite(values).all(axis=-1) & (np.abs(values[..., :3]) < LARGEST_VOX).all(axis=-1)
        if self.mask is not None:
            return np.asarray(is_finite & self.mask[rows, columns])
        is_empty = (values == 0).all(axis=-1) | (values == INVALID).all(axis=-1)
        return np.asarray(is_finite & ~is_empty)


def _points(pixels: PpmPixels, rows: slice, columns: slice) -> NDArray[np.float64]:
    valid = pixels.valid(rows, columns)
    return np.where(valid[..., None], pixels.values(rows, columns)[..., 2::-1], INVALID)


def _normals(pixels: PpmPixels, rows: slice, columns: slice) -> NDArray[np.float64]:
    valid = pixels.valid(rows, columns)
    normals = np.where(valid[..., None], pixels.values(rows, columns)[..., :2:-1], 0)
    longest = np.abs(normals).max(axis=-1, keepdims=True)
    normals = np.divide(
        normals, longest, out=np.zeros_like(normals), where=longest > 0
    )  # squares of 1e200 are infinite
    length = np.linalg.norm(normals, axis=-1, keepdims=True)
    return np.divide(normals, length, out=normals, where=length > 0)

"""The one type that every reader gives: a lazy (Z, Y, X) array, where it came from, and the size of a voxel."""

import math
import mmap
import operator
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from scroll.errors import InputError, UnreadableError
from scroll.volumes.place import NOWHERE_ELSE, Place
from scroll.volumes.url import Url

Slices = tuple[slice, ...]
MOST_VOXELS = 2**62  # none has more than a 64-bit number counts; the largest scroll so far has 2e13
FLIPPED = slice(None, None, -1)


class LazyArray(Protocol):
    """What a reader hands over: it reads only the box of voxels that is asked of it."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Voxels along z, y, x."""

    @property
    def dtype(self) -> Any:
        """The numpy type of a voxel as it is stored."""

    @property
    def __getitem__(self) -> Callable[[Any], Any]:
        """Three slices with positive steps inside the shape -> the (Z, Y, X) block."""


@dataclass(frozen=True, eq=False)
class Volume:
    """A CT volume or a flattened stack, read piece by piece: `volume[z0:z1, y0:y1, x0:x1]`.

    `array` is (Z, Y, X), of any integer or float type, and may lie on disk or on a server; `path` is where, so that
    `open_volume(path)` opens the same voxels; `voxel_um` is the edge of a voxel along z in micrometres, None where
    nothing tells it; `place` is where its voxels lie among those of level 0.

    Raises:
        InputError: the array is not (Z, Y, X), is empty, or holds no numbers; `voxel_um` is no length.
    """

    array: LazyArray
    path: Path | Url
    voxel_um: float | None = None
    place: Place = NOWHERE_ELSE

    def __post_init__(self) -> None:
        shape, dtype = tuple(self.array.shape), np.dtype(self.array.dtype)
        if len(shape) != 3 or 0 in shape:
            raise InputError(f"{self.path}: holds shape {shape}; expected a full (Z, Y, X) volume: point at a 3D array")
        if math.prod(shape) > MOST_VOXELS:
            raise InputError(f"{self.path}: says {shape} voxels; expected at most {MOST_VOXELS}: mend its metadata")
        if dtype.kind not in "uif":
            raise InputError(
                f"{self.path}: holds {dtype} voxels; expected whole or floating numbers: convert to uint8 or uint16"
            )
        if self.voxel_um is not None and not (math.isfinite(self.voxel_um) and self.voxel_um > 0):
            raise InputError(
                f"{self.path}: voxel_um is {self.voxel_um}; expected micrometres above 0, for example 7.91"
            )

    def __repr__(self) -> str:
        """Without the voxels, which may be more than memory holds."""
        return f"Volume({self.shape} {self.dtype}, {str(self.path)!r}, voxel_um={self.voxel_um})"

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along z, y, x."""
        z, y, x = self.array.shape
        return int(z), int(y), int(x)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The numpy type of a voxel, in this machine's byte order."""
        return np.dtype(self.array.dtype).newbyteorder("=")

    def __getitem__(self, key: Any) -> Any:
        """The voxels that numpy's basic index (ints, slices, `...`) names, as an array of one's own; reads no others.

        Raises:
            IndexError: an int outside the shape, more than three axes, or an index that is not basic.
            UnreadableError: what is stored there is damaged.
        """
        box, rest = read_box(key, self.shape)
        if any(part.start == part.stop for part in box):
            lengths = [len(range(part.start, part.stop, part.step)) for part in box]
            return np.empty(lengths, self.dtype)[rest]
        picked = self._read(box)[rest]
        is_view = isinstance(self.array, np.ndarray) or not picked.flags.writeable
        return np.array(picked, dtype=self.dtype, order="C", copy=True if is_view else None)[()]

    def _read(self, box: tuple[slice, ...]) -> np.ndarray:
        try:
            return np.asarray(self.array[box])
        except (InputError, MemoryError):
            raise
        except Exception as error:
            reason = " ".join(str(error).split())[:120] or type(error).__name__
            spans = ", ".join(f"{axis} {part.start}-{part.stop}" for axis, part in zip("zyx", box, strict=True))
            raise UnreadableError(f"{self.path}: {spans} cannot be read ({reason}); copy that part again") from error

    def __reduce__(self) -> Any:
        """A volume mapped from a file travels to another process as the file's name, never as its voxels."""
        mapped = mapped_from(self.array)
        if mapped is None or not isinstance(self.array, np.ndarray) or not self.array.flags.c_contiguous:
            return Volume, (self.array, self.path, self.voxel_um, self.place)
        return _mapped, (*mapped, self.array.dtype, self.array.shape, self.path, self.voxel_um, self.place)


def mapped_from(array: Any) -> tuple[Path, int] | None:
    """The file that an array, or a cut of it, is mapped from, and the byte where it begins; None if it is in memory."""
    root: Any = array
    while isinstance(root, np.ndarray) and not isinstance(root.base, mmap.mmap):
        root = root.base
    if not isinstance(root, np.memmap) or root.filename is None:
        return None
    return Path(root.filename), int(root.offset + array.ctypes.data - root.ctypes.data)


def _mapped(
    file: Path, offset: int, dtype: Any, shape: tuple[int, ...], path: Path | Url, voxel_um: float | None, place: Place
) -> Volume:
    return Volume(np.memmap(file, dtype, "r", offset, shape), path, voxel_um, place)


def read_box(key: Any, shape: tuple[int, ...]) -> tuple[Slices, tuple[int | slice, ...]]:
    """Split a basic index into forward slices inside `shape` to read, and what is left to do to the block read.

    >>> read_box((-1, slice(8, 2, -2)), (5, 10, 20))
    ((slice(4, 5, 1), slice(4, 9, 2), slice(0, 20, 1)), (0, slice(None, None, -1), slice(None, None, None)))
    """
    parts = key if isinstance(key, tuple) else (key,)
    dots = [place for place, part in enumerate(parts) if part is Ellipsis]
    missing = len(shape) - len(parts) + len(dots)
    if missing < 0 or len(dots) > 1:
        raise IndexError(f"index {key!r} does not suit {len(shape)} axes")
    cut = dots[0] if dots else len(parts)
    full = (*parts[:cut], *([slice(None)] * missing), *parts[cut + len(dots) :])
    axes = [_read_axis(part, length, axis) for axis, (part, length) in enumerate(zip(full, shape, strict=True))]
    return tuple(read for read, _ in axes), tuple(rest for _, rest in axes)


def _read_axis(part: Any, length: int, axis: int) -> tuple[slice, int | slice]:
    if isinstance(part, slice):
        picked = range(*part.indices(length))
        if not picked:
            return slice(0, 0, 1), slice(None)
        if picked.step > 0:
            return slice(picked[0], picked[-1] + 1, picked.step), slice(None)
        return slice(picked[-1], picked[0] + 1, -picked.step), FLIPPED
    if isinstance(part, bool | np.bool_) or not hasattr(part, "__index__"):
        raise IndexError(f"a volume takes ints, slices and '...', not {part!r}")
    index = operator.index(part)
    if not -length <= index < length:
        raise IndexError(f"index {index} is out of bounds for axis {axis} with size {length}")
    index %= length
    return slice(index, index + 1, 1), 0

"""numpy files: .npy mapped, .npz (packed, so it cannot be mapped) read into memory whole."""

import io
import math
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from scroll.errors import InputError
from scroll.runtime.bounded import plain_file
from scroll.runtime.reading import reads
from scroll.volumes.volume import Volume
from scroll.volumes.voxel_size import recorded_voxel_um

MOST_BYTES = 2**33  # of a .npz, which is held in memory
MOST_HEADER_BYTES = 2**16
Header = tuple[tuple[int, ...], np.dtype[Any], int]
UNDERSTANDS = "a .npy file, or a .npz file with one 3D array or one named 'volume'"


def recognises(path: Path) -> bool:
    """Whether `path` is a numpy file by name."""
    return path.is_file() and path.suffix.lower() in (".npy", ".npz")


@reads("a whole numpy file")
def open(path: Path, voxel_um: float | None = None) -> Volume:
    """Open a numpy file as a (Z, Y, X) volume: .npy lazily, .npz in memory (meant for small samples).

    Raises:
        InputError: cut off, not a numpy file, Python objects inside, or no single volume in it.
    """
    try:
        array = _unpacked(path) if zipfile.is_zipfile(path) else _mapped(path)
    except InputError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise InputError(
            f"{path}: unreadable ({reason}); expected a whole {path.suffix} of numbers: write or copy it again"
        ) from error
    return Volume(array, path, recorded_voxel_um((), path.name) if voxel_um is None else voxel_um)


@reads("a whole .npy file of numbers")
def mapped(path: Path) -> NDArray[Any]:
    """A .npy file as an array that is mapped, not read.

    Raises:
        InputError: it is not there, cut off, or something else.
    """
    return _mapped(path)


def _mapped(path: Path) -> NDArray[Any]:
    with plain_file(path).open("rb") as file:
        _read_header(file)
    return np.asanyarray(np.load(plain_file(path), mmap_mode="r", allow_pickle=False))


def _unpacked(path: Path) -> NDArray[Any]:
    """The one volume of a .npz: chosen by the headers of its arrays, and unpacked only if it is as large as they say."""
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        headers = {entry.filename.removesuffix(".npy"): _header(archive, entry) for entry in entries}
        if len(headers) < len(entries):
            raise InputError(f"{path}: holds two arrays of one name; expected each once: write it again")
        name = _only_volume(path, {name: header for name, header in headers.items() if header is not None})
        entry = archive.getinfo(f"{name}.npy")
        shape, dtype, start = headers[name] or ((), np.dtype(bool), 0)
        size = math.prod(shape) * dtype.itemsize + start
        if size != entry.file_size or size > MOST_BYTES:
            raise InputError(
                f"{path}: {name} {shape} {dtype} takes {size} bytes, {entry.file_size} are packed; expected the same, and at "
                f"most {MOST_BYTES}: write it again, large ones as .npy, which is mapped"
            )
        with archive.open(entry) as file:
            return np.asarray(np.lib.format.read_array(file, allow_pickle=False))


def _header(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Header | None:
    """Shape, type, and the byte where the numbers begin; None where it is no array."""
    if not entry.filename.endswith(".npy"):
        return None
    with archive.open(entry) as file:
        return _read_header(file)


def _read_header(file: IO[bytes]) -> Header:
    """Shape, type, and the byte where the numbers begin, from no more bytes than a header has.

    Raises:
        ValueError: it is longer, or none.
    """
    begin = io.BytesIO(file.read(MOST_HEADER_BYTES))
    version = np.lib.format.read_magic(begin)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(begin)
    return shape, dtype, begin.tell()


def _only_volume(path: Path, headers: dict[str, Header]) -> str:
    if "volume" in headers:
        return "volume"
    cubes = [name for name, (shape, _, _) in headers.items() if len(shape) == 3]
    if len(cubes) == 1:
        return cubes[0]
    names = ", ".join(f"{name} {shape}" for name, (shape, _, _) in headers.items()) or "nothing"
    raise InputError(f"{path}: holds {names}; expected one 3D array: name the right one 'volume'")

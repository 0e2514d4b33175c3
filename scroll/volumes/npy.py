"""numpy files: .npy mapped, .npz (packed, so it cannot be mapped) read into memory whole."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from scroll.damage import reads
from scroll.errors import InputError
from scroll.volumes.volume import Volume
from scroll.volumes.voxel_size import recorded_voxel_um

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
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        if isinstance(array, np.lib.npyio.NpzFile):
            with array:
                array = _only_volume(path, array)
    except InputError:
        raise
    except (ValueError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{path}: unreadable ({error}); expected a whole {path.suffix} of numbers: write or copy it again"
        ) from error
    return Volume(array, path, recorded_voxel_um((), path.name) if voxel_um is None else voxel_um)


def _only_volume(path: Path, arrays: Any) -> np.ndarray:
    if "volume" in arrays.files:
        return arrays["volume"]
    found = {name: arrays[name] for name in arrays.files}
    cubes = [array for array in found.values() if array.ndim == 3]
    if len(cubes) == 1:
        return cubes[0]
    names = ", ".join(f"{name} {array.shape}" for name, array in found.items()) or "nothing"
    raise InputError(f"{path}: holds {names}; expected one 3D array: name the right one 'volume'")

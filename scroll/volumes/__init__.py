"""Volumes: `open_volume(path)` gives a lazy (Z, Y, X) array with its voxel size, whatever carries it."""

from pathlib import Path
from types import ModuleType

from scroll.errors import InputError, MissingInputError
from scroll.volumes import npy, ome_zarr, tiff_cube, tiff_stack
from scroll.volumes.volume import Volume

READERS: dict[str, ModuleType] = {"ome_zarr": ome_zarr, "tiff_stack": tiff_stack, "tiff_cube": tiff_cube, "npy": npy}


def open_volume(path: str | Path, voxel_um: float | None = None) -> Volume:
    """Open what lies at `path` as a lazy (Z, Y, X) volume; `voxel_um` overrules the size that is written down.

    Raises:
        MissingInputError: nothing is at `path`.
        InputError: no reader understands it, or the one that does finds it broken.
    """
    path = Path(path)
    if not path.exists():
        raise MissingInputError(f"{path}: not there; expected a volume: check the spelling, or download it first")
    for reader in READERS.values():
        if reader.recognises(path):
            volume: Volume = reader.open(path, voxel_um)
            return volume
    known = "; ".join(reader.UNDERSTANDS for reader in READERS.values())
    raise InputError(f"{path}: not a volume that can be read; expected one of: {known}: point at one of these")


def is_volume(path: Path) -> bool:
    """Whether some reader recognises what lies at `path`."""
    return any(reader.recognises(path) for reader in READERS.values())

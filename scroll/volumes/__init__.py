"""Volumes: `open_volume(path)` gives a lazy (Z, Y, X) array with its voxel size, whatever carries it."""

from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from scroll.errors import InputError, MissingInputError
from scroll.runtime.links import refuse_dead_link
from scroll.runtime.reading import reading
from scroll.volumes import npy, ome_zarr
from scroll.volumes.tiff import cube as tiff_cube
from scroll.volumes.tiff import stack as tiff_stack
from scroll.volumes.url import Url, path_or_url
from scroll.volumes.volume import Volume

if TYPE_CHECKING:
    from scroll.volumes.remote import RemoteSettings

READERS: dict[str, ModuleType] = {"ome_zarr": ome_zarr, "tiff_stack": tiff_stack, "tiff_cube": tiff_cube, "npy": npy}


def open_volume(path: str | Path, voxel_um: float | None = None, remote: "RemoteSettings | None" = None) -> Volume:
    """Open what is at `path` as a lazy (Z, Y, X) volume; `voxel_um` overrules the size that is written down.

    A `path` that begins with http://, https:// or s3:// is a zarr on a server, read as `remote` says; nothing else
    touches the network. Coarser levels: `ome_zarr.open(path, level=2)`.

    Raises:
        MissingInputError: nothing is at `path`.
        InputError: no reader understands it, or the one that does finds it broken, or its server does not answer.
    """
    path = path_or_url(path)
    if isinstance(path, Url):
        return ome_zarr.open(path, voxel_um, remote=remote)
    with reading(path, "a volume", "copy or write it again"):
        if not refuse_dead_link(path).exists():
            raise MissingInputError(f"{path}: not there; expected a volume: check the spelling, or download it first")
        for reader in READERS.values():
            if reader.recognises(path):
                volume: Volume = reader.open(path, voxel_um)
                return volume
    known = "; ".join(reader.UNDERSTANDS for reader in READERS.values())
    raise InputError(f"{path}: not a volume that can be read; expected one of: {known}: point at one of these")


def is_volume(path: str | Path) -> bool:
    """Whether some reader recognises what is at `path`; an address is taken for a volume, and no server asked."""
    path = path_or_url(path)
    return isinstance(path, Url) or any(reader.recognises(path) for reader in READERS.values())

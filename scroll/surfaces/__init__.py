"""Surfaces: `open_surface(path)` gives a grid of points on a sheet with normals and a valid mask, whatever carries it."""

from pathlib import Path
from types import ModuleType

from scroll.errors import InputError, MissingInputError
from scroll.runtime.links import refuse_dead_link
from scroll.runtime.reading import reading
from scroll.surfaces import layer_stack, obj, ppm, tifxyz
from scroll.surfaces.surface import Surface
from scroll.volumes.url import Url, path_or_url

READERS: dict[str, ModuleType] = {"tifxyz": tifxyz, "ppm": ppm, "obj": obj, "layer_stack": layer_stack}


def open_surface(path: str | Path) -> Surface:
    """Open what is at `path` as a surface in voxels of level 0; the first reader that recognises it opens it.

    Finer or coarser grids from a mesh: `obj.open(path, cell_vox=2)`.

    Raises:
        MissingInputError: nothing is at `path`.
        InputError: no reader understands it, or the one that does finds it broken, or it is the address of a server.
    """
    path = path_or_url(path)
    if isinstance(path, Url):
        raise InputError(f"{path}: surfaces are read from disk; expected a path: download it first")
    with reading(path, "a surface", "copy or write it again"):
        if not refuse_dead_link(path).exists():
            raise MissingInputError(f"{path}: not there; expected a surface: check the spelling, or download it first")
        for reader in READERS.values():
            if reader.recognises(path):
                surface: Surface = reader.open(path)
                return surface
    known = "; ".join(reader.UNDERSTANDS for reader in READERS.values())
    raise InputError(f"{path}: not a surface that can be read; expected one of: {known}: point at one of these")

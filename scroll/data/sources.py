"""Where the CT of a sheet is when it is no TIFF in the sheet's own folder: a zarr there, or a line in a file that names one."""

import warnings
from functools import partial
from pathlib import Path

from scroll.config.schema import DataSettings
from scroll.errors import InputError, MissingInputError
from scroll.runtime.bounded import read_text
from scroll.runtime.files import read_mapping
from scroll.runtime.links import refuse_dead_link
from scroll.runtime.reading import reading
from scroll.runtime.receipt import FETCHED
from scroll.runtime.scroll_names import LAYERS_SOURCE, scroll_name
from scroll.volumes import ome_zarr
from scroll.volumes.disk_cache import DiskCache
from scroll.volumes.opened_level import open_level
from scroll.volumes.place import check_cubes
from scroll.volumes.pooling import RAW_MB, coarsest, pooled
from scroll.volumes.tiff.stack import STACK_NAMES
from scroll.volumes.url import SCHEMES, Url, path_or_url
from scroll.volumes.volume import Volume

REVERSED = "reversed"
STACK_ZARRS = ("surface-volume.zarr", "surface_volume.zarr")
MOST_BYTES = 2**16
GIB = 2**30


def source_said_in(file: Path, whose: str) -> str | None:
    """The path or URL written in a file, spelled the same whoever asks; None where the file is not there.

    Raises:
        MissingInputError: it is empty; `whose` ends the sentence on what to write.
        InputError: not a line of text.
    """
    lines = _lines(file, whose)
    if lines is None:
        return None
    if len(lines) > 1:
        raise InputError(
            f"{file}: has {len(lines)} lines; expected one, the path or URL of an OME-Zarr: write it again"
        )
    return spelled(lines[0], file.parent)


def _lines(file: Path, whose: str) -> list[str] | None:
    if not refuse_dead_link(file).exists():
        return None
    with reading(file, "the path or URL of an OME-Zarr, in UTF-8", "write it again"):
        lines = read_text(file, MOST_BYTES).strip().splitlines()
        for line in lines:
            if not line.isprintable():
                raise ValueError(f"{line!r} holds signs that no path has")
    if not lines:
        raise MissingInputError(f"{file}: empty; write the path or URL {whose} into it")
    return [line.strip() for line in lines]


def stack_said_in(folder: Path) -> tuple[str, bool] | None:
    """Where the layers of a fragment are by the file beside them, and whether they run the other way than those of the rest.

    The direction belongs to the array: two renders of one segment may run opposite ways. A second line says `reversed`.

    Raises:
        MissingInputError: the file is empty.
        InputError: it holds something else.
    """
    file = folder / LAYERS_SOURCE
    lines = _lines(file, "of the segment's surface volume, an OME-Zarr,")
    if lines is None:
        return None
    if lines[1:] not in ([], [REVERSED]):
        raise InputError(
            f"{file}: says {', '.join(lines[1:])!r} after the address; expected nothing more, or the line '{REVERSED}' where layer 0 "
            "is the one that is last in the other stacks"
        )
    return spelled(lines[0], folder), len(lines) > 1


def spelled(place: str, beside: Path) -> str:
    """A path (relative to the folder `beside`) or an address, always spelled the same.

    Raises:
        InputError: an address that is not read.
    """
    if "://" in place:
        if place.partition("://")[0].lower() not in SCHEMES:
            raise InputError(
                f"{place}: not an address that is read; expected one that begins with {', '.join(SCHEMES)}"
            )
        return place.rstrip("/") if "://" in place.rstrip("/") else place
    return str((beside / place).resolve())


def scroll_said_in(folder: Path) -> str:
    """Which scroll a sheet is of, by the line "scroll" of the catalogue.json in its folder; "" where nothing says so.

    Raises:
        InputError: the file is there and no such JSON.
    """
    file = folder / FETCHED
    if not file.is_file():
        return ""
    hint = 'add the sheet from the catalogue again, or write {"scroll": NAME} into it'
    return scroll_name(str(read_mapping(file, hint, scroll=str)["scroll"]))


def chunks_on_disk(data: DataSettings) -> DiskCache | None:
    """Where a run keeps what it fetches over a network; None where it is to keep nothing."""
    return DiskCache(data.cache_dir / "chunks", int(data.cache_gb * GIB)) if data.cache_gb else None


def zarr_of(folder: Path, sheet_id: str) -> str | None:
    """Path or address of the OME-Zarr with the layers of a fragment; None where they are no zarr.

    That is `folder` itself, or what a file in it names, or a zarr in it under a usual name or its own.

    Raises:
        InputError: there are several stacks.
    """
    place = path_or_url(folder)
    if isinstance(place, Url):
        return str(place)
    if ome_zarr.recognises(folder):
        return str(folder.resolve())
    named, _ = stack_said_in(folder) or (None, False)
    there = [folder / name for name in (*STACK_ZARRS, f"{sheet_id}.zarr") if refuse_dead_link(folder / name).is_dir()]
    found = sorted({*(str(path.resolve()) for path in there), *([named] if named is not None else [])})
    layers = [str(folder / name) for name in STACK_NAMES if (folder / name).is_dir()]
    if len(found) + len(layers) > 1 and found:
        raise InputError(
            f"{folder}: its layers are {' and '.join([*found, *layers])}; expected one stack: move away what is not meant"
        )
    return found[0] if found else None


def open_stack_level(source: str, data: DataSettings, level: int = 0) -> Volume:
    """A level of the layers in an OME-Zarr, read piece by piece.

    Raises:
        InputError: not readable, no such level, or its voxels are no cubes.
    """
    is_kept_as_it_is = data.pool == 1 and isinstance(path_or_url(source), Url)
    cache_mb = data.cache_mb if is_kept_as_it_is else RAW_MB
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*nothing tells the voxel size")  # the settings do
        volume = open_level(source, level, cache_mb, data.voxel_um, chunks_on_disk(data))
    check_cubes(source, volume.place, is_level_even=False)
    return volume


def open_pooled(source: str, data: DataSettings) -> Volume:
    """The same layers with voxels of `data.pool` of theirs, made from the level that `data.pool_from` says.

    Raises:
        InputError: not readable, its voxels are no cubes, or those of that level do not go into `data.pool`.
    """
    finest, level = open_stack_level(source, data), data.pool_from
    open_at = partial(open_stack_level, source, data)
    return pooled(coarsest(open_at, data.pool) if level == "coarsest" else open_at(level), data.pool, finest)

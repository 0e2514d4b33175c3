"""A raw copy of the layers one works with, made once and mapped ever after: random patches cost what memory costs."""

import hashlib
import itertools
import json
import math
import re
import shutil
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from functools import lru_cache
from io import BufferedWriter
from pathlib import Path
from typing import Any

import numpy as np

from scroll.errors import InputError
from scroll.runtime.content import as_it_is, contents_of
from scroll.runtime.files import kept_json, write_sealed, written_aside
from scroll.runtime.manifest import file_sum
from scroll.runtime.picture_meaning import meanings_of
from scroll.runtime.progress import progress
from scroll.volumes import npy
from scroll.volumes.binning import block_mean
from scroll.volumes.tiff.pages import OPEN_FILES, TiffPages
from scroll.volumes.url import Url
from scroll.volumes.volume import LazyArray, Volume, mapped_from

COPY = "copy"  # the line of the JSON with size and checksum of the copy
STRIP_BYTES = 64 * 2**20


@dataclass(frozen=True)
class _Plan:
    """Which layers of the source, how many pixels to a block, and the shape (Z, Y, X) that this gives."""

    layers: tuple[int, int]
    bin_yx: int
    shape: tuple[int, int, int]


def working_copy(
    volume: Volume, folder: Path, layers: tuple[int, int], bin_yx: int = 1, is_shown: bool = True
) -> Volume:
    """Layers [start, stop) of `volume`, binned by `bin_yx` in y and x, as an uncompressed memory-mapped volume.

    The result is (stop - start, ceil(Y / bin_yx), ceil(X / bin_yx)), of the source's type: means over blocks, rounded
    to nearest; at the far edge over the pixels that are there. `voxel_um` stays, for it is the size along z: in the
    plane a pixel is `bin_yx` times larger. The copy is kept in `folder` under a name made of the source's path, sizes and
    contents (as `scroll.runtime.content` knows them), the layers and the bin, so that asking again costs little and a changed source is
    copied again; so is a copy that is not what its checksum says, which is looked at once in a process.

    With `bin_yx` 1 a .npy, or a stack of few uncompressed TIFF layers, is handed back cut to the layers, not copied: a
    random patch from it costs 1 to 2 times what a raw memory map costs. From a zarr it costs 8 to 30 times that, from
    packed TIFF hundreds of times (`scripts/bench.py storage`), so those are copied even then. `is_shown`: with progress.

    Raises:
        InputError: no such layers, no room on the disk, or a NaN or infinite voxel in these layers.
    """
    start, stop = layers
    if not 0 <= start < stop <= volume.shape[0]:
        raise InputError(
            f"{volume.path}: has layers 0 to {volume.shape[0]}; expected start < stop inside, not {start} to {stop}"
        )
    if bin_yx < 1:
        raise InputError(f"{volume.path}: bin_yx is {bin_yx}; expected 1 (keep every pixel), 2, 4, ...")
    plan = _Plan(layers, bin_yx, (stop - start, *(-(-length // bin_yx) for length in volume.shape[1:])))  # type: ignore[arg-type]
    as_is = _cut(volume, plan) if bin_yx == 1 else None
    if as_is is not None:
        return Volume(as_is, volume.path, volume.voxel_um)
    request = _request(volume, plan)
    name = re.sub(r"\.(zarr|tiff?|np[yz])$", "", volume.path.name)  # no stem: "54keV_7.91um" has a dot and no ending
    path = folder / f"{name}-{_digest(request)}.npy"
    _take_over(folder / f"{name}-{_digest(_request(volume, plan, is_before=True))}.npy", path)
    mapped = _kept(path)
    if mapped is None:
        _check_room(path, volume, plan)
        _write(volume, plan, path, is_shown)
        about = request | {"axes": "zyx", "voxel_um": volume.voxel_um, COPY: file_sum(path)}
        write_sealed(path.with_suffix(".json"), about)
        mapped = npy.mapped(path)
    return Volume(mapped, path, volume.voxel_um)


def _cut(volume: Volume, plan: _Plan) -> LazyArray | None:
    """The layers of a source that is as quick as a copy of it would be; None for other sources."""
    array, (start, stop) = volume.array, plan.layers
    if isinstance(array, np.ndarray) and array.flags.c_contiguous and array.dtype.isnative:
        for z, rows, _ in _strips(volume, plan) if array.dtype.kind == "f" else ():
            _check_finite(volume, volume[z.start : z.stop, rows.start : rows.stop], z.start, rows.start)
        return array[start:stop]
    if isinstance(array, TiffPages) and array.is_raw and len(array.files) > 1 and stop - start <= OPEN_FILES:
        return array.layers(start, stop)
    return None


def _take_over(before: Path, path: Path) -> None:
    """Give a copy the name that it has today, where it was made when sources were known by their times, which still fit."""
    if before.exists() and not path.exists():
        for file in (before.with_suffix(".json"), before):
            if file.exists():
                file.rename(path.with_suffix(file.suffix))


def _request(volume: Volume, plan: _Plan, is_before: bool = False) -> dict[str, object]:
    """All that the copy depends on, small enough to be read by a human beside it; as it was before contents were known."""
    source, files, states = _remote_source(volume.path) if isinstance(volume.path, Url) else _source(volume, is_before)
    return {
        "source": source,
        "source_files": files,
        "source_state": _digest([states, _part(volume.array)]),
        "source_shape": list(volume.shape),
        "dtype": str(volume.dtype),
        "layers": list(plan.layers),
        "bin_yx": plan.bin_yx,
    }


def _source(volume: Volume, is_before: bool) -> tuple[str, int, list[Any]]:
    """Where the source is, its number of files, and their names and contents (before: sizes and times)."""
    root = Path(volume.path).resolve()
    pages = volume.array.files if isinstance(volume.array, TiffPages) else None
    files = pages or sorted(file for file in (root, *root.rglob("*")) if file.is_file())
    meanings = sorted({number for found in meanings_of(files) for number in found})
    if not is_before:
        return str(root), len(files), [[str(file.resolve()) for file in files], contents_of(files), *meanings]
    states = [(str(file.resolve()), (state := file.stat()).st_size, state.st_mtime_ns) for file in files]
    return str(root), len(files), [*states, *meanings]


def _remote_source(url: Url) -> tuple[str, int, list[Any]]:
    """A server's files are not looked through: its metadata stands for them."""
    from scroll.volumes.remote import state

    return str(url), 0, [state(url)]


def _part(array: Any) -> Any:
    """Which part of its source an array is: two cuts of one file may have the same shape."""
    if not isinstance(array, np.ndarray):
        return None  # a zarr level has a path of its own, and layers are files
    mapped = mapped_from(array)
    return hashlib.sha256(array.tobytes()).hexdigest() if mapped is None else [mapped[1], array.strides]


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


def _kept(path: Path) -> np.ndarray | None:
    """The copy made before; None where there is none, or one that something else cut off or changed."""
    try:
        kept = npy.mapped(path)
    except InputError:
        return None
    return kept if is_as_written(path) else None


def is_as_written(path: Path) -> bool:
    """Whether a copy is what the checksum beside it says, looked at once in a process while it stays as it is.

    Copies made before there were any are taken as they are.
    """
    return _is_as_written(path, *as_it_is(path))


@lru_cache(maxsize=2**12)
def _is_as_written(path: Path, *_: int) -> bool:
    was = kept_json(path.with_suffix(".json"), "copied").get(COPY)
    return was is None or list(file_sum(path)) == was


def _check_room(path: Path, volume: Volume, plan: _Plan) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    needed = math.prod(plan.shape) * volume.dtype.itemsize
    free = shutil.disk_usage(path.parent).free
    if needed > free:
        raise InputError(
            f"{path.parent}: {free / 2**30:.1f} GiB free; expected {needed / 2**30:.1f} GiB for the working copy of "
            f"{volume.path}: free some space, take fewer layers, a larger bin_yx, or a folder on another disk"
        )


def _write(volume: Volume, plan: _Plan, path: Path, is_shown: bool) -> None:
    """Fill the file strip by strip with plain writes: a full disk is then an error, which under a mapping it is not."""
    header = {"descr": np.lib.format.dtype_to_descr(volume.dtype), "fortran_order": False, "shape": plan.shape}
    strips = list(_strips(volume, plan))
    bar = progress("working copy", len(strips), "strip") if is_shown else nullcontext(lambda n=1, note="": None)
    with (
        written_aside(path) as aside,
        aside.open("wb") as file,
        bar as advance,
    ):
        np.lib.format.write_array_header_2_0(file, header)
        first = file.tell()
        for z, rows, out_row in strips:
            block = volume[z.start : z.stop, rows.start : rows.stop]
            _check_finite(volume, block, z.start, rows.start)
            _place(
                file, first, block_mean(block, (1, plan.bin_yx, plan.bin_yx)), (z.start - plan.layers[0], out_row), plan
            )
            advance(note=f"layer {z.stop - plan.layers[0]}/{plan.shape[0]}")


def _place(file: BufferedWriter, first: int, block: np.ndarray, corner: tuple[int, int], plan: _Plan) -> None:
    """Write full rows (Z, Y, X) at layer and row `corner` of the array that begins at byte `first`."""
    _, height, width = plan.shape
    for layer, plane in enumerate(block, start=corner[0]):
        file.seek(first + (layer * height + corner[1]) * width * block.itemsize)
        file.write(np.ascontiguousarray(plane).data)


def _strips(volume: Volume, plan: _Plan) -> Iterator[tuple[range, range, int]]:
    """(layers, rows, first row in the copy) of pieces of about STRIP_BYTES; no chunk or block is cut in rows."""
    _, height, width = volume.shape
    chunk_z, chunk_y = _chunks(volume.array)
    step = math.lcm(chunk_y, plan.bin_yx)
    step *= max(1, STRIP_BYTES // (chunk_z * step * width * volume.dtype.itemsize))
    start, stop = plan.layers
    edges = [start, *range((start // chunk_z + 1) * chunk_z, stop, chunk_z), stop]
    for low, high in itertools.pairwise(edges):
        for row in range(0, height, step):
            yield range(low, high), range(row, min(row + step, height)), row // plan.bin_yx


def _chunks(array: Any) -> tuple[int, int]:
    """Layers and rows that the source stores, and so must read, together."""
    chunks = getattr(array, "shards", None) or getattr(array, "chunks", None) or (1, 1, 1)
    return int(chunks[0]), int(chunks[1])


def _check_finite(volume: Volume, block: np.ndarray, layer: int, row: int) -> None:
    if block.dtype.kind != "f":
        return
    bad = ~np.isfinite(block)
    if bad.any():
        z, y, x = (int(place) for place in np.unravel_index(int(bad.argmax()), bad.shape))
        raise InputError(
            f"{volume.path}: voxel (z {z + layer}, y {y + row}, x {x}) is {block[z, y, x]}; expected finite numbers: "
            "replace NaN and infinity in the source, for example by 0"
        )

"""OME-Zarr 0.4 (Zarr v2) and 0.5 (Zarr v3, also sharded), and plain zarr arrays: reading, and making new ones."""

import itertools
import math
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from scroll.errors import InputError, MissingInputError
from scroll.runtime.files import final_name
from scroll.runtime.progress import progress
from scroll.runtime.reading import reads
from scroll.volumes.binning import block_mean
from scroll.volumes.both_formats import check_formats_agree
from scroll.volumes.chunk_files import check_chunk_files
from scroll.volumes.multiscales import SPACE, entries_of, read_multiscales
from scroll.volumes.own_level import pyramid_of
from scroll.volumes.recorded import channel_names, level_0_um, place_at
from scroll.volumes.url import Url, path_or_url
from scroll.volumes.volume import Volume
from scroll.volumes.wrapped import axes_of, image_in, natural, spatial

if TYPE_CHECKING:
    from scroll.volumes.remote import RemoteSettings

UNDERSTANDS = (
    "a zarr folder (OME-Zarr 0.4 or 0.5, or one plain array), or the http://, https:// or s3:// address of one"
)
METADATA = (".zgroup", ".zarray", ".zattrs", "zarr.json")


def recognises(path: Path | Url) -> bool:
    """Whether `path` is a folder with zarr metadata, or is called .zarr, or is an address; asks no server."""
    if isinstance(path, Url):
        return True
    return path.is_dir() and (path.suffix == ".zarr" or any((path / name).is_file() for name in METADATA))


@reads("a whole zarr")
def open(
    path: str | Path,
    voxel_um: float | None = None,
    level: int = 0,
    remote: "RemoteSettings | None" = None,
    expected_um: float | None = None,
) -> Volume:
    """Open one level of a (Z, Y, X) zarr lazily; chunks that are absent read as the fill value.

    `voxel_um` is the size at the level opened. Not given, it is taken from what is written beside the data, a scale with
    a unit, or the name; the scales 1, 2, 4, ... that many writers put there are no sizes. Where two of them contradict each
    other, `expected_um` (of level 0) says which is right. Axes of time and channel of length 1 are left out. A `path`
    that begins with http://, https:// or s3:// is read over the network as `remote` says, a chunk at a time through a cache
    bounded in bytes. A level given by its own path, such as x.zarr/1, is where its pyramid says; `voxel_um` is its own.

    Raises:
        MissingInputError: no such level.
        InputError: broken metadata, axes in another order than z, y, x, or no 3D array; sizes or levels that contradict
            each other; no answer from the server.

    Warns:
        UserWarning: nothing tells the voxel size, which is None then; or sizes or steps are given that contradict each other.
    """
    path = path_or_url(path)
    group, array = _open_level(path, level, remote=remote)
    whole = pyramid_of(path, remote) if group is None else None
    if whole is not None:
        return replace(open(whole[0], voxel_um, whole[1], remote, expected_um), path=path)
    check_formats_agree(path, array)
    check_chunk_files(path, array)
    image = None if group is None else read_multiscales(path, group.attrs.asdict())
    axes = axes_of(path, array, image)
    if image is not None and axes and not image.axes:
        image = replace(image, axes=axes, units=("",) * len(axes))
    finest = array if level == 0 else group.get(_level_names(path, group)[0])
    if finest is not None and finest.dtype != array.dtype:
        raise InputError(
            f"{path}: level {level} holds {array.dtype}, level 0 {finest.dtype}; expected levels of one volume: make the pyramid again"
        )
    place = place_at(path, (array, finest), image, level, axes)
    if place.contradiction:
        warnings.warn(place.contradiction, stacklevel=2)
    own_path = path if level == 0 else path / array.path
    spaces = spatial(path, array, axes, channel_names(group))
    if voxel_um is None:
        voxel_um = level_0_um(path, (group, array), image, expected_um)
        voxel_um = None if voxel_um is None else voxel_um * place.step[0]
    return Volume(_kept_in_memory(spaces) if isinstance(path, Url) else spaces, own_path, voxel_um, place)


@reads("a whole zarr")
def open_array(
    path: str | Path, level: int = 0, mode: Literal["r", "r+"] = "r", remote: "RemoteSettings | None" = None
) -> Any:
    """One level as a `zarr.Array` of whatever axes, such as (C, Y, X); mode "r+" to go on writing an unfinished one.

    What is read over the network this way is read again each time; `open` keeps what it read.

    Raises:
        MissingInputError: nothing there, or no such level.
        InputError: broken metadata, mode "r+" for an address, or no answer from the server.
    """
    return _open_level(path_or_url(path), level, mode, remote)[1]


@reads("a whole zarr")
def read_attributes(path: str | Path, remote: "RemoteSettings | None" = None) -> dict[str, object]:
    """What is written beside the levels of a zarr; empty for a plain array.

    Raises:
        MissingInputError: nothing there, or no level in it.
        InputError: broken metadata, or no answer from the server.
    """
    group, _ = _open_level(path_or_url(path), 0, remote=remote)
    return {} if group is None else dict(group.attrs.asdict())


def create_ome_zarr(
    path: Path,
    shape: Sequence[int],
    dtype: Any,
    chunks: Sequence[int],
    voxel_um: float | None,
    axes: str = SPACE,
    version: Literal["0.4", "0.5"] = "0.4",
    shards: Sequence[int] | None = None,
    fill_value: float = 0,
    bin_yx: int = 1,
    begin_um: Sequence[float] = (),
) -> Any:
    """Make an OME-Zarr with an empty level 0 and return its `zarr.Array`, to be written piece by piece.

    In the metadata it has the name that it will have, where `path` is written aside.
    `axes` names the axes of `shape`: letters of "tczyx" in that order, so (C, Y, X) is "cyx" and (C, N, Y, X) with N
    offsets along the normal is "czyx". `voxel_um` is the edge along z; along y and x it is `bin_yx` times that.
    `begin_um` (z, y, x) is where the first voxel of a cut-out is centred, in micrometres from that of its scroll. Chunks
    that hold only `fill_value` are not stored. Two writers must never share a chunk (with `shards`, which need version
    0.5: a shard). Chunks larger than the shape are cut to it.

    Raises:
        InputError: something is at `path` already.
        ValueError: axes, shape and chunks do not fit together, or shards with version 0.4.
    """
    import zarr

    in_order = "".join(axis for axis in "tczyx" if axis in axes)
    if axes != in_order or not len(axes) == len(shape) == len(chunks):
        raise ValueError(
            f"axes {axes!r}, shape {tuple(shape)} and chunks {tuple(chunks)} must fit, axes in the order of 'tczyx'"
        )
    if shards is not None and version != "0.5":
        raise ValueError(f"shards need version 0.5, got {version}")
    if path.exists():
        raise InputError(f"{path}: is there already; expected a new name: delete it, or give another one")
    attributes: dict[str, object] = {} if voxel_um is None else {"voxelsize": voxel_um}
    if bin_yx != 1:
        attributes["bin_yx"] = bin_yx
    entry = _multiscales(final_name(path).removesuffix(".zarr"), axes, voxel_um, bin_yx, 1, version, begin_um)
    ome = {"version": version, "multiscales": [entry]}
    attributes |= {"multiscales": ome["multiscales"]} if version == "0.4" else {"ome": ome}
    group = zarr.create_group(path, zarr_format=2 if version == "0.4" else 3, attributes=attributes)
    if shards is None:
        chunks = [min(chunk, length) for chunk, length in zip(chunks, shape, strict=True)]
    return _create_level(group, "0", shape, dtype, chunks, shards, fill_value, axes)


def _create_level(
    group: Any, name: str, shape: Sequence[int], dtype: Any, chunks: Any, shards: Any, fill_value: Any, axes: str
) -> Any:
    is_v2 = group.metadata.zarr_format == 2
    return group.create_array(
        name,
        shape=tuple(shape),
        dtype=dtype,
        chunks=tuple(chunks),
        shards=None if shards is None else tuple(shards),
        compressors=_compressors(is_v2),
        fill_value=fill_value,
        chunk_key_encoding={"name": "v2" if is_v2 else "default", "separator": "/"},
        dimension_names=None if is_v2 else [*axes],
        config={"write_empty_chunks": False},
    )


def _compressors(is_v2: bool) -> Any:
    """zstd at level 1: CT noise does not pack, and emptiness packs at any level. Version 0.5 adds a checksum to each chunk:
    zstd does not notice every wrong bit, and what reads Zarr v2 for scrolls knows no checksum."""
    if is_v2:
        from numcodecs import Blosc  # type: ignore[import-untyped]

        return Blosc(cname="zstd", clevel=1, shuffle=Blosc.SHUFFLE)
    from zarr.codecs import BloscCodec, Crc32cCodec

    return [BloscCodec(cname="zstd", clevel=1, shuffle="shuffle"), Crc32cCodec()]


def _multiscales(
    name: str,
    axes: str,
    voxel_um: float | None,
    bin_yx: int,
    levels: int,
    version: str,
    begin_um: Sequence[float] = (),
) -> dict[str, object]:
    """The `multiscales` entry: each level halves z, y and x by means, so its first voxel's centre moves inwards."""
    unit = {} if voxel_um is None else {"unit": "micrometer"}
    kinds = {"t": {"type": "time"}, "c": {"type": "channel"}}
    datasets = []
    for level in range(levels):
        step = (voxel_um or 1.0) * 2**level
        shift = (step - (voxel_um or 1.0)) / 2
        bins = {"z": 1, "y": bin_yx, "x": bin_yx}
        moves: list[dict[str, object]] = [
            {"type": "scale", "scale": [step * bins[axis] if axis in SPACE else 1.0 for axis in axes]}
        ]
        if level or any(begin_um):
            begins = dict(zip(SPACE, begin_um or (0.0, 0.0, 0.0), strict=True))
            shifts = [begins[axis] + shift * bins[axis] if axis in SPACE else 0.0 for axis in axes]
            moves.append({"type": "translation", "translation": shifts})
        datasets.append({"path": str(level), "coordinateTransformations": moves})
    described = [{"name": axis, **kinds.get(axis, {"type": "space", **unit})} for axis in axes]
    return {**({"version": version} if version == "0.4" else {}), "name": name, "axes": described, "datasets": datasets}


def write_pyramid(path: Path, levels: int) -> None:
    """Add levels 1 to `levels - 1` to an OME-Zarr made by `create_ome_zarr`: 2x2x2 means, channels kept apart.

    Raises:
        InputError: `path` has no level 0, or has more levels already.
    """
    group, arrays, factors = _with_empty_levels(path, levels)
    for number, (finer, coarser) in enumerate(itertools.pairwise(arrays), start=1):
        _fill(coarser, finer, factors, label=f"level {number}")
    _describe_levels(group, levels)


def add_empty_levels(path: Path, levels: int) -> None:
    """The same with nothing in them yet, to be filled piece by piece.

    Raises:
        InputError: `path` has no level 0, or has more levels already.
    """
    group, _, _ = _with_empty_levels(path, levels)
    _describe_levels(group, levels)


def _with_empty_levels(path: Path, levels: int) -> tuple[Any, list[Any], list[int]]:
    """(group, its arrays from level 0 on, how many voxels of one level become one of the next along each axis)."""
    group, finest = _open_level(path, 0, "r+")
    entry = _entry(group)
    if entry is None or len(entry["datasets"]) != 1:
        raise InputError(f"{path}: has no multiscales with level 0 alone; expected one fresh from create_ome_zarr")
    axes = "".join(axis["name"] for axis in entry["axes"])
    factors = [2 if axis in SPACE else 1 for axis in axes]
    arrays = [finest]
    for level in range(1, levels):
        finer = arrays[-1]
        shape = [-(-length // factor) for length, factor in zip(finer.shape, factors, strict=True)]
        shards = finer.shards
        chunks = finer.chunks if shards else [min(pair) for pair in zip(finer.chunks, shape, strict=True)]
        arrays.append(_create_level(group, str(level), shape, finer.dtype, chunks, shards, finer.fill_value, axes))
    return group, arrays, factors


def _describe_levels(group: Any, levels: int) -> None:
    """Write down that there are so many."""
    attributes, entry = group.attrs.asdict(), _entry(group) or {}
    version = "0.4" if "multiscales" in attributes else "0.5"
    axes = "".join(axis["name"] for axis in entry["axes"])
    begin_um = _begin_um(entry, axes)
    entry = _multiscales(
        entry.get("name", ""), axes, attributes.get("voxelsize"), attributes.get("bin_yx", 1), levels, version, begin_um
    )
    group.attrs.update(
        {"multiscales": [entry]} if version == "0.4" else {"ome": {**attributes["ome"], "multiscales": [entry]}}
    )


def _begin_um(entry: dict[str, Any], axes: str) -> list[float]:
    """What `create_ome_zarr` was given."""
    moves = {move["type"]: move for move in entry["datasets"][0]["coordinateTransformations"]}
    if "translation" not in moves:
        return []
    along = dict(zip(axes, moves["translation"]["translation"], strict=True))
    return [along.get(axis, 0.0) for axis in SPACE]


def _fill(coarser: Any, finer: Any, factors: Sequence[int], label: str) -> None:
    """Write the block means of `finer` to `coarser`, one stored piece (shard or chunk) at a time."""
    pieces = coarser.shards or coarser.chunks
    steps = [range(0, length, piece) for length, piece in zip(coarser.shape, pieces, strict=True)]
    with progress(label, math.prod(map(len, steps)), "chunk") as advance:
        for corner in itertools.product(*steps):
            box = tuple(slice(at, at + piece) for at, piece in zip(corner, pieces, strict=True))
            wide = tuple(slice(part.start * f, part.stop * f) for part, f in zip(box, factors, strict=True))
            coarser[box] = block_mean(finer[wide], factors)
            advance()


def _open_level(
    path: Path | Url, level: int, mode: Literal["r", "r+"] = "r", remote: "RemoteSettings | None" = None
) -> tuple[Any, Any]:
    """(group or None for a plain array, array of one level)."""
    import zarr

    if isinstance(path, Path) and not path.is_dir():
        raise MissingInputError(f"{path}: not there; expected a zarr folder: check the spelling, or make it first")
    try:
        if isinstance(path, Path) and not any((path / name).is_file() for name in METADATA if name != ".zattrs"):
            raise ValueError("no .zgroup, .zarray or zarr.json in it")
        opened = zarr.open(
            _store(path, mode, remote), mode=mode, use_consolidated=False
        )  # a copy, which may be of before
        return _pick(path, opened, level)
    except InputError:
        raise
    except FileNotFoundError as error:  # zarr's, of a store that it cannot look into beforehand
        raise MissingInputError(
            f"{path}: no .zgroup, .zarray or zarr.json there; expected a zarr: check the spelling"
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(
            f"{path}: unreadable as zarr ({reason}); expected whole metadata: copy or write it again"
        ) from error


def _pick(path: Path | Url, opened: Any, level: int) -> tuple[Any, Any]:
    """(group or None for a plain array, array of one level) of what zarr opened."""
    if hasattr(opened, "shape"):
        if level == 0:
            return None, opened
        raise MissingInputError(f"{path}: one plain array; expected level {level}: ask for level 0")
    opened = image_in(path, opened)
    names = _level_names(path, opened)
    array = opened.get(names[level]) if 0 <= level < len(names) else None
    if not hasattr(array, "shape"):
        found = ", ".join(_array_names(opened)) or "none"
        raise MissingInputError(
            f"{path}: arrays in it: {found}; expected level {level}: ask for another, or copy it again"
        )
    return opened, array


def _level_names(path: Path | Url, group: Any) -> list[str]:
    image = read_multiscales(path, group.attrs.asdict())
    names = _array_names(group) if image is None else [level.path for level in image.levels]
    if names and names[0] != "0" and all(name.isdecimal() for name in names):
        raise MissingInputError(
            f"{path}: its levels are {', '.join(names)}; expected level 0, which places in it are counted by: copy it too, or name "
            f"level {names[0]} 0 if it is the finest"
        )
    return names


def _array_names(group: Any) -> list[str]:
    """The arrays of a group; where a server cannot list them, those called 0, 1, 2, ... without a gap."""
    if group.store.supports_listing:
        return sorted(group.array_keys(), key=natural)
    return list(itertools.takewhile(lambda name: hasattr(group.get(name), "shape"), map(str, itertools.count())))


def _store(path: Path | Url, mode: str, settings: "RemoteSettings | None") -> Any:
    if isinstance(path, Path):
        from scroll.runtime.manifest import is_begun
        from scroll.volumes.local_store import LocalFiles, NotedFiles

        return NotedFiles(path) if mode == "r+" and is_begun(path) else LocalFiles(path)
    from scroll.volumes.remote import RemoteSettings, RemoteStore

    if mode != "r":
        raise InputError(
            f"{path}: is remote; expected a folder on this machine to write to: copy it first, or write whole shards "
            "(scroll.volumes.sharded.output)"
        )
    return RemoteStore(path, settings or RemoteSettings())


def _kept_in_memory(array: Any) -> Any:
    """A remote array behind a cache of its decoded chunks, as large as its store's settings say."""
    from scroll.volumes.chunk_cache import CachedChunks

    return CachedChunks(array, array.store.settings.cache_bytes)


def _entry(group: Any) -> dict[str, Any] | None:
    """The first multiscales entry of a group, as it is written."""
    entries = entries_of(group.attrs.asdict())
    return dict(entries[0]) if entries else None

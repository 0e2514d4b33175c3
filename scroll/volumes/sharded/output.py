"""A volume of uint8 probabilities too large for one machine: an OME-Zarr pyramid that many processes write, a shard each.

Zarr merges what is written into the middle of a shard with what is there: two who do so at once lose blocks, and no
error tells. Here nothing is merged. A shard is encoded whole, in memory, and put in its place as one file (version 0.4:
as whole chunk files), whatever stood there, damaged or not. So shards may be written in any order, by anybody, again.
"""

import itertools
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scroll.errors import InputError
from scroll.geometry import Size
from scroll.runtime.manifest import FileSum, sum_of
from scroll.runtime.reading import reading
from scroll.volumes.binning import block_mean
from scroll.volumes.ome_zarr import add_empty_levels, create_ome_zarr, open_array, read_attributes
from scroll.volumes.sharded.files import encoded, read_checked
from scroll.volumes.sharded.format import OutputFormat, format_from
from scroll.volumes.sharded.places import S3Place, place_at
from scroll.volumes.url import Url, path_or_url

ABOUT = "shard_output"  # the attribute that tells an output, its key and its format
MARK = {
    "0.5": "zarr.json",
    "0.4": ".zattrs",
}  # the file with that attribute: on a server it is stored before all others
HALF = (2, 2, 2)
PIECE_VOX = 192  # edge of what a coarser level is made of at a time: 8 times as many finer voxels are held
SENDERS = 8  # threads that put the chunk files of version 0.4


def create_output(path: str | Path, how: OutputFormat, key: str, begin_um: Sequence[float] = ()) -> "ShardOutput":
    """Make the metadata of all levels, or open what was made before with the same `key` and format; no voxel is stored.

    `begin_um` (z, y, x) is where the first voxel of a cut-out is centred in its scroll.
    Any number of processes may do so at the same moment: the first one makes it. Reads as 0 where nothing was written.

    Raises:
        InputError: something else is at `path`, or was made with another key or format; or an address that takes no files.
    """
    where = path_or_url(path)
    place = place_at(where)
    if isinstance(where, Path):
        if not where.exists():
            where.parent.mkdir(parents=True, exist_ok=True)
            with TemporaryDirectory(dir=where.parent, prefix=f".{where.name}.") as aside:
                _rename_if_first(_metadata(Path(aside) / where.name, how, key, begin_um), where)
    elif isinstance(place, S3Place):
        with TemporaryDirectory() as aside:
            _send_metadata(_metadata(Path(aside) / where.name, how, key, begin_um), place, how, key)
    output = open_output(where)
    _check_same(where, (output.key, output.how), (key, how))
    return output


def open_output(path: str | Path) -> "ShardOutput":
    """An output made by `create_output`, to read from and to write to; it travels to other processes as its path.

    Raises:
        MissingInputError: nothing there.
        InputError: not made by `create_output`, or its server does not answer.
    """
    where = path_or_url(path)
    return ShardOutput(where, *_described(where, read_attributes(where)))


@dataclass(frozen=True)
class ShardOutput:
    """What `create_output` made, at `path` with its `key`. Two processes must not write the same shard at the same moment."""

    path: Path | Url
    key: str
    how: OutputFormat

    def write(self, corner: Size, block: NDArray[np.uint8]) -> dict[str, FileSum]:
        """Store one shard of level 0 (Z, Y, X), cut where the volume ends; what was there before is replaced.

        Returns size and checksum of the files that hold it, by their names below the level.

        A killed writer leaves the shard as it was (version 0.4: each of its chunk files, some old and some new). What is
        all 0 takes no space.

        Raises:
            ValueError: not uint8, or not exactly one shard.
            InputError: the disk is full, or the server does not take it.
        """
        return self._put(0, corner, block)

    def read(self, corner: Size, size: Size) -> NDArray[np.uint8]:
        """The box of level 0 (Z, Y, X) that begins at `corner`; 0 where nothing was written.

        Raises:
            ValueError: the box reaches beyond the volume.
            UnreadableError: a stored chunk is damaged; names it and its file.
        """
        ends = [c + s for c, s in zip(corner, size, strict=True)]
        if min(corner) < 0 or any(end > length for end, length in zip(ends, self.how.shape, strict=True)):
            raise ValueError(f"box at {corner} of {size} voxels in a volume of {self.how.shape}")
        return read_checked(open_array(self.path), tuple(map(slice, corner, ends)), f"{self.path}/0")

    def write_coarser(self, level: int, corner: Size) -> dict[str, FileSum]:
        """Store one shard of a level above 0: means of 2x2x2 voxels of the level below, whose shards must be there.

        Returns size and checksum of the files that hold it.

        Memory: the shard twice, and a few dozen MiB.

        Raises:
            ValueError: no such level, level 0, or no shard of it begins there.
            UnreadableError: a chunk of the level below is damaged.
            InputError: the disk is full, or the server does not take it.
        """
        if level < 1:
            raise ValueError("level 0 is written, not made from a finer one")
        box = self.how.shard_at(level, corner)
        finer = open_array(self.path, level - 1)
        block = np.zeros([part.stop - part.start for part in box], np.uint8)
        step = max(1, PIECE_VOX // self.how.chunk_vox) * self.how.chunk_vox
        for first in itertools.product(*(range(part.start, part.stop, step) for part in box)):
            ends = [min(f + step, part.stop) for f, part in zip(first, box, strict=True)]
            wide = tuple(
                slice(2 * f, min(2 * end, length)) for f, end, length in zip(first, ends, finer.shape, strict=True)
            )
            there = tuple(
                slice(f - part.start, end - part.start) for f, end, part in zip(first, ends, box, strict=True)
            )
            voxels = read_checked(finer, wide, f"{self.path}/{level - 1}")
            if voxels.any():  # most of a scroll's box is not predicted, and looking is much faster than averaging
                block[there] = block_mean(voxels, HALF)
        return self._put(level, corner, block)

    def files(self, level: int) -> dict[Size, dict[str, int]]:
        """The files of each shard of a level and their bytes, by its number along z, y, x; what is all 0 has none.

        Raises:
            InputError: the server does not answer.
        """
        a_shard = 1 if self.how.version == "0.5" else self.how.shard_vox // self.how.chunk_vox  # files along an edge
        found: dict[Size, dict[str, int]] = {}
        for name, size in place_at(self.path).sizes(str(level)):
            number = name.split("/")[-3:]
            if len(number) == 3 and all(n.isdecimal() for n in number):
                z, y, x = (int(n) // a_shard for n in number)
                found.setdefault((z, y, x), {})[name] = size
        return found

    def content(self, level: int, name: str) -> bytes | None:
        """The bytes of a file of a level, called as `files` calls it; None where there is none.

        Raises:
            InputError: the server does not answer.
        """
        return place_at(self.path).get(f"{level}/{name}")

    def _put(self, level: int, corner: Size, block: NDArray[np.uint8]) -> dict[str, FileSum]:
        box = self.how.shard_at(level, corner)
        shape = tuple(part.stop - part.start for part in box)
        if block.shape != shape or block.dtype != np.uint8:
            raise ValueError(f"the shard at {corner} takes uint8 {shape}, got {block.dtype} {block.shape}")
        place = place_at(self.path)
        files = encoded(open_array(self.path, level), box, block)

        def put(name: str) -> None:
            content = files[name]
            if content is None:
                place.delete(f"{level}/{name}")
            else:
                place.put(f"{level}/{name}", content)

        with ThreadPoolExecutor(min(SENDERS, len(files))) as pool:
            list(pool.map(put, files))
        return {name: sum_of(content) for name, content in files.items() if content is not None}


def _metadata(folder: Path, how: OutputFormat, key: str, begin_um: Sequence[float]) -> Path:
    """An output without a voxel in it, at `folder`."""
    sharded = how.version == "0.5"
    create_ome_zarr(
        folder, how.shape, "uint8", [how.chunk_vox] * 3, how.voxel_um, version=how.version,
        shards=[how.shard_vox] * 3 if sharded else None, begin_um=begin_um,
    )  # fmt: skip
    add_empty_levels(folder, how.levels)
    import zarr

    zarr.open_group(folder, mode="r+").attrs[ABOUT] = {"key": key, **asdict(how)}
    return folder


def _rename_if_first(made: Path, path: Path) -> None:
    try:
        made.rename(path)  # fails where another process was faster: that folder is not empty
    except OSError:
        if not path.exists():
            raise


def _send_metadata(made: Path, place: S3Place, how: OutputFormat, key: str) -> None:
    """Store the file that names the key, unless it is there; then, under that key only, all others, which are small."""
    mark = MARK[how.version]
    # looked for first, because not every server that calls itself S3 heeds "only if it is not there"
    if not _is_there(place.url, how, key) and not place.put_new(mark, (made / mark).read_bytes()):
        _is_there(place.url, how, key)
    for file in sorted(made.rglob("*")):
        if file.is_file() and file != made / mark:
            place.put(file.relative_to(made).as_posix(), file.read_bytes())


def _is_there(url: Url, how: OutputFormat, key: str) -> bool:
    """Whether this output was begun; refuses another one."""
    from scroll.volumes.remote import RemoteSettings, RemoteStore, json_at

    store, is_there = RemoteStore(url, RemoteSettings()), False
    for version, mark in MARK.items():
        about = json_at(store, mark)
        if about is not None:
            _check_same(url, _described(url, about if version == "0.4" else about.get("attributes", {})), (key, how))
            is_there = True
    return is_there


def _described(where: Path | Url, attributes: Mapping[str, Any]) -> tuple[str, OutputFormat]:
    """Key and format out of the attributes of an output."""
    about = attributes.get(ABOUT)
    if about is None:
        raise InputError(
            f"{where}: was not made to be written in shards; expected a new name, or an output of an earlier run"
        )
    with reading(where, "attributes of an output of ours", "give another name, or delete it and start again"):
        return str(about["key"]), format_from({name: about[name] for name in about if name != "key"})


def _check_same(where: Path | Url, found: tuple[str, OutputFormat], expected: tuple[str, OutputFormat]) -> None:
    if found != expected:
        raise InputError(
            f"{where}: holds another prediction (key {found[0]}, {found[1]}); expected key {expected[0]}, {expected[1]}: "
            "delete it, or give another name"
        )

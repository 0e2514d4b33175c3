"""An OME-Zarr of uint8 that is written one whole shard at a time, on this machine's disks."""

import itertools
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from scroll.errors import InputError
from scroll.files import read_json, write_json, written_aside
from scroll.volumes.binning import block_mean
from scroll.volumes.ome_zarr import create_ome_zarr, open_array, write_pyramid

NOTE = "shard_output.json"
Corner = tuple[int, int, int]


@dataclass(frozen=True)
class OutputFormat:
    """Shape and cut of an output, all in voxels; `shard_vox` is a multiple of `chunk_vox`."""

    shape: Corner
    shard_vox: int
    chunk_vox: int
    voxel_um: float | None
    version: Literal["0.5", "0.4"] = "0.5"
    levels: int = 1


class ShardOutput:
    """An output that is there; travels to another process as its path."""

    def __init__(self, path: Path) -> None:
        self.path = path
        about = read_json(path / NOTE)
        self.key = str(about["key"])
        z, y, x = about["how"].pop("shape")
        self.how = OutputFormat(shape=(z, y, x), **about["how"])

    def __reduce__(self) -> Any:
        return ShardOutput, (self.path,)

    def write(self, corner: Corner, block: NDArray[np.uint8]) -> None:
        """One whole shard (Z, Y, X) of level 0.

        Raises:
            ValueError: it is not exactly one shard of the grid.
        """
        self._write(0, corner, block)

    def _write(self, level: int, corner: Corner, block: NDArray[np.uint8]) -> None:
        array, edge = open_array(self.path, level, "r+"), self.how.shard_vox
        whole = tuple(min(edge, n - c) for c, n in zip(corner, array.shape, strict=True))
        if any(c % edge for c in corner) or block.shape != whole:
            raise ValueError(f"{self.path}: {block.shape} voxels at {corner} are not one shard of {edge} voxels")
        array[tuple(slice(c, c + s) for c, s in zip(corner, whole, strict=True))] = block

    def read(self, corner: Corner, size: Corner) -> NDArray[np.uint8]:
        """A box (Z, Y, X) of level 0."""
        box = tuple(slice(c, c + s) for c, s in zip(corner, size, strict=True))
        return np.asarray(open_array(self.path)[box])

    def write_coarser(self, level: int, corner: Corner) -> None:
        """One shard of `level`, from the level that is finer by one."""
        finer, edge = open_array(self.path, level - 1), self.how.shard_vox
        wide = tuple(slice(2 * c, min(2 * (c + edge), n)) for c, n in zip(corner, finer.shape, strict=True))
        self._write(level, corner, np.asarray(block_mean(finer[wide], (2, 2, 2)), np.uint8))

    def coarser_corners(self, level: int) -> list[Corner]:
        """Where the shards of `level` begin."""
        lengths = [-(-n // 2**level) for n in self.how.shape]
        return list(itertools.product(*(range(0, n, self.how.shard_vox) for n in lengths)))  # type: ignore[arg-type]


def create_output(path: str | Path, how: OutputFormat, key: str) -> ShardOutput:
    """Make the metadata of all levels; what is there already under the same key is opened.

    Raises:
        InputError: something else is there.
    """
    path = Path(path)
    if path.exists():
        if not (path / NOTE).exists() or (found := ShardOutput(path)).key != key:
            raise InputError(f"{path}: is there already and was made otherwise: delete it, or give another name")
        return found
    with written_aside(path) as aside:
        shards = (how.shard_vox,) * 3 if how.version == "0.5" else None
        create_ome_zarr(
            aside, how.shape, "uint8", (how.chunk_vox,) * 3, how.voxel_um, version=how.version, shards=shards
        )
        write_pyramid(aside, how.levels)
        write_json(aside / NOTE, {"key": key, "how": asdict(how)})
    return ShardOutput(path)


def open_output(path: str | Path) -> ShardOutput:
    """What `create_output` made."""
    return ShardOutput(Path(path))

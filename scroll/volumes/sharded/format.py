"""How an output that is written in shards is laid out: its grid of shards at every level of the pyramid."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from scroll.geometry import Box, Size

MOST_LEVELS = 64


@dataclass(frozen=True)
class OutputFormat:
    """How an output is laid out; all lengths in voxels of level 0, and of each coarser level as they are.

    Attributes:
        shape: (Z, Y, X).
        shard_vox: edge of a shard, the piece that is written at once; a multiple of `chunk_vox`.
        chunk_vox: edge of a chunk, the piece that is read at once.
        voxel_um: edge of a voxel of level 0 in micrometres; None where nobody knows.
        version: of OME-Zarr. "0.5" is Zarr v3 with one file a shard and a checksum in each chunk. "0.4" is Zarr v2, as
            Volume Cartographer reads it, with a file a chunk and no checksums; a shard is then a block of whole chunks.
        levels: of the pyramid, each half as fine as the one before.

    Raises:
        ValueError: a length or a count below 1, too many levels, or shards that are not made of whole chunks.
    """

    shape: Size
    shard_vox: int
    chunk_vox: int
    voxel_um: float | None
    version: Literal["0.5", "0.4"] = "0.5"
    levels: int = 1

    def __post_init__(self) -> None:
        if min(*self.shape, self.chunk_vox, self.levels) < 1 or self.shard_vox < 1 or self.shard_vox % self.chunk_vox:
            raise ValueError(f"need lengths of 1 or more, and shards that are a multiple of chunks, got {self}")
        if self.levels > MOST_LEVELS:
            raise ValueError(f"need at most {MOST_LEVELS} levels, got {self.levels}")

    def shape_at(self, level: int) -> Size:
        """Voxels of a level along z, y, x.

        >>> OutputFormat((9, 16, 1), 8, 4, None, levels=2).shape_at(1)
        (5, 8, 1)
        """
        z, y, x = (-(-length // 2**level) for length in self.shape)
        return z, y, x

    def shard_at(self, level: int, corner: Sequence[int]) -> Box:
        """The box of the shard that begins at `corner`, cut where the level ends.

        Raises:
            ValueError: no such level, or no shard begins there.
        """
        if not 0 <= level < self.levels:
            raise ValueError(f"level {level} of {self.levels} levels")
        inside = all(0 <= c < n for c, n in zip(corner, self.shape_at(level), strict=True))
        if not inside or any(c % self.shard_vox for c in corner):
            raise ValueError(
                f"no shard of level {level} begins at {tuple(corner)}; they begin every {self.shard_vox} voxels"
            )
        ends = [min(c + self.shard_vox, n) for c, n in zip(corner, self.shape_at(level), strict=True)]
        return tuple(slice(c, end) for c, end in zip(corner, ends, strict=True))


def format_from(stored: Mapping[str, Any]) -> OutputFormat:
    """The format that was stored as JSON: in a plan, or in the attributes of an output.

    Raises:
        ValueError, TypeError, KeyError: it is none.
    """
    z, y, x = stored["shape"]
    how = OutputFormat(**{**stored, "shape": (z, y, x)})
    is_sized = how.voxel_um is None or (isinstance(how.voxel_um, int | float) and 0 < how.voxel_um < float("inf"))
    numbers = (*how.shape, how.shard_vox, how.chunk_vox, how.levels)
    if any(type(number) is not int for number in numbers) or how.version not in ("0.5", "0.4") or not is_sized:
        raise ValueError(f"need whole numbers, a version and the size of a voxel, got {how}")
    return how

"""How a volume is cut into shards, in which order they are gone through, and that no two workers ever share one."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from scroll.errors import InputError

Index = tuple[int, int, int]


@dataclass(frozen=True)
class Shard:
    """One piece of one level of the output: number `index` along z, y, x, from voxel `corner`, `size` voxels (z, y, x)."""

    level: int
    index: Index
    corner: Index
    size: Index

    @property
    def name(self) -> str:
        """As in the plan and in the ledger.

        >>> Shard(0, (3, 0, 12), (768, 0, 3072), (256, 256, 256)).name
        '3-0-12'
        """
        return "-".join(map(str, self.index))


def shard_at(shape: Sequence[int], edge_vox: int, index: Index, level: int = 0) -> Shard:
    """The shard of that number in a volume of `shape`; the last along an axis ends where the volume ends.

    Raises:
        InputError: there is no such shard.
    """
    z, y, x = (number * edge_vox for number in index)
    sizes = [min(edge_vox, length - first) for length, first in zip(shape, (z, y, x), strict=True)]
    if min(index) < 0 or min(sizes) < 1:
        raise InputError(f"shard {index} is outside a volume of {tuple(shape)} voxels: make the plan again")
    return Shard(level, index, (z, y, x), (sizes[0], sizes[1], sizes[2]))


def shards_of(shape: Sequence[int], edge_vox: int, level: int = 0) -> Iterator[Shard]:
    """All shards of a volume, z slowest; they cover each voxel once."""
    for index in itertools.product(*(range(-(-length // edge_vox)) for length in shape)):
        yield shard_at(shape, edge_vox, index, level)  # type: ignore[arg-type]


def place_in_order(index: Index) -> int:
    """Rank along a Z-order curve, which keeps neighbours together: what one has read of the volume serves the next.

    >>> sorted([(1, 0, 0), (0, 1, 1), (0, 0, 1), (0, 0, 0)], key=place_in_order)
    [(0, 0, 0), (0, 0, 1), (0, 1, 1), (1, 0, 0)]
    """
    bits = max(index).bit_length()
    return sum((number >> bit & 1) << (3 * bit + 2 - axis) for axis, number in enumerate(index) for bit in range(bits))


def part_of(shards: Iterable[Shard], part: int, parts: int) -> list[Shard]:
    """What belongs to part number `part` of so many: every n-th shard along the Z-order curve.

    Raises:
        InputError: there is no such part.
    """
    if not 0 <= part < parts:
        raise InputError(
            f"--part-id {part} --num-parts {parts}: expected 0 <= part-id < num-parts: number parts from 0"
        )
    return sorted(shards, key=lambda shard: place_in_order(shard.index))[part::parts]


def refuse_shared_shards(regions: Iterable[tuple[Index, Index]], shape: Sequence[int], shard_vox: int) -> None:
    """Refuse pieces of work (corner, size) that are not made of whole shards, or of which two touch one shard.

    Two writers of one Zarr shard lose data without a word: each reads the file, changes its chunks and writes it back,
    and what the other wrote meanwhile is gone.

    Raises:
        InputError: names the region, or the two regions and the shard.
    """
    owner: dict[Index, tuple[int, Index]] = {}
    for number, (corner, size) in enumerate(regions):
        ends = [c + s for c, s in zip(corner, size, strict=True)]
        is_whole = all(
            c % shard_vox == 0 and 0 <= c < end <= n and (end % shard_vox == 0 or end == n)
            for c, end, n in zip(corner, ends, shape, strict=True)
        )
        if not is_whole:
            raise InputError(
                f"plan: the region at {corner} of {size} voxels is not made of whole shards of {shard_vox} voxels; its neighbour would "
                "write the same shard, and zarr then loses data silently: make regions multiples of the shard"
            )
        z, y, x = (range(c // shard_vox, -(-end // shard_vox)) for c, end in zip(corner, ends, strict=True))
        for shard in itertools.product(z, y, x):
            other, where = owner.setdefault(shard, (number, corner))
            if other != number:
                raise InputError(
                    f"plan: the regions at {where} and {corner} both write shard {shard}, and zarr then loses data silently: "
                    "give each shard to one of them"
                )

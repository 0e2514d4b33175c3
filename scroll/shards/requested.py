"""Which shards are worth predicting: where the scan is not empty, where a mask says so, where a surface passes."""

from collections.abc import Iterable, Iterator, Sequence
from math import inf

import numpy as np

from scroll.errors import InputError
from scroll.shards.grid import Shard
from scroll.surfaces.blocks import Blocks
from scroll.volumes.volume import Volume


def where_not_zero(shards: Iterable[Shard], shape: Sequence[int], coarse: Volume) -> Iterator[Shard]:
    """Shards in which `coarse` has a voxel that is not 0.

    `coarse` covers the same space as the volume of `shape` in voxels of any size: a level of its pyramid, or a mask. A
    coarse voxel belongs to every shard it reaches into.
    """
    scales = [_scale(length, coarse_length) for length, coarse_length in zip(shape, coarse.shape, strict=True)]
    for shard in shards:
        box = tuple(
            slice(int(c / scale), max(int(c / scale) + 1, int(np.ceil((c + s) / scale))))
            for c, s, scale in zip(shard.corner, shard.size, scales, strict=True)
        )
        if np.any(coarse[box]):
            yield shard


def check_same_space(mask: Volume, shape: Sequence[int]) -> None:
    """Refuse a mask that cannot cover the space of a volume of `shape`: its voxels would not be cubes.

    Raises:
        InputError: names both shapes.
    """
    pairs = list(zip(shape, mask.shape, strict=True))
    least = max(
        length / (count + 1) for length, count in pairs
    )  # the last voxel along an axis may hang over, or be left out
    most = min(length / (count - 1) if count > 1 else inf for length, count in pairs)
    if least >= most:
        raise InputError(
            f"{mask.path}: a mask of {mask.shape} voxels over a volume of {tuple(shape)}; expected cubes of one size along z, y and x: "
            "it belongs to another volume, or its axes are in another order"
        )


def _scale(length: int, coarse_length: int) -> float:
    """Voxels to a coarse one; whole where the last coarse one may hang over, as in a pyramid.

    >>> _scale(97, 49), _scale(90, 60)
    (2.0, 1.5)
    """
    whole = max(1, round(length / coarse_length))
    return float(whole) if -(-length // whole) == coarse_length else length / coarse_length


def where_marked(shards: Iterable[Shard], blocks: Blocks) -> Iterator[Shard]:
    """Shards that hold a block through which a surface passes; nothing else of a segment's volume has to be predicted."""
    return (shard for shard in shards if blocks.touches(shard.corner, shard.size))

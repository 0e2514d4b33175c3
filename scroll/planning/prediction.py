"""How much CT a prediction gets through, and what its maps take on disk."""

from collections.abc import Sequence
from math import prod

from scroll.planning.step_time import Range

MAP_BYTES = 2  # a voxel and member: probabilities are kept as float16


def looks_a_voxel(overlaps: Sequence[float]) -> float:
    """How many windows see a voxel away from the borders.

    >>> looks_a_voxel((0.5, 0.5, 0.5))
    8.0
    """
    return prod(1 / (1 - overlap) for overlap in overlaps)


def gigavoxel_time(per_voxel_s: Range, overlaps: Sequence[float], views: int, folds: int) -> Range:
    """Seconds for 1e9 voxels of CT by all folds of a member, each through so many views; reading and blending left out."""
    return per_voxel_s * (1e9 * looks_a_voxel(overlaps) * views * folds)


def gigavoxels_in(seconds: float, members: Sequence[Range]) -> Range:
    """How many 1e9 voxels all members get through, given what each takes for one: at worst and at best.

    >>> gigavoxels_in(3600, [Range(400, 900), Range(500, 900)])
    Range(low=2.0, high=4.0)
    """
    best, worst = sum(one.low for one in members), sum(one.high for one in members)
    return Range(seconds / worst, seconds / best)


def maps_gib(voxels: float, members: int) -> float:
    """GiB on disk of the members' out-of-fold probabilities, uncompressed: an upper bound."""
    return voxels * members * MAP_BYTES / 2**30

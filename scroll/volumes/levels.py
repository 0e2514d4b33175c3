"""Where a level of a pyramid is against level 0: by the scales that the file gives, held against the shapes of both arrays."""

import math
from collections.abc import Sequence
from typing import Any

from scroll.errors import InputError
from scroll.volumes.multiscales import Multiscales
from scroll.volumes.place import NEARLY, Numbers, Place, words
from scroll.volumes.voxel_size import unit_um

ROUNDED = 0.005  # relative: a ratio of written scales that is so near to a whole number is that number
MOST_STEP = 64  # from one level to another where only shapes tell


def level_place(
    where: Any, scales: Multiscales | None, level: int, shape: Sequence[int], finest_shape: Sequence[int] | None
) -> Place:
    """The place of `level`, of `shape` (z, y, x); `finest_shape` is level 0's, None where that array is not there.

    Where both tell a step and they differ, the scale's is taken, and the place says so (`contradiction`).

    Raises:
        InputError: neither tells the steps, the levels run from coarse to fine, or they do not begin together.
    """
    begin, aspect = _begin(scales), _aspect(scales)
    if level == 0:
        return Place(begin=begin, aspect=aspect)
    step, contradiction = _step(where, scales, level, shape, finest_shape)
    shift = _shift(where, scales, level, step)
    z, y, x = (first + more for first, more in zip(begin, shift, strict=True))
    return Place(step, (z, y, x), aspect, contradiction)


def _begin(scales: Multiscales | None) -> Numbers:
    """Of level 0, in its voxels."""
    scale = scales.scale(0) if scales else None
    if scales is None or scale is None:
        return 0.0, 0.0, 0.0
    z, y, x = (_whole(centre / edge) for centre, edge in zip(scales.translation(0), scale, strict=True))
    return z, y, x


def _whole(begin: float) -> float:
    """The voxel that a cut-out begins with.

    Half a voxel, or (s - 1) / 2s of one, is no place between voxels: it is where the centre of a first voxel is, counted from
    its corner, or from the centre of the first of the s voxels that it is the mean of.

    >>> _whole(20.0000001), _whole(20.5), _whole(20.375), _whole(20.3)
    (20.0, 20.0, 20.0, 20.3)
    """
    nearest = float(round(begin))
    if abs(begin - nearest) < NEARLY:
        return nearest
    rest = begin - math.floor(begin)
    known = abs(rest - 0.5) < NEARLY or any(abs(rest - (s - 1) / (2 * s)) < NEARLY / s for s in range(2, MOST_STEP + 1))
    return float(math.floor(begin)) if known else begin


def _aspect(scales: Multiscales | None) -> Numbers:
    scale = scales.scale(0) if scales else None
    if scales is None or scale is None:
        return 1.0, 1.0, 1.0
    units = [unit_um(unit) for unit in scales.space(scales.units, "")]
    if None not in units:
        scale = tuple(edge * um for edge, um in zip(scale, units, strict=True) if um)  # type: ignore[assignment]
    z, y, x = (edge / scale[0] for edge in scale)
    return z, y, x


def _step(
    where: Any, scales: Multiscales | None, level: int, shape: Sequence[int], finest: Sequence[int] | None
) -> tuple[Numbers, str]:
    """The step, and what speaks against it."""
    written = _written_step(scales, level)
    if written is not None and min(written) < 1 - NEARLY:
        raise InputError(
            f"{where}: level {level} has voxels of {words(written)} times the size of level 0's; expected levels from fine to coarse: "
            "mend the order of its datasets"
        )
    if finest is None:
        if written is None:
            raise InputError(
                f"{where}: level 0 is not there, and no scale says how coarse level {level} is; copy it again"
            )
        return written, ""
    if written is not None and all(map(_fits, finest, shape, written)):
        return written, ""
    if written is None or max(written) == 1:  # a scale of 1 for every level is written where nobody knows
        return _step_of_shapes(where, level, shape, finest), ""
    return written, (
        f"{where}: by its scale level {level} has 1 voxel for {words(written)} (z, y, x) of level 0, by its shape {words(shape)} for "
        f"{words(finest)}; expected the same of both: mend its scale"
    )


def _written_step(scales: Multiscales | None, level: int) -> Numbers | None:
    here, finest = (scales.scale(level), scales.scale(0)) if scales else (None, None)
    if here is None or finest is None:
        return None
    z, y, x = (near_whole(coarse / fine) for coarse, fine in zip(here, finest, strict=True))
    return z, y, x


def near_whole(ratio: float) -> float:
    """A ratio of written lengths, which are rounded, as the whole number that it is near."""
    return float(round(ratio)) if ratio > 0.5 and abs(ratio - round(ratio)) < ROUNDED * ratio else ratio


def _fits(fine: int, coarse: int, step: float) -> bool:
    """Whether so many coarse voxels cover so many fine ones, but for one that hangs over or is left out."""
    return math.floor(fine / step) <= coarse <= math.ceil(fine / step) or (coarse == 1 and fine <= step)


def _step_of_shapes(where: Any, level: int, shape: Sequence[int], finest: Sequence[int]) -> Numbers:
    """The whole steps that both shapes allow, the same along all axes if there is one: 2^level rather than any other."""
    candidates = [2**level, *range(1, MOST_STEP + 1)]
    common = next((s for s in candidates if all(_fits(n, m, s) for n, m in zip(finest, shape, strict=True))), None)
    if common is not None:
        return float(common), float(common), float(common)
    each = [round(n / m) for n, m in zip(finest, shape, strict=True)]
    if not all(map(_fits, finest, shape, each)):
        raise InputError(
            f"{where}: level {level} has shape {tuple(shape)}, level 0 {tuple(finest)}: no whole step along z, y, x; expected a scale "
            "that says how coarse it is: write one"
        )
    return float(each[0]), float(each[1]), float(each[2])


def _shift(where: Any, scales: Multiscales | None, level: int, step: Numbers) -> Numbers:
    """How much later than level 0 a level begins, in voxels of level 0: 0 where its voxels are means, as they are taken to be
    where its centres are not moved at all, for many writers leave that out.

    Raises:
        InputError: by more than a voxel of its own.
    """
    scale = scales.scale(0) if scales else None
    if scales is None or scale is None or scales.scale(level) is None:
        return 0.0, 0.0, 0.0
    found = []
    for first, here, edge, wide in zip(scales.translation(0), scales.translation(level), scale, step, strict=True):
        moved = (here - first) / edge
        late = moved - (wide - 1) / 2
        if abs(late) > wide + NEARLY and abs(moved) > NEARLY:
            ends = [words(scales.translation(number)) for number in (0, level)]
            raise InputError(
                f"{where}: level 0 begins at {ends[0]}, level {level} at {ends[1]} (z, y, x); expected levels of one volume, which begin "
                "together: mend their translations"
            )
        found.append(0.0 if abs(moved) < NEARLY or abs(late) < max(NEARLY, ROUNDED * wide) else late)
    return found[0], found[1], found[2]

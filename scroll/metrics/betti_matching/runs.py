"""Runs of a mask along x: far fewer than voxels, and enough to count what hangs together."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from scroll.geometry import BoolVolume
from scroll.metrics.betti_matching.dual_faces import Ints, find
from scroll.runtime.compiled import njit


class Runs(NamedTuple):
    """Runs of a (Z, Y, X) mask, row by row.

    Attributes:
        begins: runs of row z * Y + y are those from begins[row] to begins[row + 1].
        firsts, ends: where each run begins and ends along x.
    """

    begins: Ints
    firsts: Ints
    ends: Ints


def count_pieces(mask: BoolVolume) -> int:
    """How many 6-connected components a (Z, Y, X) mask has.

    >>> count_pieces(np.array([[[True, False, True], [False, True, False]]]))
    3
    """
    runs = runs_of(mask)
    return int(np.count_nonzero(_clusters(*runs, mask.shape, 0) == np.arange(len(runs.firsts))))


def count_cavities(mask: BoolVolume) -> int:
    """How many 26-connected parts of the background of a (Z, Y, X) mask touch no border."""
    runs = runs_of(~mask)
    numbers = _clusters(*runs, mask.shape, 1)
    is_closed = numbers == np.arange(len(numbers))
    is_closed[numbers[_touch_border(*runs, mask.shape)]] = False
    return int(np.count_nonzero(is_closed))


def runs_of(mask: BoolVolume) -> Runs:
    """The runs of a (Z, Y, X) mask."""
    depth, height, width = mask.shape
    return Runs(*_runs_of(np.ascontiguousarray(mask).reshape(depth * height, width)))


@njit(cache=True)
def _runs_of(rows: npt.NDArray[np.bool_]) -> tuple[Ints, Ints, Ints]:
    count, width = rows.shape
    begins = np.zeros(count + 1, np.int32)
    for row in range(count):
        voxels, found = rows[row], 0
        for x in range(1, width):
            found += voxels[x] & ~voxels[x - 1]
        begins[row + 1] = begins[row] + found + (width > 0 and voxels[0])
    firsts, ends = np.empty(begins[-1], np.int32), np.empty(begins[-1], np.int32)
    for row in range(count):
        voxels, x = rows[row], 0
        for run in range(begins[row], begins[row + 1]):
            while not voxels[x]:
                x += 1
            firsts[run] = x
            while x < width and voxels[x]:
                x += 1
            ends[run] = x
    return begins, firsts, ends


@njit(cache=True)
def _clusters(begins: Ints, firsts: Ints, ends: Ints, shape: tuple[int, int, int], reach: int) -> Ints:
    """Of each run the first one that it hangs together with; reach 0: over faces of voxels, 1: over edges and corners too."""
    height = shape[1]
    parents = np.arange(firsts.size).astype(np.int32)
    for row in range(begins.size - 1):
        y, is_below = row % height, row >= height
        if y:
            _join(row, row - 1, begins, firsts, ends, reach, parents)
        if is_below:
            _join(row, row - height, begins, firsts, ends, reach, parents)
        if is_below and reach and y:
            _join(row, row - height - 1, begins, firsts, ends, reach, parents)
        if is_below and reach and y + 1 < height:
            _join(row, row - height + 1, begins, firsts, ends, reach, parents)
    for run in range(firsts.size):
        parents[run] = find(parents, run)
    return parents


@njit(cache=True)
def _join(row: int, other: int, begins: Ints, firsts: Ints, ends: Ints, reach: int, parents: Ints) -> None:
    """Join the runs of two rows that lie beside each other."""
    here, there = begins[row], begins[other]
    while here < begins[row + 1] and there < begins[other + 1]:
        if firsts[here] < ends[there] + reach and firsts[there] < ends[here] + reach:
            one, two = find(parents, here), find(parents, there)
            parents[max(one, two)] = min(one, two)
        if ends[here] < ends[there]:
            here += 1
        else:
            there += 1


@njit(cache=True)
def _touch_border(begins: Ints, firsts: Ints, ends: Ints, shape: tuple[int, int, int]) -> npt.NDArray[np.bool_]:
    """Which runs touch the border of the volume, (runs,)."""
    depth, height, width = shape
    touch = np.zeros(firsts.size, np.bool_)
    for row in range(begins.size - 1):
        z, y = row // height, row % height
        is_rim = z == 0 or y == 0 or z + 1 == depth or y + 1 == height
        for run in range(begins[row], begins[row + 1]):
            touch[run] = is_rim or firsts[run] == 0 or ends[run] == width
    return touch

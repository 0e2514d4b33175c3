"""Betti numbers of a mask: components, tunnels and cavities, counted without any homology code.

Voxels are the vertices of a cubical complex, so the mask is 6-connected and what it leaves free is 26-connected.
"""

from functools import cache
from itertools import product

import numpy as np
import numpy.typing as npt

from scroll.geometry import BoolVolume, Labels
from scroll.metrics.betti_matching.connected import connected_components
from scroll.metrics.betti_matching.corner_codes import corner_histogram
from scroll.metrics.betti_matching.runs import count_cavities, count_pieces


def betti_numbers(mask: BoolVolume) -> tuple[int, int, int]:
    """How many components (6-connected), tunnels and cavities a (Z, Y, X) mask has.

    A cavity is a 26-connected part of the background that does not touch the border of the volume. The tunnels follow
    from the Euler number: components - tunnels + cavities.

    >>> ring = np.ones((1, 3, 3), bool); ring[0, 1, 1] = False
    >>> betti_numbers(ring)
    (1, 1, 0)
    """
    if not mask.any():
        return 0, 0, 0
    pieces, holes = count_pieces(mask), count_cavities(mask)
    return pieces, pieces + holes - euler_number(mask), holes


def components(mask: BoolVolume) -> Labels:
    """6-connected components of a (Z, Y, X) mask, numbered from 1; 0 outside."""
    return connected_components(mask, 6)


def cavities(mask: BoolVolume) -> tuple[Labels, npt.NDArray[np.int64]]:
    """26-connected parts of the background (0 in the mask) and the numbers of those that touch no border."""
    labels: Labels = connected_components(~mask, 26)
    closed = np.ones(int(labels.max(initial=0)) + 1, bool)
    closed[0] = False
    for axis in range(3):
        for side in (0, -1):
            closed[np.unique(labels.take(side, axis=axis))] = False
    return labels, np.flatnonzero(closed)


def euler_number(mask: BoolVolume) -> int:
    """Vertices - edges + faces - cubes of a (Z, Y, X) mask: components - tunnels + cavities."""
    eighths = int(corner_histogram(mask) @ _eighths_of_codes())
    return eighths // 8


@cache
def _eighths_of_codes() -> npt.NDArray[np.int64]:
    """What a 2x2x2 neighbourhood of each code adds to the Euler number, (256,), in eighths.

    A voxel is in eight neighbourhoods, an edge in four, a face in two, a cube in one.
    """
    eighths = np.zeros(256, np.int64)
    for code in range(256):
        cube = np.array([code >> bit & 1 for bit in range(7, -1, -1)], bool).reshape(2, 2, 2)
        for sides in product((0, 1), repeat=3):  # 1: the cell is two voxels long on this axis
            cells: npt.NDArray[np.bool_] = cube
            for axis, long in enumerate(sides):
                cells = np.logical_and.reduce(cells, axis=axis, keepdims=True) if long else cells
            eighths[code] += (-1) ** sum(sides) * 2 ** sum(sides) * int(cells.sum())
    return eighths

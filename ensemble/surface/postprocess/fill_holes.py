"""Holes in sheets, filled one by one with the thinnest membrane, each only where that mends the topology.

A mask is fattened until its holes are shut and then shrunk back to itself, outermost voxels first and only such whose
removal changes no topology. What cannot be removed are membranes: across the holes, and walls between sheets that the
fattening joined. Each membrane is then judged by what it does to the mask, and the walls are refused.

Source for simple points: Bertrand and Malandain 1994, "A new characterization of three-dimensional simple points".
"""

from collections.abc import Callable
from itertools import product

import numpy as np
import numpy.typing as npt
from scipy.ndimage import find_objects

from ensemble.surface.postprocess.distance_transform import farthest, grown, squared_distances, touching
from scroll.geometry import BoolVolume
from scroll.metrics.betti_matching.betti import euler_number
from scroll.metrics.betti_matching.connected import connected_components
from scroll.runtime.compiled import njit

Shorts = npt.NDArray[np.int16]


def _bits(is_among: Callable[[int, int, int], bool]) -> int:
    """Some of the 27 voxels about one as bits, x fastest; each is asked for with its z, y and x, 0 to 2."""
    return sum(1 << i for i, place in enumerate(product(range(3), repeat=3)) if is_among(*place))


RING = _bits(lambda z, y, x: (z, y, x) != (1, 1, 1))
FACES = _bits(lambda z, y, x: (z != 1) + (y != 1) + (x != 1) == 1)
CLOSE = _bits(lambda z, y, x: (z != 1) + (y != 1) + (x != 1) in (1, 2))  # a face or an edge is shared with the middle
NOT_FIRST_Y, NOT_LAST_Y = _bits(lambda z, y, x: y > 0), _bits(lambda z, y, x: y < 2)
NOT_FIRST_X, NOT_LAST_X = _bits(lambda z, y, x: x > 0), _bits(lambda z, y, x: x < 2)


def fill_holes(mask: BoolVolume, radius_vox: int) -> BoolVolume:
    """A (Z, Y, X) mask with holes of at most twice `radius_vox` across filled.

    A membrane is taken in where it leaves fewer tunnels, or fewer 6-connected components and no more tunnels; never where
    it touches two 26-connected components, which it would join.
    """
    membranes = connected_components(_membranes(mask, radius_vox), 6)
    sheets, pieces = connected_components(mask, 26), connected_components(mask, 6)
    parents = np.arange(int(pieces.max(initial=0)) + 1)
    filled = mask.copy()
    for number, box in enumerate(find_objects(membranes), 1):
        around = grown(box, 2, mask.shape)
        membrane = membranes[around] == number
        touched = np.unique(sheets[around][touching(membrane, 26)])
        joined = {_root(parents, piece) for piece in np.unique(pieces[around][touching(membrane, 6)]) if piece}
        if np.count_nonzero(touched) != 1 or not joined:
            continue
        before = filled[around]
        after = before | membrane
        fewer_pieces = len(joined) - 1
        fewer_tunnels = euler_number(after) - euler_number(before) + fewer_pieces
        if fewer_tunnels < 0 or fewer_tunnels + fewer_pieces == 0:
            continue
        filled[around] = after
        sheets[around][membrane], pieces[around][membrane] = touched.max(), min(joined)
        parents[list(joined)] = min(joined)
    return filled


def _root(parents: npt.NDArray[np.int64], piece: int) -> int:
    while parents[piece] != piece:
        piece = int(parents[piece])
    return int(piece)


def _membranes(mask: BoolVolume, radius_vox: int) -> BoolVolume:
    """What is left of the fattened mask beside the mask itself, (Z, Y, X)."""
    padded = np.pad(mask, 1)
    distances = squared_distances(padded, radius_vox)
    for axis in range(3):  # nothing is on the margin, so that every voxel has its neighbours
        np.moveaxis(distances, axis, 0)[[0, -1]] = farthest(radius_vox) + 1
    left = _shrink(distances, farthest(radius_vox))
    return np.ascontiguousarray((left & ~padded)[1:-1, 1:-1, 1:-1])


@njit(cache=True)
def _shrink(distances: Shorts, limit: int) -> BoolVolume:
    """All within the limit, less what can be taken off without a change of topology, the farthest first."""
    height, width = distances.shape[1:]
    inside = distances <= limit
    flat, far = inside.ravel(), distances.ravel()
    steps = np.empty(27, np.int64)
    for i in range(27):
        steps[i] = ((i // 9 - 1) * height + i // 3 % 3 - 1) * width + i % 3 - 1
    counts = np.zeros(limit + 2, np.int64)
    for voxel in range(flat.size):
        if flat[voxel] and far[voxel]:
            counts[far[voxel] + 1] += 1
    starts = np.cumsum(counts)
    size = starts[-1]
    order, filled = np.empty(size, np.int64), starts.copy()
    for voxel in range(flat.size):
        if flat[voxel] and far[voxel]:
            order[filled[far[voxel]]] = voxel
            filled[far[voxel]] += 1
    queue, is_waiting = np.empty(size + 1, np.int64), np.zeros(flat.size, np.bool_)
    for level in range(limit, 0, -1):
        head, waiting = 0, 0
        for i in range(starts[level], starts[level + 1]):
            queue[waiting], is_waiting[order[i]] = order[i], True
            waiting += 1
        while waiting:
            voxel = queue[head]
            head, waiting, is_waiting[voxel] = (head + 1) % (size + 1), waiting - 1, False
            if not _is_simple(flat, voxel, height, width):
                continue
            flat[voxel] = False
            for i in range(27):
                there = voxel + steps[i]
                if flat[there] and far[there] >= level and not is_waiting[there]:
                    queue[(head + waiting) % (size + 1)], is_waiting[there] = there, True
                    waiting += 1
    return inside


@njit(cache=True)
def _is_simple(flat: BoolVolume, voxel: int, height: int, width: int) -> bool:
    """Whether a voxel has one 6-connected part of the mask beside it, within 18 voxels, and one 26-connected free part."""
    row, plane, one = np.uint64(width), np.uint64(height * width), np.uint64(1)
    taken = 0
    corner = np.uint64(voxel) - plane - row - one  # without signs: no look whether a number counts from the end
    for z in range(3):
        line = corner + np.uint64(z) * plane
        for y in range(3):
            three = flat[line] | flat[line + one] << 1 | flat[line + one + one] << 2
            taken |= three << (9 * z + 3 * y)
            line += row
    free, faces = RING & ~taken, FACES & taken
    if not free or not faces:
        return False
    return _is_one_by_faces(faces, CLOSE & taken) and _is_one_by_corners(free)


@njit(cache=True)
def _is_one_by_faces(seeds: int, allowed: int) -> bool:
    """Whether all of some voxels, as bits of the 27, are 6-connected within what is allowed."""
    reached, before = seeds & -seeds, 0
    while reached != before:
        before = reached
        reached |= (reached & NOT_LAST_X) << 1 | (reached & NOT_FIRST_X) >> 1
        reached |= (before & NOT_LAST_Y) << 3 | (before & NOT_FIRST_Y) >> 3 | before << 9 | before >> 9
        reached &= allowed
    return reached & seeds == seeds


@njit(cache=True)
def _is_one_by_corners(free: int) -> bool:
    """Whether some voxels, as bits of the 27, are 26-connected."""
    reached, before = free & -free, 0
    while reached != before:
        before = reached
        wide = reached | (reached & NOT_LAST_X) << 1 | (reached & NOT_FIRST_X) >> 1
        wide |= (wide & NOT_LAST_Y) << 3 | (wide & NOT_FIRST_Y) >> 3
        reached = (wide | wide << 9 | wide >> 9) & free
    return reached == free

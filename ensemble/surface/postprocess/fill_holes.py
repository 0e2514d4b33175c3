"""Holes in sheets, plugged one by one with the thinnest membrane, each only where that mends the topology.

A mask is fattened until its holes are shut and then shrunk back to itself, outermost voxels first and only such whose
removal changes no topology. What cannot be removed are membranes: across the holes, and walls between sheets that the
fattening joined. Each membrane is then judged by what it does to the mask, and the walls are refused.

Source for simple points: Bertrand and Malandain 1994, "A new characterization of three-dimensional simple points".
"""

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

OFFSETS = np.array(list(product((-1, 0, 1), repeat=3)))
CENTRE = 13


def plug_holes(mask: BoolVolume, radius_vox: int) -> BoolVolume:
    """A (Z, Y, X) mask with holes of at most twice `radius_vox` across plugged.

    A membrane is taken in where it leaves fewer tunnels, or fewer 6-connected components and no more tunnels; never where
    it touches two 26-connected components, which it would join.
    """
    membranes = connected_components(_membranes(mask, radius_vox), 6)
    sheets, pieces = connected_components(mask, 26), connected_components(mask, 6)
    parents = np.arange(int(pieces.max(initial=0)) + 1)
    plugged = mask.copy()
    for number, box in enumerate(find_objects(membranes), 1):
        around = grown(box, 2, mask.shape)
        membrane = membranes[around] == number
        touched = np.unique(sheets[around][touching(membrane, 26)])
        joined = {_root(parents, piece) for piece in np.unique(pieces[around][touching(membrane, 6)]) if piece}
        if np.count_nonzero(touched) != 1 or not joined:
            continue
        before = plugged[around]
        after = before | membrane
        fewer_pieces = len(joined) - 1
        fewer_tunnels = euler_number(after) - euler_number(before) + fewer_pieces
        if fewer_tunnels < 0 or fewer_tunnels + fewer_pieces == 0:
            continue
        plugged[around] = after
        sheets[around][membrane], pieces[around][membrane] = touched.max(), min(joined)
        parents[list(joined)] = min(joined)
    return plugged


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
    left = _shrink(distances, farthest(radius_vox), *_neighbours())
    return np.ascontiguousarray((left & ~padded)[1:-1, 1:-1, 1:-1])


def _neighbours() -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """For each of the 27 voxels around one, as bits: its 26-neighbours among them, and its 6-neighbours among the 18
    that share a face or an edge with the middle; the middle itself is in none."""
    steps = np.abs(OFFSETS[:, None] - OFFSETS[None])
    is_ring = np.arange(27) != CENTRE
    is_close = is_ring & (np.abs(OFFSETS).sum(1) <= 2)
    bits = np.int32(1) << np.arange(27, dtype=np.int32)
    near26 = ((steps.max(2) == 1) & is_ring[None] & is_ring[:, None]) @ bits
    near6 = ((steps.sum(2) == 1) & is_close[None] & is_close[:, None]) @ bits
    return near26.astype(np.int32), near6.astype(np.int32)


@njit(cache=True)
def _shrink(distances: Shorts, limit: int, near26: npt.NDArray[np.int32], near6: npt.NDArray[np.int32]) -> BoolVolume:
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
            if not _is_simple(flat, voxel, steps, near26, near6):
                continue
            flat[voxel] = False
            for i in range(27):
                there = voxel + steps[i]
                if flat[there] and far[there] >= level and not is_waiting[there]:
                    queue[(head + waiting) % (size + 1)], is_waiting[there] = there, True
                    waiting += 1
    return inside


@njit(cache=True)
def _is_simple(
    flat: BoolVolume,
    voxel: int,
    steps: npt.NDArray[np.int64],
    near26: npt.NDArray[np.int32],
    near6: npt.NDArray[np.int32],
) -> bool:
    """Whether a voxel has one 6-connected part of the mask beside it, within 18 voxels, and one 26-connected free part."""
    taken, free, faces, close = 0, 0, 0, 0
    for i in range(27):
        if i == 13:
            continue
        bit = 1 << i
        if not flat[voxel + steps[i]]:
            free |= bit
            continue
        off = (i // 9 != 1) + (i // 3 % 3 != 1) + (i % 3 != 1)
        if off == 1:
            faces |= bit
        if off <= 2:
            close |= bit
    if not free or not faces:
        return False
    taken = _flood(faces, close, near6)
    return taken & faces == faces and _flood(free, free, near26) == free


@njit(cache=True)
def _flood(seeds: int, allowed: int, near: npt.NDArray[np.int32]) -> int:
    """All that is connected to the first of some seeds within what is allowed, as bits."""
    fresh = seeds & -seeds
    reached = 0
    while fresh:
        reached |= fresh
        around = 0
        for i in range(27):
            if fresh >> i & 1:
                around |= near[i]
        fresh = around & allowed & ~reached
    return reached

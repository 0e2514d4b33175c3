"""The faces that end the tunnels of a mask, each with the loop through the background that it closes.

A tunnel of a mask is a loop in it that bounds nothing inside; by Alexander duality there is one loop of background
linked with each. In persistent homology tunnels end at the faces that first fill them. Walked backwards these are the
faces that close a new loop in the dual graph (cubes joined through open faces), new meaning: not a sum of loops that
later faces closed and of the small loops around single background edges. So instead of reducing a matrix with a row
for every edge, the loop of each face is written as a sum of few new ones, nearly always none, while walking backwards.

Source for the duality and the pairing: Edelsbrunner and Harer 2010, "Computational Topology", chapters V and VII.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba.typed import List

from scroll.geometry import BoolVolume
from scroll.metrics.betti_matching.dual_faces import OPEN, Flags, Ints, face_kinds, find, sides
from scroll.runtime.compiled import njit

TREE = 3  # an open face that belongs to the spanning tree of the dual graph


class Loops(NamedTuple):
    """Ending faces in ascending order, and the faces of loop i: `faces[starts[i]:starts[i + 1]]`, none below its own."""

    ends: npt.NDArray[np.int64]
    faces: npt.NDArray[np.int64]
    starts: npt.NDArray[np.int64]


def tunnel_loops(mask: BoolVolume) -> Loops:
    """One loop of open faces for every tunnel of a (Z, Y, X) mask."""
    kinds = face_kinds(mask)
    _mark_tree(kinds, mask.shape)
    new_faces, spoilt = _new_faces(kinds, mask)
    ends = np.sort(new_faces[~spoilt])
    parent, depth = _hang(kinds, mask.shape)
    faces, starts = _close_loops(ends, parent, depth, mask.shape)
    return Loops(ends, faces, starts)


@njit(cache=True)
def _mark_tree(kinds: Flags, shape: tuple[int, int, int]) -> None:
    """Mark as TREE the open faces that, from the last to the first, join two clusters of cubes."""
    parents = np.arange(kinds.size // 3 + 1).astype(np.int32)
    for face in range(kinds.size - 1, -1, -1):
        if kinds[face] == OPEN:
            one, other = sides(face, shape)
            one, other = find(parents, one), find(parents, other)
            if one != other:
                parents[min(one, other)] = max(one, other)
                kinds[face] = TREE


@njit(cache=True)
def _cofaces(axis: int, z: int, y: int, x: int, shape: tuple[int, int, int], found: npt.NDArray[np.int64]) -> int:
    """Numbers of the faces at the edge from (z, y, x) along `axis`, ascending, into `found`; returns how many."""
    depth, height, width = shape
    row, plane = width * 3, height * width * 3
    here = z * plane + y * row + x * 3
    n = 0
    if axis == 0:
        if y:
            found[n], n = here - row + 2, n + 1
        if x:
            found[n], n = here - 3 + 1, n + 1
        if x + 1 < width:
            found[n], n = here + 1, n + 1
        if y + 1 < height:
            found[n], n = here + 2, n + 1
    elif axis == 1:
        if z:
            found[n], n = here - plane + 2, n + 1
        if x:
            found[n], n = here - 3, n + 1
        if x + 1 < width:
            found[n], n = here, n + 1
        if z + 1 < depth:
            found[n], n = here + 2, n + 1
    else:
        if z:
            found[n], n = here - plane + 1, n + 1
        if y:
            found[n], n = here - row, n + 1
        if y + 1 < height:
            found[n], n = here, n + 1
        if z + 1 < depth:
            found[n], n = here + 1, n + 1
    return n


@njit(cache=True)
def _new_faces(kinds: Flags, mask: BoolVolume) -> tuple[npt.NDArray[np.int64], BoolVolume]:
    """Faces that close a new loop when walked backwards, and which of those a later relation takes back."""
    shape = mask.shape
    of_face = np.zeros(kinds.size, np.int32)  # the sum of new loops that a face's loop is: a number in `sums`, 0 none
    sums = List([np.empty(0, np.int64)])
    new = List([np.int64(-1)])
    lead = List([np.int64(0)])  # of each new face: the number of the relation that takes it back
    found = np.empty(4, np.int64)
    for face in range(kinds.size - 1, -1, -1):
        if kinds[face] != OPEN and kinds[face] != TREE:
            continue
        is_known = kinds[face] == TREE
        axis, voxel = face % 3, np.uint32(face // 3)  # 32 bits: they divide in a third of the time
        line = voxel // np.uint32(shape[2])
        x, z = np.int64(voxel - line * np.uint32(shape[2])), np.int64(line // np.uint32(shape[1]))
        y = np.int64(line) - z * shape[1]
        inner = z > 0 and y > 0 and x > 0
        if inner and _is_plainly_none(axis, face, is_known, mask, z, y, x, of_face):
            continue
        for side in range(4):
            if inner and (axis == 0 or (axis == 1 and side != 1) or (axis == 2 and side != 1 and side != 3)):
                continue
            along, ez, ey, ex = _edge_of_face(axis, side, z, y, x)
            if mask[ez, ey, ex] and mask[ez + (along == 0), ey + (along == 1), ex + (along == 2)]:
                continue
            n = _cofaces(along, ez, ey, ex, shape, found)
            if found[0] != face:
                continue
            total = 0
            for i in range(1, n):
                total = _add(total, of_face[found[i]], sums)
            if not is_known:
                of_face[face], is_known = total, True
            else:
                _relate(_add(total, of_face[face], sums), sums, lead)
        if not is_known:
            new.append(np.int64(face))
            lead.append(np.int64(0))
            sums.append(np.array([len(new) - 1], np.int64))
            of_face[face] = len(sums) - 1
    faces, spoilt = np.empty(len(new) - 1, np.int64), np.empty(len(new) - 1, np.bool_)
    for i in range(1, len(new)):
        faces[i - 1], spoilt[i - 1] = new[i], lead[i] != 0
    return faces, spoilt


@njit(cache=True)
def _is_plainly_none(
    axis: int, face: int, is_tree: bool, mask: BoolVolume, z: int, y: int, x: int, of_face: Ints
) -> bool:
    """Whether nothing but zeros is summed for a face inside the grid: the case of nearly all, told without a sum.

    The faces looked at are those named in `_cofaces`.
    """
    if axis == 0:
        return is_tree
    row, plane = mask.shape[2] * 3, mask.shape[1] * mask.shape[2] * 3
    above, beside = face - axis + plane, face - axis + row
    if axis == 1:
        if mask[z + 1, y, x] and mask[z + 1, y, x + 1]:
            return is_tree
        return not (of_face[above] or of_face[above - row] or of_face[above + 1])
    is_open = False
    if not (mask[z + 1, y, x] and mask[z + 1, y + 1, x]):
        is_open = True
        if of_face[above] or of_face[above - 3] or of_face[above + 2]:
            return False
    if not (mask[z, y + 1, x] and mask[z + 1, y + 1, x]):
        is_open = True
        if of_face[beside + 1] or of_face[beside - 2] or of_face[beside + 2]:
            return False
    return is_tree or is_open


@njit(cache=True)
def _edge_of_face(axis: int, side: int, z: int, y: int, x: int) -> tuple[int, int, int, int]:
    """The four edges of a face: (along, z, y, x); side 1 and 3 are those away from its first corner."""
    first, second = (1, 2) if axis == 0 else ((0, 2) if axis == 1 else (0, 1))
    along = second if side < 2 else first
    step = first if side < 2 else second
    far = side % 2
    return along, z + far * (step == 0), y + far * (step == 1), x + far * (step == 2)


@njit(cache=True)
def _add(one: int, other: int, sums: List) -> int:
    """The number of the sum modulo 2 of two sums of new loops, each a list of descending numbers."""
    if one == 0 or other == 0:
        return one + other
    if one == other:
        return 0
    merged = _xor(sums[one], sums[other])
    if not merged.size:
        return 0
    sums.append(merged)
    return len(sums) - 1


@njit(cache=True)
def _xor(a: npt.NDArray[np.int64], b: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    merged = np.empty(a.size + b.size, np.int64)
    i = j = n = 0
    while i < a.size or j < b.size:
        if j == b.size or (i < a.size and a[i] > b[j]):
            merged[n] = a[i]
            i, n = i + 1, n + 1
        elif i == a.size or b[j] > a[i]:
            merged[n] = b[j]
            j, n = j + 1, n + 1
        else:
            i, j = i + 1, j + 1
    return merged[:n].copy()


@njit(cache=True)
def _relate(number: int, sums: List, lead: List) -> None:
    """Take in that a sum of new loops is none: it takes back the new loop that was found last."""
    if number == 0:
        return
    left = sums[number]
    while left.size and lead[left[0]]:
        left = _xor(left, sums[lead[left[0]]])
    if left.size:
        sums.append(left)
        lead[left[0]] = len(sums) - 1


@njit(cache=True)
def _hang(kinds: Flags, shape: tuple[int, int, int]) -> tuple[Ints, Ints]:
    """Per cube, the tree face that leads to the outside, or in a cavity to its first cube, and how many are on the way; -1: none."""
    depth, height, width = shape
    cubes = depth * height * width
    parent, steps = np.full(cubes + 1, -1, np.int32), np.full(cubes + 1, -1, np.int32)
    queue = np.empty(cubes + 1, np.int32)
    filled = 0
    steps[cubes] = 0
    for face in range(kinds.size):  # every tree face at the border leads outside
        if kinds[face] == TREE:
            one, other = sides(face, shape)
            if one == cubes or other == cubes:
                cube = min(one, other)
                parent[cube], steps[cube], queue[filled] = face, 1, cube
                filled += 1
    done = _hang_on(kinds, shape, parent, steps, queue, 0, filled)
    for cube in range(cubes):  # a cavity may be a ring, which closes a loop inside it
        if steps[cube] < 0:
            steps[cube], queue[done] = 0, cube
            done = _hang_on(kinds, shape, parent, steps, queue, done, done + 1)
    return parent, steps


@njit(cache=True)
def _hang_on(
    kinds: Flags, shape: tuple[int, int, int], parent: Ints, steps: Ints, queue: Ints, done: int, filled: int
) -> int:
    """Hang all that the cubes queue[done:filled] lead to; returns where the queue ends."""
    cubes = shape[0] * shape[1] * shape[2]
    around = np.array([0, 1, 2, 3 * shape[1] * shape[2], 3 * shape[2] + 1, 3 + 2])
    while done < filled:
        cube = queue[done]
        done += 1
        for i in range(6):
            face = cube * 3 + around[i]
            if face < kinds.size and kinds[face] == TREE:
                one, other = sides(face, shape)
                there = one + other - cube
                if there < cubes and steps[there] < 0:
                    parent[there], steps[there], queue[filled] = face, steps[cube] + 1, there
                    filled += 1
    return done


@njit(cache=True)
def _close_loops(
    ends: npt.NDArray[np.int64], parent: Ints, steps: Ints, shape: tuple[int, int, int]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Faces of the loops that `ends` close in the tree, one after the other, and where each begins."""
    faces = List([np.int64(-1)])
    starts = np.zeros(ends.size + 1, np.int64)
    for i in range(ends.size):
        faces.append(ends[i])
        one, other = sides(ends[i], shape)
        while one != other:
            if steps[one] < steps[other]:
                one, other = other, one
            face = np.int64(parent[one])
            faces.append(face)
            before, after = sides(face, shape)
            one = before + after - one
        starts[i + 1] = len(faces) - 1
    flat = np.empty(len(faces) - 1, np.int64)
    for i in range(flat.size):
        flat[i] = faces[i + 1]
    return flat, starts

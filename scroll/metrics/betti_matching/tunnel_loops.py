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

from scroll.geometry import BoolVolume
from scroll.metrics.betti_matching.dual_faces import OPEN, Flags, Ints
from scroll.metrics.betti_matching.dual_tree import TREE, closed_loops, spanning_tree
from scroll.runtime.compiled import njit

PAIRS, SLOTS = 2**14, 2**16
# All their parts, where each begins and ends, the sums of pairs that were added, and the sums there are by what they are of;
# sum n is parts[starts[n] : starts[n + 1]], descending, and sum 0 is empty. What is forgotten of the latter two is made again.
Sums = tuple[list[int], list[int], npt.NDArray[np.int64], npt.NDArray[np.int64]]


class Loops(NamedTuple):
    """Ending faces in ascending order, and the faces of loop i: `faces[starts[i]:starts[i + 1]]`, none below its own."""

    ends: npt.NDArray[np.int64]
    faces: npt.NDArray[np.int64]
    starts: npt.NDArray[np.int64]


def tunnel_loops(mask: BoolVolume) -> Loops:
    """One loop of open faces for every tunnel of a (Z, Y, X) mask."""
    tree = spanning_tree(mask)
    of_face = np.zeros(tree.kinds.size, np.int32)  # numpy's: compiled code would fill each page of it
    new_faces, spoilt = _new_faces(tree.kinds, mask, of_face)
    ends = np.sort(new_faces[~spoilt])
    return Loops(ends, *closed_loops(ends, tree, mask.shape))


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
def _new_faces(kinds: Flags, mask: BoolVolume, of_face: Ints) -> tuple[npt.NDArray[np.int64], BoolVolume]:
    """Faces that close a new loop when walked backwards, and which of those a later relation takes back.

    of_face: of every face the sum of new loops that its loop is, a number in `sums`, 0 none; all 0, and filled.
    """
    depth, height, width = mask.shape
    sums = ([np.int64(-1)], [1, 1], np.zeros((PAIRS, 3), np.int64), np.zeros(SLOTS, np.int64))
    new, lead = [np.int64(-1)], [0]  # of each new face: the number of the relation that takes it back
    has_sums = np.zeros((depth + 1, height + 1), np.bool_)  # of any face of a row
    asked, found = np.empty(width, np.uint8), np.empty(4, np.int64)
    for z in range(depth - 1, -1, -1):
        for y in range(height - 1, -1, -1):
            asked[:] = 7
            if z and y:
                asked[1:] = 0
                if z + 1 < depth:
                    _ask_row(kinds, mask, z, y, asked)
                    if has_sums[z + 1, y - 1 : y + 2].any() or has_sums[z, y + 1]:
                        _ask_beside_sums(kinds, mask, z, y, of_face, asked)
            for x in range(width - 1, -1, -1):
                for axis in range(2, -1, -1):
                    if asked[x] >> axis & 1:
                        face = ((z * height + y) * width + x) * 3 + axis
                        if kinds[face] == OPEN or kinds[face] == TREE:
                            _settle(face, axis, (z, y, x), kinds, mask, of_face, sums, new, lead, found)
                            has_sums[z, y] |= of_face[face] != 0
    faces, spoilt = np.empty(len(new) - 1, np.int64), np.empty(len(new) - 1, np.bool_)
    for i in range(1, len(new)):
        faces[i - 1], spoilt[i - 1] = new[i], lead[i] != 0
    return faces, spoilt


@njit(cache=True)
def _ask_row(kinds: Flags, mask: BoolVolume, z: int, y: int, asked: Flags) -> None:
    """Of a row of voxels inside the grid, which faces may be new though nothing beside them is a sum: one bit an axis.

    Nearly none: nothing but zeros is summed for a face that has an open edge of those named in `_cofaces`, nor is a face of
    the tree new, and along z all are of the tree.
    """
    height, width = mask.shape[1:]
    first = (z * height + y) * width
    above, beside, across = mask[z + 1, y], mask[z, min(y + 1, height - 1)], mask[z + 1, min(y + 1, height - 1)]
    for x in range(1, width):
        is_filled = above[x] and (above[x + 1] if x + 1 < width else False)
        along_x = is_filled and kinds[3 * (first + x) + 1] == OPEN
        along_y = above[x] and beside[x] and across[x] and kinds[3 * (first + x) + 2] == OPEN
        asked[x] |= 2 * along_x | 4 * along_y


@njit(cache=True)
def _ask_beside_sums(kinds: Flags, mask: BoolVolume, z: int, y: int, of_face: Ints, asked: Flags) -> None:
    """Of the same row, which faces have an open edge at which another face is a sum of new loops."""
    height, width = mask.shape[1:]
    row, plane = 3 * width, 3 * height * width
    for x in range(1, width):
        face = ((z * height + y) * width + x) * 3
        above, beside = face + plane, face + row
        if x + 1 < width and (of_face[above] or of_face[above - row] or of_face[above + 1]):
            asked[x] |= 2 * (not (mask[z + 1, y, x] and mask[z + 1, y, x + 1]))
        if y + 1 == height:
            continue
        if of_face[above] or of_face[above - 3] or of_face[above + 2]:
            asked[x] |= 4 * (not (mask[z + 1, y, x] and mask[z + 1, y + 1, x]))
        if of_face[beside + 1] or of_face[beside - 2] or of_face[beside + 2]:
            asked[x] |= 4 * (not (mask[z, y + 1, x] and mask[z + 1, y + 1, x]))


@njit(cache=True, inline="always")
def _settle(
    face: int,
    axis: int,
    at: tuple[int, int, int],
    kinds: Flags,
    mask: BoolVolume,
    of_face: Ints,
    sums: Sums,
    new: list[int],
    lead: list[int],
    found: npt.NDArray[np.int64],
) -> None:
    """Write the loop of one open face as a sum of new ones, note what relations it is in, or take it in as new."""
    shape, (z, y, x) = mask.shape, at
    is_known, inner = kinds[face] == TREE, z > 0 and y > 0 and x > 0
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
            more = of_face[found[i]]
            if more:  # asked here, for a call takes longer than most of them would have to do
                total = _add(total, more, sums, lead)
        if not is_known:
            of_face[face], is_known = total, True
        elif total != of_face[face]:
            _relate(_add(total, of_face[face], sums, lead), sums, lead)
    if not is_known:
        new.append(face)
        lead.append(0)
        sums[0].append(len(new) - 1)
        of_face[face] = _number_of(len(sums[0]) - 1, sums)


@njit(cache=True)
def _edge_of_face(axis: int, side: int, z: int, y: int, x: int) -> tuple[int, int, int, int]:
    """The four edges of a face: (along, z, y, x); side 1 and 3 are those away from its first corner."""
    first, second = (1, 2) if axis == 0 else ((0, 2) if axis == 1 else (0, 1))
    along = second if side < 2 else first
    step = first if side < 2 else second
    far = side % 2
    return along, z + far * (step == 0), y + far * (step == 1), x + far * (step == 2)


@njit(cache=True)
def _add(one: int, other: int, sums: Sums, lead: list[int]) -> int:
    """The number of the sum modulo 2 of two sums of new loops, each a list of descending numbers, none of them taken back."""
    if one == 0 or other == 0:
        return one + other
    if one == other:
        return 0
    one, other = min(one, other), max(one, other)
    parts, starts, pairs, _ = sums
    known = pairs[(one * 40503 + other) % PAIRS]
    if known[0] == one and known[1] == other:
        return known[2]
    begin = len(parts)
    for i in range(starts[one], starts[one + 1]):
        parts.append(parts[i])
    _add_from(begin, other, sums)
    at = begin
    while at < len(parts):
        if lead[parts[at]]:
            _add_from(at, lead[parts[at]], sums)
        else:
            at += 1
    number = _number_of(begin, sums)
    known[0], known[1], known[2] = one, other, number
    return number


@njit(cache=True)
def _add_from(begin: int, other: int, sums: Sums) -> None:
    """Add a sum to the parts that stand from `begin` on."""
    parts, starts = sums[0], sums[1]
    alone = np.array([parts[i] for i in range(begin, len(parts))])
    for _ in range(alone.size):
        parts.pop()
    i, j, end = 0, starts[other], starts[other + 1]
    while i < alone.size or j < end:
        if j == end or (i < alone.size and alone[i] > parts[j]):
            parts.append(alone[i])
            i += 1
        elif i == alone.size or parts[j] > alone[i]:
            parts.append(parts[j])
            j += 1
        else:
            i, j = i + 1, j + 1


@njit(cache=True)
def _number_of(begin: int, sums: Sums) -> int:
    """The number of the sum whose parts stand from `begin` on: that of an equal one, if there is one, and they go."""
    parts, starts, _, slots = sums
    size = len(parts) - begin
    if not size:
        return 0
    mixed = np.uint64(0)
    for i in range(begin, len(parts)):
        mixed = (mixed ^ np.uint64(parts[i])) * np.uint64(0x9E3779B97F4A7C15)
    slot = np.int64(mixed >> np.uint64(48))
    there = slots[slot]
    if there and starts[there + 1] - starts[there] == size:
        i = 0
        while i < size and parts[starts[there] + i] == parts[begin + i]:
            i += 1
        if i == size:
            for _ in range(size):
                parts.pop()
            return there
    starts.append(len(parts))
    slots[slot] = len(starts) - 2
    return len(starts) - 2


@njit(cache=True)
def _relate(number: int, sums: Sums, lead: list[int]) -> None:
    """Take in that a sum of new loops is none: it takes back the new loop that was found last."""
    parts, starts = sums[0], sums[1]
    while number and lead[parts[starts[number]]]:
        number = _add(number, lead[parts[starts[number]]], sums, lead)
    if number:
        lead[parts[starts[number]]] = number

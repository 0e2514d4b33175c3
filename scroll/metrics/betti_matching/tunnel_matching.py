"""Betti matching in dimension 1: which tunnels of prediction and label are the same.

A face of the union ends one of its tunnels. The tunnel is matched if the same face ends, in the image persistence of
prediction in union and of label in union, a loop that is within the prediction and one that is within the label.
A loop of a mask is a sum of tunnels of the union; the tunnel in it that ends last is the one that its image bar ends
with. Which tunnels a loop is made of shows in how often it is linked with the background loops of `tunnel_loops`:
loop i has no face before the i-th ending face, so the last tunnel of a sum is the last loop that it is linked with.
Row reduction from there gives the same pairs as reducing the boundary matrices, whatever the order of edges.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from scroll.geometry import BoolVolume
from scroll.metrics.betti_matching.runs import Runs, runs_of
from scroll.metrics.betti_matching.tunnel_loops import Loops, tunnel_loops
from scroll.runtime.compiled import njit

Words = npt.NDArray[np.uint64]
Longs = npt.NDArray[np.int64]
Ints = npt.NDArray[np.int32]
Place = tuple[int, int, int]
WORD = 64


def matched_tunnels(pred: BoolVolume, label: BoolVolume) -> int:
    """Matched bars of dimension 1 of two (Z, Y, X) masks."""
    ended = _ended_by(tunnel_loops(pred | label), pred, label)
    return int((ended[0] & ended[1]).sum())


def unmatched_tunnels(pred: BoolVolume, label: BoolVolume) -> tuple[list[Place], list[Place]]:
    """A voxel (z, y, x) at the end of each unmatched tunnel: those of the prediction, those of the label.

    A tunnel that goes on in the union is where the union's ends; one that the other mask fills, where its own ends,
    and of these the places are the first that fit.
    """
    loops = tunnel_loops(pred | label)
    ended = _ended_by(loops, pred, label)
    places: list[list[Place]] = []
    for side, mask in enumerate((pred, label)):
        alone = loops.ends[ended[side] & ~ended[1 - side]]
        own = tunnel_loops(mask).ends
        elsewhere = own[~np.isin(own, loops.ends[ended[side]])]
        faces = np.concatenate([alone, elsewhere[: len(own) - int(ended[side].sum())]])
        places.append([_place(int(face), mask.shape) for face in faces])
    return places[0], places[1]


def _place(face: int, shape: tuple[int, ...]) -> Place:
    z, y, x = np.unravel_index(face // 3, shape)
    return int(z), int(y), int(x)


def _ended_by(loops: Loops, pred: BoolVolume, label: BoolVolume) -> tuple[BoolVolume, BoolVolume]:
    """Which ends of the union's tunnels also end a loop of the prediction, and which one of the label, (tunnels,)."""
    if not len(loops.ends):
        return np.zeros(0, bool), np.zeros(0, bool)
    forests = [_forest(mask) for mask in (pred, label)]
    found: list[list[tuple[Longs, Words]]] = [[], []]
    for first in range(0, len(loops.ends), WORD):
        along_z, along_y = _shadows(loops, first, pred.shape)
        for side, forest in enumerate(forests):
            links = _links(forest.order, forest.parents, forest.joints, along_z.ravel(), along_y.ravel())
            found[side].append(_linked_edges(*forest.runs, links, along_z, along_y))
    in_pred, in_label = (_last_tunnels(_rows(chunks), len(loops.ends)) for chunks in found)
    return in_pred, in_label


def _shadows(loops: Loops, first: int, shape: tuple[int, ...]) -> tuple[Words, Words]:
    """Membranes that span 64 loops, as the edges along z and along y that they cut, one bit a loop, (Z, Y, X) each.

    A loop's membrane is its shadow in the direction of growing x; steps along x throw none.
    """
    along_z, along_y = np.zeros(shape, np.uint64), np.zeros(shape, np.uint64)
    last = min(first + WORD, len(loops.ends))
    _mark(loops.faces, loops.starts, first, last, along_z, along_y)
    for marks in (along_z, along_y):
        _cast(marks)
    return along_z, along_y


@njit(cache=True)
def _mark(faces: Longs, starts: Longs, first: int, last: int, along_z: Words, along_y: Words) -> None:
    height, width = along_z.shape[1:]
    for loop in range(first, last):
        bit = np.uint64(1) << np.uint64(loop - first)
        for i in range(starts[loop], starts[loop + 1]):
            axis, voxel = faces[i] % 3, faces[i] // 3
            z, y, x = voxel // (height * width), voxel // width % height, voxel % width
            if axis == 0:
                along_y[z, y, x + 1] ^= bit
            elif axis == 1:
                along_z[z, y, x + 1] ^= bit
            elif x == 0:  # out at the side where shadows begin: go around the volume, over its first plane
                for above in range(z + 1):
                    along_y[above, y, 0] ^= bit


@njit(cache=True)
def _cast(marks: Words) -> None:
    """Carry every mark on to the end of its row, two on one voxel cancelling."""
    for z in range(marks.shape[0]):
        for y in range(marks.shape[1]):
            row = marks[z, y]
            carried = np.uint64(0)
            for x in range(row.size):
                carried ^= row[x]
                row[x] = carried


class Forest(NamedTuple):
    """How runs of a mask along x, on which no shadow is cut, hang together.

    Attributes:
        runs: the runs.
        order: their numbers, so that each follows its parent.
        parents: of each in that order, the parent; -1 at the root of a component.
        joints: the edge that joins the two, 3 * voxel + axis.
    """

    runs: Runs
    order: Ints
    parents: Ints
    joints: Longs


def _forest(mask: BoolVolume) -> Forest:
    runs = runs_of(mask)
    return Forest(runs, *_hang_together(*runs, mask.shape))


@njit(cache=True)
def _hang_together(begins: Ints, firsts: Ints, ends: Ints, shape: tuple[int, int, int]) -> tuple[Ints, Ints, Longs]:
    """Order, parents and joints of runs; see `Forest`."""
    depth, height, width = shape
    count = firsts.size
    rows = np.empty(count, np.int32)
    for row in range(depth * height):
        rows[begins[row] : begins[row + 1]] = row
    order, parents, joints = np.empty(count, np.int32), np.empty(count, np.int32), np.empty(count, np.int64)
    left = np.ones(count, np.bool_)  # not seen so far
    filled = 0
    for root in range(count):
        if not left[root]:
            continue
        done = filled
        order[filled], parents[filled], joints[filled], left[root] = root, -1, -1, False
        filled += 1
        while done < filled:
            here = order[done]
            done += 1
            row = rows[here]
            z, y = row // height, row % height
            for axis in range(2):
                at, length, step = (z, depth, height) if axis == 0 else (y, height, 1)
                for other in (row - step, row + step):
                    if (other < row and not at) or (other > row and at + 1 == length):
                        continue
                    for there in range(begins[other], begins[other + 1]):
                        if firsts[there] >= ends[here]:
                            break
                        if left[there] and ends[there] > firsts[here]:
                            voxel = min(row, other) * width + max(firsts[here], firsts[there])
                            order[filled], parents[filled], left[there] = there, here, False
                            joints[filled] = 3 * voxel + axis
                            filled += 1
    return order, parents, joints


@njit(cache=True)
def _links(order: Ints, parents: Ints, joints: Longs, along_z: Words, along_y: Words) -> Words:
    """Which of 64 loops the way from the root to each run is linked with, (runs,)."""
    links = np.zeros(order.size, np.uint64)
    for i in range(order.size):
        if parents[i] >= 0:
            voxel = joints[i] // 3
            links[order[i]] = links[parents[i]] ^ (along_y[voxel] if joints[i] % 3 else along_z[voxel])
    return links


@njit(cache=True)
def _linked_edges(
    begins: Ints, firsts: Ints, ends: Ints, links: Words, along_z: Words, along_y: Words
) -> tuple[Longs, Words]:
    """Edges of the mask (3 * voxel + axis) whose loop through the forest is linked, and with which of 64 loops.

    No edge within a run is.
    """
    depth, height, width = along_z.shape
    edges, bits = [0 for _ in range(0)], [np.uint64(0) for _ in range(0)]  # lists of a type, with nothing in them
    for row in range(depth * height):
        z, y = row // height, row % height
        for axis in range(2):
            if (z + 1 == depth) if axis == 0 else (y + 1 == height):
                continue
            other = row + height if axis == 0 else row + 1
            cuts = along_z[z, y] if axis == 0 else along_y[z, y]
            there = begins[other]
            for here in range(begins[row], begins[row + 1]):
                while there < begins[other + 1] and ends[there] <= firsts[here]:
                    there += 1
                beside = there
                while beside < begins[other + 1] and firsts[beside] < ends[here]:
                    link = links[here] ^ links[beside]
                    for x in range(max(firsts[here], firsts[beside]), min(ends[here], ends[beside])):
                        if link ^ cuts[x]:
                            edges.append(3 * (row * width + x) + axis)
                            bits.append(link ^ cuts[x])
                    beside += 1
    return np.array(edges), np.array(bits)


def _rows(chunks: list[tuple[Longs, Words]]) -> Words:
    """The different rows of links, (rows, words), from the linked edges of every 64 loops."""
    edges = np.unique(np.concatenate([chunk[0] for chunk in chunks]))
    rows = np.zeros((len(edges), len(chunks)), np.uint64)
    for word, (linked, bits) in enumerate(chunks):
        rows[np.searchsorted(edges, linked), word] = bits
    return np.unique(rows, axis=0) if len(rows) else rows


def _last_tunnels(rows: Words, count: int) -> BoolVolume:
    """Which of `count` tunnels are the last one of some sum of rows, (count,)."""
    return _leads(rows)[:count]


@njit(cache=True)
def _leads(rows: Words) -> BoolVolume:
    n, words = rows.shape
    reduced = np.full(words * WORD, -1, np.int64)
    for i in range(n):
        row = rows[i]
        for word in range(words - 1, -1, -1):
            while row[word]:
                bit = 63
                while not (row[word] >> np.uint64(bit)) & np.uint64(1):
                    bit -= 1
                lead = word * WORD + bit
                if reduced[lead] < 0:
                    reduced[lead] = i
                    break
                row ^= rows[reduced[lead]]
            if row[word]:
                break
    return reduced >= 0

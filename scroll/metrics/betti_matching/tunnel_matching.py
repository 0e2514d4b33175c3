"""Betti matching in dimension 1: which tunnels of prediction and label are the same.

A face of the union ends one of its tunnels. The tunnel is matched if the same face ends, in the image persistence of
prediction in union and of label in union, a loop that is within the prediction and one that is within the label.
A loop of a mask is a sum of tunnels of the union; the tunnel in it that ends last is the one that its image bar ends
with. Which tunnels a loop is made of shows in how often it is linked with the background loops of `tunnel_loops`:
loop i has no face before the i-th ending face, so the last tunnel of a sum is the last loop that it is linked with.
Row reduction from there gives the same pairs as reducing the boundary matrices, whatever the order of edges.
"""

import numpy as np
import numpy.typing as npt

from scroll.geometry import BoolVolume
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
    masks = [np.ascontiguousarray(mask) for mask in (pred, label)]
    forests = [_forest(mask, *np.empty((2, np.count_nonzero(mask)), np.int32)) for mask in masks]
    links = np.empty(pred.size, np.uint64)  # numpy's, and one for all: its pages cost more than what is done with them
    found: list[list[tuple[Longs, Words]]] = [[], []]
    for first in range(0, len(loops.ends), WORD):
        shadows = _shadows(loops, first, pred.shape)
        for side, mask in enumerate(masks):
            found[side].append(_linked_edges(mask, *forests[side], *shadows, links))
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


@njit(cache=True)
def _forest(mask: BoolVolume, order: Ints, parents: Ints) -> tuple[Ints, Ints]:
    """Fill in the voxels of a mask so that each follows its parent, and the parents (itself at the root of a component)."""
    depth, height, width = mask.shape
    plane, flat = height * width, mask.ravel()
    left = mask.copy().ravel()  # not seen so far
    filled = 0
    for root in range(flat.size):
        if not left[root]:
            continue
        done = filled
        order[filled], parents[filled], left[root] = root, root, False
        filled += 1
        while done < filled:
            here = order[done]
            done += 1
            line = here // width
            x, z = here - line * width, line // height
            y = line - z * height
            for side in range(6):
                if side == 0 and z + 1 < depth:
                    there = here + plane
                elif side == 1 and z:
                    there = here - plane
                elif side == 2 and y + 1 < height:
                    there = here + width
                elif side == 3 and y:
                    there = here - width
                elif side == 4 and x + 1 < width:
                    there = here + 1
                elif side == 5 and x:
                    there = here - 1
                else:
                    continue
                if left[there]:
                    order[filled], parents[filled], left[there] = there, here, False
                    filled += 1
    return order, parents


@njit(cache=True)
def _linked_edges(
    mask: BoolVolume, order: Ints, parents: Ints, along_z: Words, along_y: Words, links: Words
) -> tuple[Longs, Words]:
    """Edges of the mask (3 * voxel + axis) whose loop through the forest is linked, and with which of 64 loops; rising.

    links: (voxels,), filled with the links of the way from the root, for the mask alone.
    """
    depth, height, width = mask.shape
    flat, cut_z, cut_y = mask.ravel(), along_z.ravel(), along_y.ravel()
    plane, no_cut = height * width, np.uint64(0)
    for i in range(order.size):
        here, parent = order[i], parents[i]
        first, step = min(here, parent), abs(here - parent)
        cut = no_cut
        if step == plane:  # asked first: on an axis of one voxel no step is taken, so equal strides do no harm
            cut = cut_z[first]
        elif step == width:
            cut = cut_y[first]
        links[here] = (links[parent] if step else no_cut) ^ cut
    edges, bits = [0 for _ in range(0)], [no_cut for _ in range(0)]  # lists of a type, with nothing in them
    for z in range(depth):
        for y in range(height):
            first = z * plane + y * width
            below, beside = plane if z + 1 < depth else 0, width if y + 1 < height else 0
            if not _is_any_linked(flat, links, cut_z, cut_y, (first, width), (below, beside)):
                continue
            for here in range(first, first + width):
                if not flat[here]:
                    continue
                for axis in range(3):
                    if axis == 0 and below:
                        there, cut = here + below, cut_z[here]
                    elif axis == 1 and beside:
                        there, cut = here + beside, cut_y[here]
                    elif axis == 2 and here + 1 < first + width:
                        there, cut = here + 1, no_cut
                    else:
                        continue
                    if flat[there]:
                        linked = links[here] ^ links[there] ^ cut
                        if linked:
                            edges.append(here * 3 + axis)
                            bits.append(linked)
    return np.array(edges), np.array(bits)


@njit(cache=True)
def _is_any_linked(
    flat: BoolVolume, links: Words, cut_z: Words, cut_y: Words, row: tuple[int, int], steps: tuple[int, int]
) -> bool:
    """Whether an edge that begins in a row (its first voxel, its length) is linked; `steps`: to the rows after it, 0 for none.

    Without a branch a voxel, for in nearly all rows there is none.
    """
    (first, width), (below, beside) = row, steps
    here, filled = links[first : first + width], flat[first : first + width]
    found = np.uint64(0)
    for x in range(width - 1):
        found |= (here[x] ^ here[x + 1]) * np.uint64(filled[x] & filled[x + 1])
    if below:
        there, ends, cut = links[first + below :], flat[first + below :], cut_z[first:]
        for x in range(width):
            found |= (here[x] ^ there[x] ^ cut[x]) * np.uint64(filled[x] & ends[x])
    if beside:
        there, ends, cut = links[first + beside :], flat[first + beside :], cut_y[first:]
        for x in range(width):
            found |= (here[x] ^ there[x] ^ cut[x]) * np.uint64(filled[x] & ends[x])
    return found != 0


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

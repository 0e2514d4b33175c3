"""Where a prediction's components, tunnels, cavities, splits and merges differ from the label's, and how to mend each."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import find_objects

from scroll.geometry import BoolVolume, Box, Labels
from scroll.metrics import voi
from scroll.metrics.betti_matching import betti
from scroll.metrics.betti_matching.connected import connected_components
from scroll.metrics.betti_matching.tunnel_matching import unmatched_tunnels
from scroll.metrics.topology import octant_counts
from scroll.runtime.compiled import njit

Place = tuple[int, int, int]
BALL_RADII_VOX = (1, 2, 3, 4, 6, 8, 12)  # tried in turn until a tunnel is mended


@dataclass(frozen=True)
class Fault:
    """Something wrong around voxel `where` (z, y, x), and the prediction's new voxels `block` in `box` that mend it.

    `dimension` is 0 for components, 1 tunnels, 2 cavities, None for splits and merges. No `block`: no way is known.
    """

    kind: str
    where: Place
    octant: int
    dimension: int | None
    is_missing: bool
    size_vox: int | None
    box: Box
    block: BoolVolume | None


def octant_faults(
    pred: BoolVolume, label: BoolVolume, part: Box, counts: npt.NDArray[np.int64], tries: int
) -> list[Fault]:
    """Wrong and missing components, tunnels and cavities of one octant, `part` of two (Z, Y, X) masks.

    `counts` are the octant's, (3, 3). A way to mend a tunnel is sought for the first `tries` of each side.
    """
    inner_pred, inner_label = np.ascontiguousarray(pred[part]), np.ascontiguousarray(label[part])
    if not inner_pred.any() and not inner_label.any():
        return []
    corner = tuple(side.start for side in part)
    found = [*_components(inner_pred, inner_label), *_cavities(inner_pred, inner_label)]
    if counts[1, 1] or counts[1, 2]:
        found += _tunnels(inner_pred, inner_label, counts, tries)
    octant = sum(4 >> axis for axis, start in enumerate(corner) if start)
    return [_moved(fault, corner, octant) for fault in found]


def _moved(fault: Fault, corner: tuple[int, ...], octant: int) -> Fault:
    z, y, x = (int(here + start) for here, start in zip(fault.where, corner, strict=True))
    box = tuple(slice(side.start + start, side.stop + start) for side, start in zip(fault.box, corner, strict=True))
    return Fault(fault.kind, (z, y, x), octant, fault.dimension, fault.is_missing, fault.size_vox, box, fault.block)


def _regions(labels: Labels, requested: npt.NDArray[np.bool_]) -> list[tuple[Box, BoolVolume, Place]]:
    """Box, mask in the box and a voxel of each label that is `requested` (by number)."""
    regions = []
    for number, box in enumerate(find_objects(labels.astype(np.int32, copy=False)), start=1):
        if box is None or not requested[number]:
            continue
        inside = labels[box] == number
        voxels = np.argwhere(inside)
        nearest = voxels[((voxels - voxels.mean(axis=0)) ** 2).sum(axis=1).argmin()]
        z, y, x = (int(here + side.start) for here, side in zip(nearest, box, strict=True))
        regions.append((box, inside, (z, y, x)))
    return regions


def _touched(labels: Labels, mask: BoolVolume) -> npt.NDArray[np.bool_]:
    """Which numbers of `labels` share a voxel with `mask`."""
    return np.bincount(labels[mask], minlength=int(labels.max(initial=0)) + 1) > 0


def _components(pred: BoolVolume, label: BoolVolume) -> list[Fault]:
    faults = []
    pieces = betti.components(pred)
    for box, inside, where in _regions(pieces, ~_touched(pieces, label)):
        block = pred[box] & ~inside
        faults.append(Fault("stray component", where, 0, 0, False, int(inside.sum()), box, block))
    pieces = betti.components(label)
    for box, inside, where in _regions(pieces, ~_touched(pieces, pred)):
        faults.append(Fault("missing component", where, 0, 0, True, int(inside.sum()), box, pred[box] | inside))
    return faults


def _cavities(pred: BoolVolume, label: BoolVolume) -> list[Fault]:
    faults = []
    own, own_closed = betti.cavities(pred)
    true, true_closed = betti.cavities(label)
    in_own, in_true = np.isin(own, own_closed), np.isin(true, true_closed)
    for box, inside, where in _regions(own * in_own, ~_touched(own, in_true)):
        faults.append(Fault("wrong cavity", where, 0, 2, False, int(inside.sum()), box, pred[box] | inside))
    for box, _, where in _regions(true * in_true, ~_touched(true, in_own)):
        wider = tuple(
            slice(max(side.start - 1, 0), min(side.stop + 1, size)) for side, size in zip(box, pred.shape, strict=True)
        )
        faults.append(_set_to_label("missing cavity", where, 2, True, wider, pred, label))
    return faults


def _set_to_label(
    kind: str, where: Place, dimension: int, is_missing: bool, box: Box, pred: BoolVolume, label: BoolVolume
) -> Fault:
    changed = int((pred[box] != label[box]).sum())
    return Fault(kind, where, 0, dimension, is_missing, changed, box, label[box].copy())


def _tunnels(pred: BoolVolume, label: BoolVolume, counts: npt.NDArray[np.int64], tries: int) -> list[Fault]:
    faults = []
    wrong, missing = unmatched_tunnels(pred, label)
    for places, is_missing in ((wrong, False), (missing, True)):
        kind = "missing tunnel" if is_missing else "wrong tunnel"
        for number, where in enumerate(places):
            mend = _ball_that_mends(pred, label, where, counts) if number < tries else None
            if mend is None:
                nowhere = tuple(slice(here, here) for here in where)
                faults.append(Fault(kind, where, 0, 1, is_missing, None, nowhere, None))
            else:
                changed = int((pred[mend[0]] != mend[1]).sum())
                faults.append(Fault(kind, where, 0, 1, is_missing, changed, *mend))
    return faults


def _ball_that_mends(
    pred: BoolVolume, label: BoolVolume, where: Place, counts: npt.NDArray[np.int64]
) -> tuple[Box, BoolVolume] | None:
    """The smallest ball that, set to the label, leaves fewer wrong tunnels and not more other faults."""
    before = _mistakes(counts)
    for radius in BALL_RADII_VOX:
        box = tuple(
            slice(max(here - radius, 0), min(here + radius + 1, size))
            for here, size in zip(where, pred.shape, strict=True)
        )
        grid = np.ogrid[box]
        ball = sum((axis - here) ** 2 for axis, here in zip(grid, where, strict=True)) <= radius * radius
        block = np.where(ball, label[box], pred[box])
        if np.array_equal(block, pred[box]):
            continue
        trial = pred.copy()
        trial[box] = block
        after = _mistakes(octant_counts(trial, label))
        if after[1] < before[1] and after.sum() < before.sum():
            return box, block
    return None


def _mistakes(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    mistakes: npt.NDArray[np.int64] = counts[:, 1] + counts[:, 2] - 2 * counts[:, 0]
    return mistakes


def piece_faults(pred: BoolVolume, label: BoolVolume) -> list[Fault]:
    """Merges (a bridge of prediction between two pieces of the label) and splits (a gap), of two (Z, Y, X) masks."""
    in_pred, in_label = voi.components(pred), voi.components(label)
    bridges = _bridges(_spread(in_label, pred), in_label)
    gaps = connected_components(label & ~pred, 26)
    parting = _parting(gaps, in_pred, in_label, int(gaps.max(initial=0)) + 1)
    merges = connected_components(bridges, 26)
    every = np.ones(int(merges.max(initial=0)) + 1, bool)
    return [
        *_piece_faults("merge", pred, _regions(merges, every), lambda own, inside: own & ~inside),
        *_piece_faults("split", pred, _regions(gaps, parting), lambda own, inside: own | inside),
    ]


def _piece_faults(
    kind: str,
    pred: BoolVolume,
    regions: list[tuple[Box, BoolVolume, Place]],
    mend: Callable[[BoolVolume, BoolVolume], BoolVolume],
) -> list[Fault]:
    halves = [(size + 1) // 2 for size in pred.shape]
    faults = []
    for box, inside, where in regions:
        octant = sum(4 >> axis for axis in range(3) if where[axis] >= halves[axis])
        faults.append(Fault(kind, where, octant, None, False, int(inside.sum()), box, mend(pred[box], inside)))
    return faults


@njit(cache=True)
def _spread(labels: Labels, mask: BoolVolume) -> Labels:
    """Give every voxel of the mask the number that is nearest within the mask, 0 where none can be reached."""
    depth, height, width = mask.shape
    cells = np.zeros(mask.shape, np.uint32)
    queue = np.empty((mask.sum(), 3), np.int32)
    filled = done = 0
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                if mask[z, y, x] and labels[z, y, x]:
                    cells[z, y, x] = labels[z, y, x]
                    queue[filled, 0], queue[filled, 1], queue[filled, 2] = z, y, x
                    filled += 1
    while done < filled:
        z, y, x = queue[done]
        done += 1
        for i in range(max(z - 1, 0), min(z + 2, depth)):
            for j in range(max(y - 1, 0), min(y + 2, height)):
                for k in range(max(x - 1, 0), min(x + 2, width)):
                    if mask[i, j, k] and not cells[i, j, k]:
                        cells[i, j, k] = cells[z, y, x]
                        queue[filled, 0], queue[filled, 1], queue[filled, 2] = i, j, k
                        filled += 1
    return cells


@njit(cache=True)
def _bridges(cells: Labels, labels: Labels) -> BoolVolume:
    """Voxels outside all labels that touch a cell of another number: without them the cells are apart."""
    depth, height, width = cells.shape
    bridges = np.zeros(cells.shape, np.bool_)
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                if not cells[z, y, x] or labels[z, y, x]:
                    continue
                for i in range(max(z - 1, 0), min(z + 2, depth)):
                    for j in range(max(y - 1, 0), min(y + 2, height)):
                        for k in range(max(x - 1, 0), min(x + 2, width)):
                            if cells[i, j, k] and cells[i, j, k] != cells[z, y, x]:
                                bridges[z, y, x] = True
    return bridges


@njit(cache=True)
def _parting(gaps: Labels, in_pred: Labels, in_label: Labels, count: int) -> BoolVolume:
    """Which gaps touch two different predicted pieces of the label's component that they lie in, (count,)."""
    depth, height, width = gaps.shape
    first, parting = np.zeros(count, np.uint32), np.zeros(count, np.bool_)
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                gap = gaps[z, y, x]
                if not gap or parting[gap]:
                    continue
                for i in range(max(z - 1, 0), min(z + 2, depth)):
                    for j in range(max(y - 1, 0), min(y + 2, height)):
                        for k in range(max(x - 1, 0), min(x + 2, width)):
                            piece = in_pred[i, j, k]
                            if piece and in_label[i, j, k] == in_label[z, y, x]:
                                if first[gap] == 0:
                                    first[gap] = piece
                                elif first[gap] != piece:
                                    parting[gap] = True
    return parting

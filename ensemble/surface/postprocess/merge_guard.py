"""Masks may grow, but never together: the one guard that every growing step of post-processing shares."""

import numpy as np

from scroll.geometry import BoolVolume, Labels
from scroll.metrics.betti_matching.connected import connected_components
from scroll.runtime.compiled import njit


def keep_apart(before: BoolVolume, after: BoolVolume) -> BoolVolume:
    """`after` less those new voxels that would join two 26-connected components of `before`, (Z, Y, X) bool each.

    New voxels are taken in from the components outwards, the nearest first, so that two that grow towards each other
    stop with one voxel between them. What touches no component of `before` is not taken in either: nothing appears
    out of nowhere.
    """
    labels = connected_components(before, 26)
    labels[~after] = 0
    _grow(labels, np.ascontiguousarray(after & ~before))
    return labels != 0


@njit(cache=True)
def _grow(labels: Labels, after: BoolVolume) -> None:
    """Give every new voxel the label of its neighbours, unless they have more than one."""
    shape = labels.shape
    queue, is_queued = np.empty(after.sum(), np.int64), np.zeros(shape, np.bool_)
    filled = 0
    for z in range(shape[0]):
        for y in range(shape[1]):
            for x in range(shape[2]):
                if after[z, y, x] and _label_around(labels, z, y, x) != 0:
                    queue[filled], is_queued[z, y, x] = (z * shape[1] + y) * shape[2] + x, True
                    filled += 1
    done = 0
    while done < filled:
        line, x = divmod(queue[done], shape[2])
        z, y = divmod(line, shape[1])
        done += 1
        label = _label_around(labels, z, y, x)
        if label < 0:
            continue
        labels[z, y, x] = label
        for k in range(max(z - 1, 0), min(z + 2, shape[0])):
            for j in range(max(y - 1, 0), min(y + 2, shape[1])):
                for i in range(max(x - 1, 0), min(x + 2, shape[2])):
                    if after[k, j, i] and not is_queued[k, j, i]:
                        queue[filled], is_queued[k, j, i] = (k * shape[1] + j) * shape[2] + i, True
                        filled += 1


@njit(cache=True)
def _label_around(labels: Labels, z: int, y: int, x: int) -> int:
    """The label among the 26 neighbours; 0: none, -1: more than one."""
    found = 0
    for k in range(max(z - 1, 0), min(z + 2, labels.shape[0])):
        for j in range(max(y - 1, 0), min(y + 2, labels.shape[1])):
            for i in range(max(x - 1, 0), min(x + 2, labels.shape[2])):
                label = int(labels[k, j, i])
                if label and label != found:
                    if found:
                        return -1
                    found = label
    return found

"""The spanning tree of the dual graph, out of the last open faces, and the loops that other faces close in it.

An open face along z is in the tree always, but for the first plane: it is the last face that its earlier cube has. So a
run of cubes along z through open faces is one node, the outside among them, and only the faces between runs are asked
whether they join two clusters. Where all is open around, every run leads outside and nothing is asked.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from scroll.geometry import BoolVolume
from scroll.metrics.betti_matching.dual_faces import OPEN, Flags, Ints, face_kinds, find, sides
from scroll.runtime.compiled import njit

TREE = 3  # an open face that belongs to the spanning tree of the dual graph
Longs = npt.NDArray[np.int64]
OUTSIDE = 0  # the number of the run that is beyond the border


class Tree(NamedTuple):
    """The faces with those of the tree marked, and how runs hang in it.

    Attributes:
        kinds: as `face_kinds`, with TREE, (3 * Z * Y * X,).
        runs: per cube the number of its run, (Z * Y * X,).
        parent: per run, the face that leads to the outside, or in a cavity to its first run; -1: none.
        steps: how many such faces are on the way.
    """

    kinds: Flags
    runs: Ints
    parent: Longs
    steps: Ints


def spanning_tree(mask: BoolVolume) -> Tree:
    """The tree of the cubes of a (Z, Y, X) mask."""
    kinds = face_kinds(mask)
    runs = np.zeros(mask.size, np.int32)
    count = _number_runs(kinds, mask.shape, runs)
    joints = _mark(kinds, runs, count, mask.shape)
    return Tree(kinds, runs, *_hang(joints, runs, count, mask.shape))


@njit(cache=True)
def _number_runs(kinds: Flags, shape: tuple[int, int, int], runs: Ints) -> int:
    """Fill in the run of every cube, all 0 so far; how many runs there are, the outside among them."""
    depth, height, width = shape
    plane, count = height * width, 1
    for z in range(depth - 2, -1, -1):
        for y in range(height - 1):
            for x in range(width - 1):
                cube = (z * height + y) * width + x
                if kinds[3 * (cube + plane)] == OPEN:
                    runs[cube] = runs[cube + plane]  # the last cubes' neighbours there are none: the outside
                else:
                    runs[cube] = count
                    count += 1
    return count


@njit(cache=True)
def _mark(kinds: Flags, runs: Ints, count: int, shape: tuple[int, int, int]) -> Longs:
    """Mark as TREE the open faces that, from the last to the first, join two clusters of cubes; returns those between runs."""
    depth, height, width = shape
    plane = height * width
    parents, joints, found = np.arange(count).astype(np.int32), np.empty(count, np.int64), 0
    for z in range(depth - 1, -1, -1):
        for y in range(height - 1, -1, -1):
            for voxel in range(z * plane + y * width + width - 1, z * plane + y * width - 1, -1):
                here, is_first = runs[voxel], voxel == z * plane + y * width
                for axis in range(2, -1, -1):
                    face = 3 * voxel + axis
                    if axis == 2:
                        there = OUTSIDE if is_first else runs[voxel - 1]
                    elif axis == 1:
                        there = runs[voxel - width] if y else OUTSIDE
                    elif z:
                        kinds[face] = TREE if kinds[face] == OPEN else kinds[face]
                        continue
                    else:
                        there = OUTSIDE
                    if here == there or kinds[face] != OPEN:
                        continue
                    one, other = find(parents, here), find(parents, there)
                    if one != other:
                        parents[max(one, other)] = min(one, other)
                        kinds[face], joints[found] = TREE, face
                        found += 1
    return joints[:found].copy()


@njit(cache=True)
def _run(runs: Ints, cube: int) -> int:
    return runs[cube] if cube < runs.size else OUTSIDE


@njit(cache=True)
def _hang(joints: Longs, runs: Ints, count: int, shape: tuple[int, int, int]) -> tuple[Longs, Ints]:
    """Of each run the face towards the outside, or in a cavity towards its first run, and how many are on the way."""
    parent, steps = np.full(count, -1, np.int64), np.full(count, -1, np.int32)
    first, following = np.full(count, -1, np.int32), np.full(2 * joints.size, -1, np.int32)
    ends = np.empty(2 * joints.size, np.int32)  # the run that each joint leads to, there and back
    for i in range(joints.size):
        one, other = sides(joints[i], shape)
        ends[2 * i], ends[2 * i + 1] = _run(runs, one), _run(runs, other)
        for back in range(2):
            start = ends[2 * i + 1 - back]
            following[2 * i + back], first[start] = first[start], 2 * i + back
    queue = np.empty(count, np.int32)
    done = filled = 0
    for root in range(count):  # a cavity may be a ring, which closes a loop inside it
        if steps[root] >= 0:
            continue
        steps[root], queue[filled] = 0, root
        filled += 1
        while done < filled:
            here = queue[done]
            done += 1
            joint = first[here]
            while joint >= 0:
                there = ends[joint]
                if steps[there] < 0:
                    parent[there], steps[there], queue[filled] = joints[joint // 2], steps[here] + 1, there
                    filled += 1
                joint = following[joint]
    return parent, steps


def closed_loops(ends: Longs, tree: Tree, shape: tuple[int, ...]) -> tuple[Longs, Longs]:
    """Faces of the loops that `ends` close in the tree, one after the other, and where each begins."""
    loops = [_loop(end, tree.runs, tree.parent, tree.steps, shape) for end in ends]
    starts = np.cumsum([0, *map(len, loops)])
    return np.concatenate([np.zeros(0, np.int64), *loops]), starts


@njit(cache=True)
def _loop(end: int, runs: Ints, parent: Longs, steps: Ints, shape: tuple[int, int, int]) -> Longs:
    faces = [end]
    one, other = sides(end, shape)
    while _run(runs, one) != _run(runs, other):
        if steps[_run(runs, one)] < steps[_run(runs, other)]:
            one, other = other, one
        joint = parent[_run(runs, one)]
        inner, outer = sides(joint, shape)
        if _run(runs, inner) != _run(runs, one):
            inner, outer = outer, inner
        _add_column(faces, one, inner, runs.size, shape)
        faces.append(joint)
        one = outer
    _add_column(faces, one, other, runs.size, shape)
    return np.array(faces)


@njit(cache=True)
def _add_column(faces: list[int], one: int, other: int, outside: int, shape: tuple[int, int, int]) -> None:
    """The faces along z between two cubes of a run; those of the outside meet beyond the last plane."""
    plane = shape[1] * shape[2]
    low, high = min(one, other), max(one, other)
    if high < outside and low % plane == high % plane:
        for voxel in range(low + plane, high + 1, plane):
            faces.append(3 * voxel)
        return
    for cube in (low, high):
        if cube < outside:
            for voxel in range(cube + plane, outside, plane):
                faces.append(3 * voxel)

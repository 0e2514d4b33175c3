"""Betti matching in dimension 2: which cavities of prediction and label are the same.

Cavities are clusters of cubes that stay apart from the outside until faces of the mask fall. Faces are walked in
reverse order and the clusters on their two sides merged; the lesser root (not the outside, then without background
before with background, then the smaller number) dies.
"""

import numpy as np

from scroll.geometry import BoolVolume
from scroll.metrics.betti_matching.dual_faces import FILLED, OPEN, Flags, face_kinds, find, sides
from scroll.runtime.compiled import njit


def matched_cavities(pred: BoolVolume, label: BoolVolume) -> int:
    """Matched bars of dimension 2 of two (Z, Y, X) masks."""
    union = pred | label
    union_kinds, union_open = face_kinds(union), _open_cubes(union)
    died = _deaths(union_kinds, union_open, union_open, union.shape)
    for mask in (pred, label):
        died &= _deaths(face_kinds(mask), _open_cubes(mask), union_open, mask.shape)
    return int(died.sum())


def _open_cubes(mask: BoolVolume) -> BoolVolume:
    """Whether the cube at each voxel has a background voxel, (Z * Y * X + 1,); the outside is last."""
    filled = np.zeros(mask.shape, bool)
    inside = mask[:-1] & mask[1:]
    inside = inside[:, :-1] & inside[:, 1:]
    filled[:-1, :-1, :-1] = inside[:, :, :-1] & inside[:, :, 1:]
    return np.append(~filled.ravel(), True)


@njit(cache=True)
def _deaths(kinds: Flags, own_open: BoolVolume, union_open: BoolVolume, shape: tuple[int, int, int]) -> BoolVolume:
    """Union roots, (Z * Y * X + 1,) bool, that die where a bar of this mask's own filtration ends."""
    outside = own_open.size - 1
    parents = np.arange(outside + 1).astype(np.int32)
    own_root, union_root = parents.copy(), parents.copy()
    died = np.zeros(outside + 1, np.bool_)
    for kind in (OPEN, FILLED):
        for face in range(kinds.size - 1, -1, -1):
            if kinds[face] != kind:
                continue
            one, other = sides(face, shape)
            one, other = find(parents, one), find(parents, other)
            if one == other:
                continue
            dying_own = _lesser(own_root[one], own_root[other], own_open)
            dying_union = _lesser(union_root[one], union_root[other], union_open)
            if kind == FILLED and own_open[dying_own]:
                died[dying_union] = True
            own = own_root[one] + own_root[other] - dying_own
            in_union = union_root[one] + union_root[other] - dying_union
            keeps, goes = max(one, other), min(one, other)
            parents[goes] = keeps
            own_root[keeps], union_root[keeps] = own, in_union
    return died


@njit(cache=True)
def _lesser(one: int, other: int, is_open: BoolVolume) -> int:
    outside = is_open.size - 1
    if one == outside:
        return other
    if other == outside:
        return one
    if is_open[one] != is_open[other]:
        return other if is_open[one] else one
    return min(one, other)

"""Surface Dice: the share of two surfaces that is within a tolerance of each other.

Agrees with DeepMind's surface-distance 0.1 at spacing (1, 1, 1); all lengths are voxels. Not the same as MONAI's
default "normalized surface Dice", which counts voxels and not areas.

Source: Nikolov et al. 2018, "Deep learning to achieve clinically applicable segmentation of head and neck anatomy".
"""

from functools import cache
from itertools import combinations

import numpy as np
import numpy.typing as npt

from scroll.errors import InputError
from scroll.geometry import BoolVolume

STENCIL_REACH_VOX = 6.0  # beyond it the ball has so many rows that a distance transform is cheaper

Corner = tuple[int, int, int]
Point = npt.NDArray[np.float64]


def surface_dice(pred: BoolVolume, truth: BoolVolume, tolerance_vox: float = 2.0) -> float:
    """Share of both surfaces, by area, within `tolerance_vox` (inclusive) of the other surface: 0 to 1.

    Arrays are (Z, Y, X) bool; where they meet the border of the volume there is surface too. Ignored voxels are the
    caller's to clear, in both. Both empty: 1. One empty: 0.

    Raises:
        InputError: not two 3D bool arrays of one shape, or a tolerance that is negative or not a number.
    """
    _check(pred, truth, tolerance_vox)
    counts = matched_histograms(pred, truth, tolerance_vox)
    areas = counts.astype(np.float64) @ corner_areas()  # (of prediction / truth, missed / matched)
    of_pred, of_truth = areas.sum(axis=1)
    if not of_pred and not of_truth:
        return 1.0
    if not of_pred or not of_truth:
        return 0.0
    return float((areas[0, 1] + areas[1, 1]) / (of_pred + of_truth))


def matched_histograms(pred: BoolVolume, truth: BoolVolume, tolerance_vox: float) -> npt.NDArray[np.int64]:
    """Border corners by code, (2, 2, 256): [prediction, truth] x [beyond the tolerance from the other, within it]."""
    from scroll.metrics.betti_matching import corner_codes

    words = [corner_codes.pack(pred), corner_codes.pack(truth)]
    corners = [corner_codes.border(packed) for packed in words]
    near = [_within(corner, tolerance_vox, pred.shape[2] + 1) for corner in corners]
    return np.stack(
        [
            corner_codes.count_codes(words[0], corners[0], near[1]),
            corner_codes.count_codes(words[1], corners[1], near[0]),
        ]
    )


def _within(corners: npt.NDArray[np.uint64], tolerance_vox: float, width: int) -> npt.NDArray[np.uint64]:
    from scroll.metrics.betti_matching import corner_codes

    if tolerance_vox <= STENCIL_REACH_VOX:
        return corner_codes.dilate(corners, corner_codes.ball_half_widths(tolerance_vox))
    from scipy.ndimage import distance_transform_edt

    if not corners.any():
        return corners
    near = distance_transform_edt(~corner_codes.unpack(corners, width)) <= tolerance_vox
    return np.ascontiguousarray(corner_codes.pack(near)[1:-1, 1:-1, : corners.shape[2]])


def _check(pred: BoolVolume, truth: BoolVolume, tolerance_vox: float) -> None:
    for name, mask in (("prediction", pred), ("truth", truth)):
        if mask.ndim != 3 or mask.dtype != np.bool_:
            raise InputError(
                f"surface Dice: the {name} is {mask.dtype} with {mask.ndim} axes, expected bool (Z, Y, X); "
                "threshold it and give one volume at a time"
            )
    if pred.shape != truth.shape:
        raise InputError(
            f"surface Dice: prediction {pred.shape} and truth {truth.shape} differ in shape; give both on one grid"
        )
    if not tolerance_vox >= 0:
        raise InputError(
            f"surface Dice: the tolerance is {tolerance_vox} voxels, expected 0 or more (the competition: 2)"
        )


@cache
def corner_areas() -> npt.NDArray[np.float64]:
    """Surface area that a corner of each code carries, (256,), in units of a voxel face.

    The surface is the one of marching cubes through the middles of the cut edges of the cube whose corners are the
    eight voxels. The reference's choice in the cases that have several answers comes down to three rules, from which
    the table is built here: the side with fewer voxels (four or fewer) is cut off the other; its voxels hang together
    along edges only; and each group is closed by one polygon, cut into triangles so that their area is the largest.
    """
    areas = np.zeros(256)
    for code in range(1, 255):
        inside = [corner for bit, corner in enumerate(_CORNERS) if code >> (7 - bit) & 1]
        if len(inside) > 4:
            inside = [corner for corner in _CORNERS if corner not in inside]
        areas[code] = sum(_largest_area(_outline(group)) for group in _groups(inside))
    areas.setflags(write=False)
    return areas


_CORNERS: list[Corner] = [(z, y, x) for z in (0, 1) for y in (0, 1) for x in (0, 1)]  # from weight 128 down to 1


def _edge_apart(a: Corner, b: Corner) -> bool:
    return sum(i != j for i, j in zip(a, b, strict=True)) == 1


def _groups(corners: list[Corner]) -> list[list[Corner]]:
    """Corners of the cube, split into those that hang together along its edges."""
    groups: list[list[Corner]] = []
    for corner in corners:
        touching = [group for group in groups if any(_edge_apart(corner, other) for other in group)]
        groups = [group for group in groups if group not in touching]
        groups.append([corner, *(other for group in touching for other in group)])
    return groups


def _outline(group: list[Corner]) -> list[Point]:
    """Middles of the cut edges around one group, in the order in which the faces of the cube link them."""
    cut = [(np.array(a) + np.array(b)) / 2 for a in group for b in _CORNERS if _edge_apart(a, b) and b not in group]
    ordered = [cut.pop(0)]
    while cut:
        # two middles share a face where one coordinate is the same whole number in both
        step = next(i for i, point in enumerate(cut) if np.any((point == ordered[-1]) & (point != 0.5)))
        ordered.append(cut.pop(step))
    return ordered


def _largest_area(polygon: list[Point]) -> float:
    """Largest total area among all ways to cut a closed polygon into triangles between its own points."""
    n = len(polygon)
    best = {(i, i + 1): 0.0 for i in range(n - 1)}
    for i, k in sorted(combinations(range(n), 2), key=lambda pair: pair[1] - pair[0]):
        if k - i > 1:
            best[i, k] = max(
                best[i, j]
                + best[j, k]
                + 0.5 * float(np.linalg.norm(np.cross(polygon[j] - polygon[i], polygon[k] - polygon[i])))
                for j in range(i + 1, k)
            )
    return best[0, n - 1]

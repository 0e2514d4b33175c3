"""Whether two sheets that lie close are found as two, or run together into one."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import distance_transform_edt

from scroll.errors import InputError
from scroll.geometry import BoolVolume
from scroll.metrics.betti_matching.connected import connected_components

IntVolume = npt.NDArray[np.integer]
LEAST_OWN_SHARE = 0.7  # of its own sheet, for an object to stand for that sheet
MOST_OTHER_SHARE = 0.2  # of the other sheet: an object that covers more stands for both
SHEETS = (1, 2)


@dataclass(frozen=True)
class Resolved:
    """What was found of a pair of sheets; each tuple is (sheet 1, sheet 2).

    `objects` are the numbers of the predicted objects that cover most of each sheet, 0 if none covers any of it. `own`
    is the share of the sheet that its object covers, `other` the share of the other sheet that the same object
    covers, both 0 to 1.
    """

    objects: tuple[int, int]
    own: tuple[float, float]
    other: tuple[float, float]

    @property
    def is_resolved(self) -> bool:
        """Two different objects, each on at least 70 % of its own sheet and on at most 20 % of the other."""
        return (
            0 not in self.objects
            and self.objects[0] != self.objects[1]
            and min(self.own) >= LEAST_OWN_SHARE
            and max(self.other) <= MOST_OTHER_SHARE
        )


def resolved(prediction: BoolVolume | IntVolume, truth: IntVolume, tolerance_vox: float = 2.0) -> Resolved:
    """Judge whether a prediction tells two close sheets apart.

    `prediction` (Z, Y, X) is a mask, whose objects are its 26-connected components, or numbered objects, 0 outside.
    `truth` (Z, Y, X) holds 1 and 2 on the two sheets and 0 elsewhere.

    A predicted voxel belongs to the nearer sheet, and to none if both are equally near: one sheet between two sheets
    4 voxels apart cannot stand for both. A voxel of the truth is covered by the object of the nearest predicted voxel
    that belongs to its sheet, if that is within `tolerance_vox` (inclusive), and so by one object at most.

    Components are found in the whole prediction: what is to be ignored is the caller's to clear, in both. Where two
    sheets are close on part of their area only, give the truth of that part alone, or else the easy rest can make up
    70 % of a sheet; the components still join wherever the prediction joins them.

    Raises:
        InputError: not two volumes of one shape, a truth that lacks a sheet or holds other numbers, a prediction that
            is neither bool nor whole numbers from 0, or a negative tolerance.
    """
    _check(prediction, truth, tolerance_vox)
    numbered = (
        connected_components(prediction.astype(bool, copy=False), 26) if prediction.dtype == np.bool_ else prediction
    )
    box = _around(truth != 0, tolerance_vox)
    numbered, truth = numbered[box], truth[box]
    to_sheet = [distance_transform_edt(truth != sheet) for sheet in SHEETS]
    predicted = numbered != 0
    covers = [
        _covers(np.where(predicted & (to_sheet[own] < to_sheet[1 - own]), numbered, 0), truth == sheet, tolerance_vox)
        for own, sheet in enumerate(SHEETS)
    ]
    objects = [max(shares, key=lambda number: shares[number], default=0) for shares in covers]
    return Resolved(
        (objects[0], objects[1]),
        (covers[0].get(objects[0], 0.0), covers[1].get(objects[1], 0.0)),
        (covers[1].get(objects[0], 0.0), covers[0].get(objects[1], 0.0)),
    )


def _covers(numbered: IntVolume, sheet: BoolVolume, tolerance_vox: float) -> dict[int, float]:
    """Share of a sheet that each object covers, for those that cover any of it."""
    if not numbered.any():
        return {}
    distance, nearest = distance_transform_edt(numbered == 0, return_indices=True)
    covered = sheet & (distance <= tolerance_vox)
    found, counts = np.unique(numbered[tuple(nearest[:, covered])], return_counts=True)
    return dict(zip(found.tolist(), (counts / sheet.sum()).tolist(), strict=True))


def _around(mask: BoolVolume, margin_vox: float) -> tuple[slice, ...]:
    """The box about a mask, with a margin: nothing beyond it can cover the mask."""
    margin = int(np.ceil(margin_vox))
    return tuple(slice(max(0, int(along.min()) - margin), int(along.max()) + margin + 1) for along in mask.nonzero())


def _check(prediction: npt.NDArray, truth: npt.NDArray, tolerance_vox: float) -> None:
    if prediction.ndim != 3 or prediction.shape != truth.shape:
        raise InputError(
            f"pair of sheets: prediction {prediction.shape} and truth {truth.shape}, expected (Z, Y, X) twice; "
            "give one volume at a time, both on one grid"
        )
    found = np.unique(truth).tolist()
    if not np.issubdtype(truth.dtype, np.integer) or not {1, 2} <= set(found) <= {0, 1, 2}:
        listed = ", ".join(f"{value:g}" for value in found[:5])
        raise InputError(
            f"pair of sheets: the truth is {truth.dtype} and holds {listed or 'nothing'}; expected whole numbers, 1 and 2 "
            "on the two sheets and 0 elsewhere"
        )
    is_whole = np.issubdtype(prediction.dtype, np.integer)
    if not (prediction.dtype == np.bool_ or is_whole) or (is_whole and prediction.min() < 0):
        raise InputError(
            f"pair of sheets: the prediction is {prediction.dtype}, expected bool or whole numbers from 0; threshold it"
        )
    if not tolerance_vox >= 0:
        raise InputError(f"pair of sheets: the tolerance is {tolerance_vox} voxels, expected 0 or more")

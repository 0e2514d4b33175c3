"""The leaderboard's score of a surface prediction: 0.30 topology + 0.35 surface Dice + 0.35 VOI.

What it rewards and what it punishes is in docs/surface_score.md. Lengths are voxels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np
import numpy.typing as npt

from scroll.errors import InputError
from scroll.geometry import BoolVolume

Triples = tuple[tuple[int, int, int], ...]

WEIGHTS = {"topo": 0.30, "surface_dice": 0.35, "voi_score": 0.35}
TOLERANCE_VOX = 2.0
ALPHA = 0.3
IGNORE = 2  # value of the label where nothing is known


@dataclass(frozen=True)
class SurfaceScore:
    """The score of one volume and its parts, each 0 to 1; `voi` is in bits, 0 or more.

    `counts` are (matched, predicted, label) for components, tunnels and cavities, summed over octants;
    `octant_counts` the same for each of the eight octants in z, y, x order.
    """

    score: float
    topo: float
    surface_dice: float
    voi_score: float
    voi: float
    counts: Triples
    octant_counts: tuple[Triples, ...]


def leaderboard_score(pred: npt.NDArray[Any], label: npt.NDArray[Any]) -> SurfaceScore:
    """Score one prediction against its label, both (Z, Y, X) of bool or numbers.

    Where the label is 2 both are cleared first, which cuts new surfaces there. Then everything but 0 and NaN is
    foreground, so a predicted 2 or 255 is too. Both empty: 1; only one of them: see docs/surface_score.md.

    Raises:
        InputError: not two volumes of one shape, or voxels that are no numbers.
    """
    return score_masks(*masks(pred, label))


def score_masks(pred: BoolVolume, label: BoolVolume) -> SurfaceScore:
    """Score two (Z, Y, X) bool masks that are already cleared where nothing is known."""
    from scroll.metrics.surface_dice import surface_dice
    from scroll.metrics.topology import topology_counts
    from scroll.metrics.voi import voi

    dice = surface_dice(pred, label, TOLERANCE_VOX)
    return assemble(topology_counts(pred, label), dice, voi(pred, label))


def assemble(octant_counts: npt.NDArray[np.int64], dice: float, voi_bits: float) -> SurfaceScore:
    """Put the score together from counts (8, 3, 3), surface Dice and VOI in bits."""
    from scroll.metrics.topology import topo_score
    from scroll.metrics.voi import voi_score

    counts = octant_counts.sum(axis=0)
    parts = {"topo": topo_score(counts), "surface_dice": dice, "voi_score": voi_score(voi_bits, ALPHA)}
    score = sum(WEIGHTS[name] * value for name, value in parts.items()) / sum(WEIGHTS.values())
    return SurfaceScore(
        score=min(max(score, 0.0), 1.0),
        **parts,
        voi=voi_bits,
        counts=_triples(counts),
        octant_counts=tuple(_triples(octant) for octant in octant_counts),
    )


def masks(pred: npt.NDArray[Any], label: npt.NDArray[Any]) -> tuple[BoolVolume, BoolVolume]:
    """Foreground of prediction and label, (Z, Y, X) bool each, both cleared where the label is 2.

    Raises:
        InputError: not two volumes of one shape, or voxels that are no numbers.
    """
    for name, volume in (("prediction", pred), ("label", label)):
        if volume.ndim != 3 or volume.dtype.kind not in "buif":
            raise InputError(
                f"surface score: the {name} is {volume.dtype} with {volume.ndim} axes, expected numbers on (Z, Y, X); "
                "give one volume at a time, thresholded"
            )
    if pred.shape != label.shape:
        raise InputError(
            f"surface score: prediction {pred.shape} and label {label.shape} differ in shape; give both on one grid"
        )
    known = np.ascontiguousarray(label != IGNORE)
    return _foreground(pred) & known, _foreground(label) & known


def mean_score(scores: Sequence[SurfaceScore]) -> dict[str, float]:
    """Plain mean over volumes of the score and of each part, as the leaderboard takes it.

    Raises:
        InputError: no volume at all.
    """
    if not scores:
        raise InputError("surface score: no volume to take the mean of; give at least one prediction and its label")
    return {name: fmean(getattr(score, name) for score in scores) for name in ("score", *WEIGHTS, "voi")}


def _foreground(volume: npt.NDArray[Any]) -> BoolVolume:
    foreground: BoolVolume = volume != 0
    if volume.dtype.kind == "f":
        foreground &= ~np.isnan(volume)
    return np.ascontiguousarray(foreground)


def _triples(counts: npt.NDArray[np.int64]) -> Triples:
    return tuple((int(matched), int(predicted), int(label)) for matched, predicted, label in counts)

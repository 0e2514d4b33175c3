"""How the score depends on the threshold, and whether probabilities can be taken at their word, from one histogram.

The histogram is that of `scroll.metrics.fbeta.level_counts`, (2, LEVELS): [0] without ink (surface), [1] with.

Source: DeGroot and Fienberg 1983 (reliability curves); Naeini et al. 2015 (expected calibration error).
"""

import numpy as np
import numpy.typing as npt
from pydantic import Field

from scroll.metrics.fbeta import (
    LEVELS,
    Counts,
    average_precision,
    confusion_at_levels,
    fbeta,
    precision,
    recall,
)
from scroll.runtime.record import ByName, Record

POINTS = 64  # of a sweep
BINS = 10  # of a reliability curve


class Sweep(Record):
    """Figures over the threshold, one number a threshold: of ink, or of the surface, of which so many `cubes` were looked at."""

    threshold: tuple[float, ...]
    f05: tuple[float, ...] = ()
    precision: tuple[float, ...] = ()
    recall: tuple[float, ...] = ()
    score: tuple[float, ...] = ()
    topo: tuple[float, ...] = ()
    surface_dice: tuple[float, ...] = ()
    voi_score: tuple[float, ...] = ()
    cubes: int | None = None


class Reliability(Record):
    """What was predicted (the mean of each bin), the share of it that is there, pixels, and the expected calibration error."""

    predicted: tuple[float, ...]
    observed: tuple[float, ...]
    count: tuple[int, ...]
    error: float | None


Figures = dict[str, float | None]


class FoldPieces(Record):
    """A fold, and the sheets or cubes that it held out."""

    fold: int
    pieces: tuple[str, ...]


class Evidence(Record):
    """What out-of-fold predictions say of every candidate, by name: figures by fold and over all, sweep and reliability."""

    folds: tuple[FoldPieces, ...]
    by_fold: ByName[tuple[Figures, ...]]
    all: ByName[Figures]
    sweep: ByName[Sweep] = Field({})
    reliability: ByName[Reliability] = Field({})


def sweep(counts: Counts, points: int = POINTS) -> Sweep:
    """F0.5, precision and recall over about `points` thresholds."""
    levels = np.arange(0, LEVELS, max(1, LEVELS // points))
    tp, fp, fn = (at_level[levels] for at_level in confusion_at_levels(counts))
    curves = {"f05": fbeta(tp, fp, fn), "precision": precision(tp, fp, fn), "recall": recall(tp, fp, fn)}
    return Sweep(threshold=(levels / LEVELS).tolist(), **{name: np.asarray(c).tolist() for name, c in curves.items()})


def reliability(counts: Counts, bins: int = BINS) -> Reliability:
    """Share that really is ink, by what was predicted, of the bins that are not empty.

    Bins are equally wide. The error is the mean distance of what was predicted and observed, each bin counted by its pixels;
    None where there is not one pixel.

    >>> half = np.zeros((2, LEVELS), np.int64)
    >>> half[:, LEVELS // 2] = 30, 10  # of 40 pixels said to be ink with a probability of one half, a quarter is
    >>> reliability(half).observed, round(reliability(half).error, 3)
    ((0.25,), 0.25)
    """
    centre = (np.arange(LEVELS) + 0.5) / LEVELS
    of_bin = np.minimum((centre * bins).astype(np.int64), bins - 1)
    pixels = np.bincount(of_bin, counts.sum(axis=0), bins)
    ink = np.bincount(of_bin, counts[1], bins)
    claimed = np.bincount(of_bin, counts.sum(axis=0) * centre, bins)
    is_filled = pixels > 0
    predicted, observed = (part[is_filled] / pixels[is_filled] for part in (claimed, ink))
    total = pixels.sum()
    error = float((np.abs(predicted - observed) * pixels[is_filled]).sum() / total) if total else None
    return Reliability(
        predicted=predicted.tolist(), observed=observed.tolist(), count=pixels[is_filled].astype(np.int64).tolist(), error=error
    )  # fmt: skip


def figures(counts: Counts, threshold: float) -> Figures:
    """F0.5, precision and recall at a threshold (the next level above it), and average precision; None where that is not defined."""
    level = min(int(np.ceil(threshold * LEVELS)), LEVELS - 1)
    at = [part[level] for part in confusion_at_levels(counts)]
    ap = average_precision(counts)
    values: ByName[npt.ArrayLike] = {"f05": fbeta(*at), "precision": precision(*at), "recall": recall(*at)}
    return {**{name: float(np.asarray(value)) for name, value in values.items()}, "ap": None if np.isnan(ap) else ap}

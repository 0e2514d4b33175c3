"""How the score depends on the threshold, and whether probabilities can be taken at their word, from one histogram.

The histogram is that of `scroll.metrics.fbeta.level_counts`, (2, LEVELS): [0] without ink (surface), [1] with.

Source: DeGroot and Fienberg 1983 (reliability curves); Naeini et al. 2015 (expected calibration error).
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from scroll.metrics.fbeta import (
    LEVELS,
    Counts,
    average_precision,
    confusion_at_levels,
    fbeta,
    precision,
    recall,
)

POINTS = 64  # of a sweep
BINS = 10  # of a reliability curve


def sweep(counts: Counts, points: int = POINTS) -> dict[str, list[float]]:
    """F0.5, precision and recall over the threshold: lists "threshold", "f05", "precision", "recall" of about `points` each."""
    levels = np.arange(0, LEVELS, max(1, LEVELS // points))
    tp, fp, fn = (at_level[levels] for at_level in confusion_at_levels(counts))
    curves = {"f05": fbeta(tp, fp, fn), "precision": precision(tp, fp, fn), "recall": recall(tp, fp, fn)}
    return {"threshold": (levels / LEVELS).tolist(), **{name: np.asarray(c).tolist() for name, c in curves.items()}}


def reliability(counts: Counts, bins: int = BINS) -> dict[str, Any]:
    """Share that really is ink, by what was predicted: lists "predicted", "observed" and "count" of the bins that are not empty.

    Bins are equally wide; "predicted" is the mean of a bin. "error" is the expected calibration error: the mean distance of
    the two, each bin counted by its pixels; None where there is not one pixel.

    >>> half = np.zeros((2, LEVELS), np.int64)
    >>> half[:, LEVELS // 2] = 30, 10  # of 40 pixels said to be ink with a probability of one half, a quarter is
    >>> reliability(half)["observed"], round(reliability(half)["error"], 3)
    ([0.25], 0.25)
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
    return {
        "predicted": predicted.tolist(), "observed": observed.tolist(),
        "count": pixels[is_filled].astype(np.int64).tolist(), "error": error,
    }  # fmt: skip


def figures(counts: Counts, threshold: float) -> dict[str, float | None]:
    """F0.5, precision and recall at a threshold (the next level above it), and average precision; None where that is not defined."""
    level = min(int(np.ceil(threshold * LEVELS)), LEVELS - 1)
    at = [part[level] for part in confusion_at_levels(counts)]
    ap = average_precision(counts)
    values: dict[str, npt.ArrayLike] = {"f05": fbeta(*at), "precision": precision(*at), "recall": recall(*at)}
    return {**{name: float(np.asarray(value)) for name, value in values.items()}, "ap": None if np.isnan(ap) else ap}

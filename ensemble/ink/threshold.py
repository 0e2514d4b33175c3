"""The threshold that gives the best F0.5 on out-of-fold predictions, and how flat the curve is around it."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scroll.errors import InputError
from scroll.metrics.fbeta import LEVELS, confusion_at_levels, fbeta


@dataclass(frozen=True)
class ThresholdFit:
    """The chosen threshold, its F0.5, and F0.5 at every threshold: `thresholds` and `curve` are both (LEVELS,)."""

    threshold: float
    f05: float
    thresholds: npt.NDArray[np.float64]
    curve: npt.NDArray[np.float64]


def fit_threshold(counts: npt.NDArray[np.int64]) -> ThresholdFit:
    """The threshold with the highest F0.5 on a (2, LEVELS) histogram of `scroll.metrics.fbeta.level_counts`.

    Ink is predicted where probability >= threshold. Add the histograms of all out-of-fold fragments for the global
    optimum. Where several neighbouring thresholds are equally good the middle of the longest such plateau is taken,
    since it bears the most shift in either direction.

    Raises:
        InputError: not such a histogram, or no ink in it.
    """
    if counts.shape != (2, LEVELS):
        raise InputError(f"threshold: the histogram has shape {counts.shape}, expected (2, {LEVELS}) of level_counts")
    if not counts[1].any():
        raise InputError("threshold: there is no ink in the out-of-fold truth; fit on fragments that have labelled ink")
    curve = np.asarray(fbeta(*confusion_at_levels(counts)))
    first, last = _longest_run(curve >= curve.max() - 1e-12)
    level = (first + last + 1) // 2
    return ThresholdFit(level / LEVELS, float(curve[level]), np.arange(LEVELS) / LEVELS, curve)


def _longest_run(is_best: npt.NDArray[np.bool_]) -> tuple[int, int]:
    """First and last index of the longest run of true values; the earlier of two equally long ones."""
    edges = np.flatnonzero(np.diff(is_best, prepend=False, append=False))
    starts, ends = edges[::2], edges[1::2]
    longest = int(np.argmax(ends - starts))
    return int(starts[longest]), int(ends[longest]) - 1

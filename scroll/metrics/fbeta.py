"""The ink score: F0.5, precision, recall, average precision and AUC, all from one small histogram per fragment.

The histogram counts pixels by level of probability, apart for ink and no ink. It adds up over strips and over
fragments, so that scoring needs memory for one strip and not for a fragment, and every threshold is known at once.

Empty cases, here and everywhere: nothing to find and nothing claimed is a perfect answer, F = precision = recall = 1;
if only one of the two is empty all three are 0. AP without ink, and AUC without both kinds of pixel, do not exist:
NaN.

Source: competition rules, F_beta with beta 0.5; whether fragments are pooled or averaged is not said, so both are
given.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from scroll.errors import InputError

LEVELS = 4096  # a power of two: then `level >= k` and `probability >= k / LEVELS` are exactly the same pixels
STRIP_PIXELS = 2**22
ROUNDING = 1e-5  # how far a blend of float16 or float32 maps may leave [0, 1]

Counts = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class InkScore:
    """The score of one prediction on one or more fragments; every value is 0 to 1, `ap` and `auc` may be NaN.

    Ink is predicted where probability >= `threshold`. `f05_mean` is the mean of the fragments' own F0.5; everything
    else is over the pixels of all fragments together.
    """

    threshold: float
    f05: float
    f05_mean: float
    precision: float
    recall: float
    ap: float
    auc: float

    def as_row(self) -> dict[str, float | None]:
        """The fields by name, NaN as None: what goes into score.json."""
        return {name: None if math.isnan(value) else value for name, value in asdict(self).items()}


def level_counts(prob: Any, truth: Any, valid: Any) -> Counts:
    """Pixels by level of probability, (2, LEVELS): [0] without ink, [1] with ink, only where `valid` is true.

    All three are (Y, X), numpy or anything that slices to numpy (zarr), read strip by strip; `prob` 0 to 1, the others
    bool or numbers (not 0 = true). What is not valid is not read as a number and may be NaN.

    Raises:
        InputError: shapes differ, or a valid probability is NaN or outside 0 to 1.
    """
    if not tuple(prob.shape) == tuple(truth.shape) == tuple(valid.shape):
        raise InputError(
            f"ink score: prediction {tuple(prob.shape)}, truth {tuple(truth.shape)} and mask {tuple(valid.shape)} "
            "differ in shape; bring all three to the resolution of the label"
        )
    counts = np.zeros((2, LEVELS), np.int64)
    rows = max(1, STRIP_PIXELS // max(1, math.prod(prob.shape[1:])))
    for start in range(0, prob.shape[0], rows):
        strip = slice(start, start + rows)
        inside = np.asarray(valid[strip]) != 0
        ink = np.asarray(truth[strip])[inside] != 0
        level = _levels(np.asarray(prob[strip])[inside], start)
        counts += np.bincount(level + ink * LEVELS, minlength=2 * LEVELS).reshape(2, LEVELS)
    return counts


def _levels(prob: npt.NDArray[np.floating], first_row: int) -> npt.NDArray[np.int64]:
    outside = ~((prob >= -ROUNDING) & (prob <= 1 + ROUNDING))  # true for NaN
    if outside.any():
        raise InputError(
            f"ink score: {int(outside.sum())} valid pixels from row {first_row} on are NaN or outside 0 to 1 (first: "
            f"{prob[outside][0]}); give probabilities, not logits, and see whether tiles cover the whole fragment"
        )
    # exact: a float of any width times a power of two keeps all its digits
    return np.clip((prob * LEVELS).astype(np.int64), 0, LEVELS - 1)


def confusion_at_levels(counts: Counts) -> tuple[Floats, Floats, Floats]:
    """True positives, false positives, false negatives, each (LEVELS,), if ink is predicted from level k on."""
    from_level = counts[:, ::-1].cumsum(axis=1)[:, ::-1].astype(np.float64)
    no_ink, ink = from_level
    return ink, no_ink, ink[0] - ink


def fbeta(tp: npt.ArrayLike, fp: npt.ArrayLike, fn: npt.ArrayLike, beta: float = 0.5) -> Any:
    """F_beta of pixel counts, 0 to 1, of the broadcast shape; below 1, `beta` favours precision.

    >>> round(float(fbeta(tp=6, fp=2, fn=4)), 4)  # precision 6/8, recall 6/10
    0.7143
    >>> float(fbeta(tp=0, fp=0, fn=0))  # nothing to find and nothing claimed
    1.0
    """
    hits = (1 + beta**2) * np.asarray(tp, np.float64)
    return _share(hits, hits + np.asarray(fp, np.float64) + beta**2 * np.asarray(fn, np.float64))


def precision(tp: npt.ArrayLike, fp: npt.ArrayLike, fn: npt.ArrayLike) -> Any:
    """Share of the predicted ink that is ink; nothing predicted: 1 if there is none, else 0."""
    return _share_or_nothing(tp, fp, fn)


def recall(tp: npt.ArrayLike, fp: npt.ArrayLike, fn: npt.ArrayLike) -> Any:
    """Share of the ink that is predicted; no ink: 1 if none is predicted, else 0."""
    return _share_or_nothing(tp, fn, fp)


def _share_or_nothing(hits: npt.ArrayLike, misses: npt.ArrayLike, other: npt.ArrayLike) -> Any:
    part, whole = np.asarray(hits, np.float64), np.asarray(hits, np.float64) + np.asarray(misses, np.float64)
    return np.where(whole > 0, _share(part, whole), np.where(np.asarray(other) > 0, 0.0, 1.0))[()]


def _share(part: Floats, whole: Floats) -> Any:
    return np.divide(part, whole, out=np.ones(np.broadcast(part, whole).shape), where=whole > 0)[()]


def average_precision(counts: Counts) -> float:
    """Area under precision over recall, 0 to 1, of a (2, LEVELS) histogram; NaN without ink."""
    from sklearn.metrics import average_precision_score

    if not counts[1].any():
        return math.nan
    is_ink, level, pixels = _weighted_samples(counts)
    return float(average_precision_score(is_ink, level, sample_weight=pixels))


def auc(counts: Counts) -> float:
    """Chance that an ink pixel has a higher level than one without (ties half), 0 to 1; NaN unless both kinds exist."""
    from sklearn.metrics import roc_auc_score

    if not counts.any(axis=1).all():
        return math.nan
    is_ink, level, pixels = _weighted_samples(counts)
    return float(roc_auc_score(is_ink, level, sample_weight=pixels))


def _weighted_samples(counts: Counts) -> tuple[Counts, Counts, Counts]:
    """One sample for each filled bin: is it ink, its level, how many pixels it stands for."""
    is_ink, level = np.nonzero(counts)
    return is_ink, level, counts[is_ink, level]


def ink_score(counts: Mapping[str, Counts], threshold: float) -> InkScore:
    """Score the histograms of one or more fragments, by id, at one threshold.

    Exact where `threshold` is a whole number of levels (k / LEVELS), as `ensemble.ink.weights.fit_threshold` gives it; else it counts
    as the next level above.

    Raises:
        InputError: no fragment, or a threshold outside 0 to 1.
    """
    if not counts:
        raise InputError("ink score: no fragment to score; name at least one")
    if not 0 <= threshold <= 1:
        raise InputError(f"ink score: the threshold is {threshold}, expected a probability from 0 to 1")
    pooled = np.sum(list(counts.values()), axis=0)
    tp, fp, fn = _confusion(pooled, threshold)
    return InkScore(
        threshold=threshold,
        f05=float(fbeta(tp, fp, fn)),
        f05_mean=float(np.mean([fbeta(*_confusion(own, threshold)) for own in counts.values()])),
        precision=float(precision(tp, fp, fn)),
        recall=float(recall(tp, fp, fn)),
        ap=average_precision(pooled),
        auc=auc(pooled),
    )


def _confusion(counts: Counts, threshold: float) -> tuple[float, float, float]:
    level = min(math.ceil(threshold * LEVELS), LEVELS - 1)
    tp, fp, fn = (at_level[level] for at_level in confusion_at_levels(counts))
    return float(tp), float(fp), float(fn)

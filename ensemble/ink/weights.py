"""How much each member counts in the blend, and from which probability on there is ink: fitted on out-of-fold predictions."""

from itertools import permutations
from typing import Any

import numpy as np
import numpy.typing as npt

from scroll.errors import InputError
from scroll.metrics.fbeta import LEVELS, Counts, confusion_at_levels, fbeta, level_counts
from scroll.runtime.compiled import njit

Floats = npt.NDArray[np.float64]
CLIP = 1e-4  # log loss of a sure and wrong pixel stays finite; a float16 map cannot say much less either


def equal_weights(members: int) -> Floats:
    """The equal mean, (members,): what fitted weights have to beat."""
    return np.full(members, 1.0 / members)


def fit_weights(
    probs: npt.NDArray[np.floating], truth: npt.NDArray[Any], max_pixels: int = 500_000, seed: int = 0
) -> Floats:
    """Weights (M,) of the members, none negative and summing to one, with the lowest log loss of the weighted mean.

    `probs` is (M, N) probabilities of M members on N labelled out-of-fold pixels, `truth` (N,) ink or not. Above
    `max_pixels` a subset is used that depends on `seed` alone. The problem is convex, so the answer does not depend on the
    start. Never worse than the equal mean on all N pixels: if the subset leads astray the equal mean is returned.

    Raises:
        InputError: shapes differ, a probability is NaN or outside 0 to 1, or nothing is left to fit on.
    """
    _check(probs, truth)
    equal = equal_weights(len(probs))
    if len(probs) == 1:
        return equal
    pixels = sample_pixels(probs.shape[1], max_pixels, seed)
    fitted = _minimise(_right(probs[:, pixels], truth[pixels]))
    return fitted if log_loss(probs, truth, fitted) <= log_loss(probs, truth, equal) else equal


def climb_f05(probs: npt.NDArray[np.floating], truth: npt.NDArray[Any], start: Floats) -> Floats:
    """Weights (M,) reached from `start` by moving shares from one member to another while the best F0.5 rises.

    `probs` is (M, N) out-of-fold probabilities, `truth` (N,) ink or not. Log loss rewards calibrated members; the competition
    counts the pixels above one threshold, whatever the probabilities are called. Steps of 0.2 down to 0.025, gains
    under 1e-4 not taken: a finer search would fit the noise of the fragments.
    """
    is_ink, scores = np.asarray(truth) != 0, dict[bytes, float]()  # a round asks again what the round before asked

    def score(mixture: Floats) -> float:
        key = mixture.tobytes()
        if key not in scores:
            scores[key] = best_f05(probs, is_ink, mixture)
        return scores[key]

    weights, best = start, score(start)
    for step in (0.2, 0.1, 0.05, 0.025):
        has_moved = True
        while has_moved:
            has_moved = False
            for giver, taker in permutations(range(len(weights)), 2):
                moved = weights.copy()
                share = min(step, moved[giver])
                moved[giver] -= share
                moved[taker] += share
                f05 = score(moved) if share > 0 else best
                if f05 > best + 1e-4:
                    weights, best, has_moved = moved, f05, True
    return weights


def best_f05(probs: npt.NDArray[np.floating], truth: npt.NDArray[Any], weights: Floats) -> float:
    """F0.5 of the weighted mean of `probs` (M, N) at its best threshold."""
    mixed = weights.astype(np.float32) @ probs
    counts = _level_counts(mixed, np.asarray(truth) != 0)
    if counts.sum() != mixed.size:  # a NaN, which this names
        counts = level_counts(mixed[None], np.asarray(truth)[None], np.ones((1, mixed.size), dtype=bool))
    return float(np.max(fbeta(*confusion_at_levels(counts))))


@njit(cache=True)
def _level_counts(prob: npt.NDArray[np.floating], is_ink: npt.NDArray[np.bool_]) -> Counts:
    """As `level_counts` of probabilities (N,) cut to 0 to 1, in one pass; a NaN is not counted."""
    counts = np.zeros((2, LEVELS), np.int64)
    for i in range(prob.size):
        if prob[i] == prob[i]:
            level = int(min(max(prob[i], 0), 1) * LEVELS)
            counts[int(is_ink[i]), min(level, LEVELS - 1)] += 1
    return counts


def sample_pixels(n: int, max_pixels: int, seed: int) -> npt.NDArray[np.int64]:
    """At most `max_pixels` of `n` indices, rising, one from each of as many equal stretches; all of them if they fit.

    >>> sample_pixels(n=4, max_pixels=10, seed=0).tolist()
    [0, 1, 2, 3]
    """
    if n <= max_pixels:
        return np.arange(n)
    stretch = np.linspace(0, n, max_pixels + 1).astype(np.int64)
    return np.random.default_rng(seed).integers(stretch[:-1], stretch[1:])


def log_loss(probs: npt.NDArray[np.floating], truth: npt.NDArray[Any], weights: npt.ArrayLike) -> float:
    """Mean log loss (nats) of the weighted mean of `probs` (M, N) against `truth` (N,), read in pieces."""
    total = 0.0
    for start in range(0, probs.shape[1], 2**20):
        part = slice(start, start + 2**20)
        mixed = np.asarray(weights) @ _right(probs[:, part], truth[part])
        total -= float(np.ones(mixed.size) @ np.log(mixed))
    return total / probs.shape[1]


def _right(probs: npt.NDArray[np.floating], truth: npt.NDArray[Any]) -> Floats:
    """Probability that each member gives to what is there, (M, N); the mean of it is that of the mean."""
    clipped = np.clip(probs.astype(np.float64), CLIP, 1 - CLIP)
    return np.where(np.asarray(truth) != 0, clipped, 1 - clipped)


def _minimise(right: Floats) -> Floats:
    from scipy.optimize import minimize

    members, n = right.shape
    pixel_weight = np.full(n, 1.0 / n)

    def loss_and_slope(weights: Floats) -> tuple[float, Floats]:
        mixed = np.maximum(weights @ right, CLIP / 2)  # the search may step a hair outside the simplex
        return -float(pixel_weight @ np.log(mixed)), -(right @ (pixel_weight / mixed))

    found = minimize(
        loss_and_slope,
        equal_weights(members),
        jac=True,
        method="SLSQP",
        bounds=[(0.0, 1.0)] * members,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1, "jac": np.ones_like},
        options={"ftol": 1e-10, "maxiter": 300},
    )
    weights = np.clip(found.x, 0.0, None)
    return weights / weights.sum()


def _check(probs: npt.NDArray[np.floating], truth: npt.NDArray[Any]) -> None:
    if probs.ndim != 2 or truth.shape != probs.shape[1:]:
        raise InputError(
            f"weights: probabilities {probs.shape} and truth {truth.shape} do not belong together, "
            "expected (M, N) and (N,)"
        )
    if not probs.size:
        raise InputError("weights: no member or no labelled pixel to fit on; run the members out of fold first")
    for member, prob in enumerate(probs):
        if not (prob.min() >= 0 and prob.max() <= 1):  # false for NaN too
            raise InputError(
                f"weights: member {member} has values outside 0 to 1 or NaN; give probabilities, not logits"
            )


def fit_threshold(counts: Counts) -> float:
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
    return level / LEVELS


def _longest_run(is_best: npt.NDArray[np.bool_]) -> tuple[int, int]:
    """First and last index of the longest run of true values; the earlier of two equally long ones."""
    edges = np.flatnonzero(np.diff(is_best, prepend=False, append=False))
    starts, ends = edges[::2], edges[1::2]
    longest = int(np.argmax(ends - starts))
    return int(starts[longest]), int(ends[longest]) - 1

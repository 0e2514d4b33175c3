"""Probabilities that can be taken at their word: a straight line through log-odds, fitted on what was predicted out of fold.

Source: Platt 1999, "Probabilistic outputs for support vector machines", with its targets, which leave 0 and 1 to nobody.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scroll.metrics.fbeta import LEVELS, Counts

Map = NDArray[np.float32]
LEAST_PROB = 1e-4
STEPS, STILL = 50, 1e-9


class Platt(NamedTuple):
    """Calibrated log-odds are slope times log-odds plus offset."""

    slope: float
    offset: float

    def at(self, prob: NDArray[np.floating]) -> Map:
        """Calibrated probabilities, of any shape."""
        return np.asarray(1 / (1 + np.exp(-(self.slope * log_odds(prob) + self.offset))), np.float32)


def log_odds(prob: NDArray[np.floating]) -> NDArray[np.float64]:
    """log(p / (1 - p)), p kept off 0 and 1."""
    inside = np.clip(np.asarray(prob, np.float64), LEAST_PROB, 1 - LEAST_PROB)
    return np.asarray(np.log(inside) - np.log1p(-inside))


def fit_platt(counts: Counts) -> Platt:
    """By maximum likelihood on a histogram (2, LEVELS) of pixels without and with ink, by Newton steps; never falling.

    A blend that says nothing gives slope 0: everything is as likely as ink is. Nothing known: unchanged.
    """
    pixels, ink = counts.sum(axis=0).astype(np.float64), counts[1].astype(np.float64)
    total, inked = pixels.sum(), ink.sum()
    if not total:
        return Platt(1.0, 0.0)
    wanted = ink * (inked + 1) / (inked + 2) + (pixels - ink) / (total - inked + 2)
    odds = log_odds((np.arange(LEVELS) + 0.5) / LEVELS)
    prior = float(np.log(wanted.sum()) - np.log(total - wanted.sum()))
    found = np.array([1.0, 0.0])
    for _ in range(STEPS):
        prob = 1 / (1 + np.exp(-(found[0] * odds + found[1])))
        weight = pixels * prob * (1 - prob)
        gradient = np.array([((pixels * prob - wanted) * odds).sum(), (pixels * prob - wanted).sum()])
        curvature = np.array([[(weight * odds**2).sum(), (weight * odds).sum()], [(weight * odds).sum(), weight.sum()]])
        step = np.linalg.lstsq(curvature + 1e-9 * np.eye(2) * total, gradient, rcond=None)[0]
        found = found - np.clip(step, -2, 2)
        if np.abs(step).max() < STILL:
            break
    return Platt(float(found[0]), float(found[1])) if found[0] > 0 else Platt(0.0, prior)

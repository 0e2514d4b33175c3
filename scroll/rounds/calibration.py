"""Probabilities that can be taken at their word: a straight line through log-odds, fitted on what was predicted out of fold.

Source: Platt 1999, "Probabilistic outputs for support vector machines", with its targets, which leave 0 and 1 to nobody.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from scroll.metrics.fbeta import LEVELS, Counts

Map = NDArray[np.float32]
LEAST_PROB = 1e-4
STILL = 1e-8  # nats a pixel and unit of slope or offset


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
    """By maximum likelihood on a histogram (2, LEVELS) of pixels without and with ink, never falling.

    A blend that says nothing gives slope 0: everything is as likely as ink is. Nothing known: unchanged.
    """
    pixels, ink = counts.sum(axis=0).astype(np.float64), counts[1].astype(np.float64)
    total, inked = pixels.sum(), ink.sum()
    if not total:
        return Platt(1.0, 0.0)
    expected = ink * (inked + 1) / (inked + 2) + (pixels - ink) / (total - inked + 2)
    odds = log_odds((np.arange(LEVELS) + 0.5) / LEVELS)
    prior = float(np.log(expected.sum()) - np.log(total - expected.sum()))

    def misfit(line: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        """Cross-entropy a pixel, and how it changes with slope and offset."""
        logits = line[0] * odds + line[1]
        wrong = pixels * expit(logits) - expected
        cost = pixels * np.logaddexp(0, logits) - expected * logits
        return float(cost.sum() / total), np.array([(wrong * odds).sum(), wrong.sum()]) / total

    slope, offset = minimize(misfit, [0.0, prior], jac=True, method="BFGS", options={"gtol": STILL}).x
    return Platt(float(slope), float(offset)) if slope > 0 else Platt(0.0, prior)

"""What stops a round: a score that fell beyond chance where no network was trained, a student that only copies, a drift of what is ink."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scroll.metrics.held_out import F05

Map = NDArray[np.float32]
Mask = NDArray[np.bool_]
MOST_DRIFT = 1.5  # factor by which the share of ink on a sheet may change in a round before that is said


@dataclass(frozen=True)
class Copying:
    """How alike two predictions are where neither was trained: correlation of their log-odds, -1 to 1.

    `with_teacher`: of the student and its teacher; `of_strangers`: of two networks that were trained apart. A student that sees for
    itself is about as like its teacher as strangers are like each other.
    """

    with_teacher: float
    of_strangers: float

    @property
    def is_copy(self) -> bool:
        """Whether it is nearer to its teacher than half the way from what strangers agree on to sameness."""
        return self.with_teacher > (1 + self.of_strangers) / 2


def has_fallen(now: F05, before: F05) -> bool:
    """Whether a score on the untouched region is worse than it was, beyond the interval that it had.

    >>> has_fallen(F05(f05=0.5, low=0.4, high=0.6), F05(f05=0.7, low=0.55, high=0.8))
    True
    """
    return now.f05 < before.low


def copying(student: Map, teacher: Map, stranger: Map, unlabelled: Mask) -> Copying:
    """Of three probabilities (Y, X), where `unlabelled` (Y, X): no label, no proposal."""
    odds = [_log_odds(one[unlabelled]) for one in (student, teacher, stranger)]
    return Copying(_correlation(odds[0], odds[1]), _correlation(odds[1], odds[2]))


def drifted(now: Mapping[str, float], before: Mapping[str, float]) -> dict[str, float]:
    """By sheet, the factor by which its share of ink changed, where that is more than chance would have it.

    >>> drifted({"a": 0.3, "b": 0.11}, {"a": 0.1, "b": 0.1})
    {'a': 3.0}
    """
    factors = {name: (now[name] + 1e-6) / (before[name] + 1e-6) for name in now if name in before}
    return {name: round(f, 3) for name, f in factors.items() if not 1 / MOST_DRIFT <= f <= MOST_DRIFT}


def _log_odds(prob: Map) -> NDArray[np.float64]:
    inside = np.clip(prob.astype(np.float64), 1e-4, 1 - 1e-4)
    return np.asarray(np.log(inside) - np.log1p(-inside))


def _correlation(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    if len(one) < 2 or not one.std() or not other.std():
        return 1.0 if np.array_equal(one, other) else 0.0
    return float(np.corrcoef(one, other)[0, 1])

"""Where members agree and where not, how many of them there really are, and what each one adds."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
LEAST_PROB = 1e-4  # beyond it no probability is told apart, as in `ensemble.controls.components`
MOST_PIXELS = 1_000_000  # of a sheet, that correlations are taken over


def log_odds(prob: NDArray[np.floating]) -> Floats:
    """Log-odds of probabilities of any shape, finite.

    >>> log_odds(np.array([0.5, 0.0])).round(2).tolist()
    [0.0, -9.21]
    """
    inside = np.clip(np.asarray(prob, np.float64), LEAST_PROB, 1 - LEAST_PROB)
    return np.asarray(np.log(inside) - np.log1p(-inside))


def sampled(values: NDArray[np.floating], papyrus: NDArray[np.bool_]) -> Floats:
    """Log-odds of a (Y, X) map on the papyrus (Y, X), the same at most about `MOST_PIXELS` of them every time, (N,)."""
    places = np.flatnonzero(papyrus)
    step = max(1, len(places) // MOST_PIXELS)
    return log_odds(values.ravel()[places[::step]])


def correlations(odds: Sequence[Floats]) -> Floats:
    """Correlation matrix (M, M) of M maps, (N,) each; one that says the same everywhere goes with nobody, 0.

    >>> correlations([np.array([0.0, 1.0]), np.array([2.0, 0.0]), np.array([1.0, 1.0])]).round(3).tolist()
    [[1.0, -1.0, 0.0], [-1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    found = np.eye(len(odds))
    centred = [one - one.mean() if len(one) else one for one in odds]
    lengths = [float(np.linalg.norm(one)) for one in centred]
    for i in range(len(odds)):
        for j in range(i):
            if min(lengths[i], lengths[j]) > 1e-9:
                found[i, j] = found[j, i] = float(np.clip(centred[i] @ centred[j] / (lengths[i] * lengths[j]), -1, 1))
    return found


def effective_number(matrix: Floats) -> float:
    """How many members that know nothing of each other would vary as these do: 1 where all say the same, M where none agree.

    The participation ratio of the correlations' eigenvalues, (sum)^2 / sum of squares, which is M^2 over the sum of all squared
    correlations; 0 of no member. Source: Kish 1965 for weights, Bretherton et al. 1999 for eigenvalues, "The effective number of
    spatial degrees of freedom of a time-varying field", eq. 5.

    >>> effective_number(np.ones((3, 3))), effective_number(np.eye(3))
    (1.0, 3.0)
    """
    return float(len(matrix) ** 2 / (matrix**2).sum()) if len(matrix) else 0.0


def added_by_each(matrix: Floats) -> Floats:
    """What the effective number is greater by with each member than without it, (M,); about 0 of one that repeats others.

    >>> added_by_each(np.ones((2, 2))).tolist()
    [0.0, 0.0]
    """
    whole, everyone = effective_number(matrix), range(len(matrix))
    rest = [[i for i in everyone if i != one] for one in everyone]
    return np.array([whole - effective_number(matrix[np.ix_(kept, kept)]) for kept in rest])


def votes(decided: Iterable[NDArray[np.bool_]], papyrus: NDArray[np.bool_]) -> NDArray[np.int16]:
    """How many members say ink at each pixel, (Y, X); -1 off the papyrus."""
    found = np.where(papyrus, np.int16(0), np.int16(-1))
    for one in decided:
        found += (one & papyrus).astype(np.int16)
    return found


def shares_of_votes(found: NDArray[np.int16], members: int) -> Floats:
    """Of the papyrus that anybody calls ink, the share that exactly 1, 2, ... `members` of them do, (members,); 0 where nobody does.

    >>> shares_of_votes(np.array([[-1, 0, 1, 2]], np.int16), 2).tolist()
    [0.5, 0.5]
    """
    counts = np.bincount(found[found > 0], minlength=members + 1)[1 : members + 1]
    return np.asarray(counts / max(1, counts.sum()), np.float64)

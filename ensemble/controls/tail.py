"""How many imagined components are stronger than any that was seen: the strongest ones of the copies, carried on with caution.

A few square centimetres of copies show some dozen components. By counting alone nothing can be called rarer than the rarest of
them, however far a letter stands above. So their tail is carried on as an exponential in the square root of strength: of a smooth
Gaussian field the mass of a piece above a high level grows with the square of how high its peak is (in the plane), and peaks fall off
exponentially (Zhang, Nichols and Johnson 2009, "Cluster mass inference via random field theory").

How slowly it falls is taken at the upper end of an interval that holds the truth four times in five from above, one component more than
was seen is counted, as everywhere here, and nothing is carried on further than to a hundredth of a component.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

Floats = NDArray[np.float64]
LEAST_SEEN = 6  # components of copies, below which nothing is carried on
TAIL_SHARE = 1 / 3  # the strongest third, but no fewer than that
LEAST_OF_TAIL = 5
SURE = 0.8  # one-sided
LEAST_EXPECTED = 0.01  # of a component on the whole fragment: less is not reported


@dataclass(frozen=True)
class Tail:
    """Above `bar` strengths fall off as exp(-(sqrt(strength) - sqrt(bar)) / scale), `scale` at the upper end of its interval."""

    bar: float
    scale: float


def tail_of(strengths: Floats) -> Tail | None:
    """The tail of what copies show, (N,); None where they show too little.

    >>> tail_of(np.array([1.0, 2.0])) is None
    True
    """
    roots = np.sqrt(np.sort(strengths)[::-1])
    if len(roots) < LEAST_SEEN:
        return None
    count = max(LEAST_OF_TAIL, int(TAIL_SHARE * len(roots)))
    bar = float(roots[count])
    # the sum of `count` exponential excesses over the next one is gamma distributed
    scale = 2 * float((roots[:count] - bar).sum()) / float(chi2.ppf(1 - SURE, 2 * count))
    return Tail(bar**2, scale) if scale > 0 else None


def expected_beyond(found: Floats, own: Floats, tail: Tail, ratio: float) -> Floats:
    """How many imagined components at least as strong as each found one, (R,), the fragment holds at most about.

    `own` (N,) is what its own copies show on `ratio` times its area: they tell how many pass the tail's bar. Infinite below the bar.
    """
    passing = (1 + int((own >= tail.bar).sum())) / ratio
    falls = np.exp(-(np.sqrt(np.maximum(found, tail.bar)) - np.sqrt(tail.bar)) / tail.scale)
    return np.where(found >= tail.bar, np.maximum(LEAST_EXPECTED, passing * falls), np.inf)

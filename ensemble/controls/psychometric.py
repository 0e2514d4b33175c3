"""How faint ink may be and still be found: shares with their intervals, the contrast of which half is found, each place's limit."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
HALF = 0.5


@dataclass(frozen=True)
class HalfFound:
    """The contrast of which half is found; None where no planted contrast reaches it.

    `low` and `high` are where the curves through the upper and the lower ends of the shares' 95 % intervals cross one half; None
    where they do so only below the faintest (`low`) or beyond the strongest (`high`) contrast planted. `is_below`: more than half is
    found at the faintest contrast already, so that `contrast` is that one and the answer is below it.
    """

    contrast: float | None
    low: float | None
    high: float | None
    is_below: bool


def wilson(found: int, planted: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927), which stays inside 0 to 1 and is none too narrow at either end.

    >>> tuple(round(end, 3) for end in wilson(0, 10))
    (0.0, 0.278)
    """
    from scipy.stats import binomtest

    interval = binomtest(found, planted).proportion_ci(method="wilson")
    return float(interval.low), float(interval.high)


def contrast_of_half(contrasts: Floats, share: Floats) -> tuple[float | None, bool]:
    """Where a never falling curve through the shares (K,) crosses one half, along log contrast; and whether it is above from the start.

    >>> contrast_of_half(np.array([1.0, 4.0]), np.array([0.0, 1.0]))
    (2.0, False)
    """
    from scipy.optimize import isotonic_regression

    rising = np.asarray(isotonic_regression(share).x)
    if rising[0] >= HALF:
        return float(contrasts[0]), bool(rising[0] > HALF)
    if rising[-1] < HALF:
        return None, False
    after = int(np.argmax(rising >= HALF))
    part = (HALF - rising[after - 1]) / (rising[after] - rising[after - 1])
    low, high = np.log(contrasts[after - 1 : after + 1])
    return float(np.exp(low + part * (high - low))), False


def half_found(contrasts: Floats, is_found: NDArray[np.bool_]) -> HalfFound:
    """Half-way of the curve of all places, `is_found` (P, K) over rising `contrasts` (K,).

    Places drawn again would agree with one another where there are few of them; the intervals of the shares do not.
    """
    counts = is_found.sum(axis=0)
    ends = np.array([wilson(int(count), len(is_found)) for count in counts])
    contrast, is_below = contrast_of_half(contrasts, counts / len(is_found))
    low, is_low_below = contrast_of_half(contrasts, ends[:, 1])
    high, _ = contrast_of_half(contrasts, ends[:, 0])
    return HalfFound(contrast, None if is_low_below else low, high, is_below)


def least_found(contrasts: Floats, is_found: NDArray[np.bool_]) -> Floats:
    """Each place's least contrast from which on all were found, (P,); infinite where the strongest was missed.

    >>> least_found(np.array([1.0, 2.0, 4.0]), np.array([[True, False, True], [True, True, True], [True, True, False]])).tolist()
    [4.0, 1.0, inf]
    """
    from_here = np.logical_and.accumulate(is_found[:, ::-1], axis=1)[:, ::-1]
    first = from_here.argmax(axis=1)
    return np.where(from_here.any(axis=1), contrasts[first], np.inf)

"""From components found in copies without ink to each found component's chance of being imagined.

Three figures, from the plainest to the one to act on. None of them is ever 0: what was not seen on some square centimetres
may be seen on the next, so the found component itself is counted among the imagined ones.

- `rate_per_cm2`: how many components at least so strong a square centimetre of negative control shows, at most about.
- `block_p`: how often a block of negative control, as large as a letter and its surroundings, shows one at least so strong (Phipson
  and Smyth 2010). It does not know at how many places one looked.
- `chance_imagined`: of all that was found at least so strong, the share that negative control explains. Where imagined components
  fall alike on the real fragment and on `ratio` times as much negative control, (1 + imagined) / (ratio * found) at or below a holds the
  expected share of imagined ones among those kept to a or less (Elias and Gygi 2007; with the 1: Barber and Candes 2015).
"""

import numpy as np
from numpy.typing import NDArray

from ensemble.controls.tail import Tail, expected_beyond
from scroll.errors import InputError

Floats = NDArray[np.float64]


def at_least(strengths: Floats, of: Floats) -> NDArray[np.int64]:
    """How many of `of` (N,) are at least as strong as each of `strengths` (R,).

    >>> at_least(np.array([2.0, 9.0]), np.array([1.0, 2.0, 3.0])).tolist()
    [2, 0]
    """
    return np.asarray(len(of) - np.searchsorted(np.sort(of), strengths, side="left"), dtype=np.int64)


def rate_per_cm2(found: Floats, control: Floats, control_cm2: float) -> Floats:
    """Components at least as strong as each found one, (R,), on a square centimetre of negative control, one more counted than seen.

    Raises:
        InputError: no area of negative control.
    """
    if not control_cm2 > 0:
        raise InputError(
            f"{control_cm2} cm2 of negative control; expected papyrus to look at: see the fragment's mask.png"
        )
    return np.asarray((1 + at_least(found, control)) / control_cm2, dtype=np.float64)


def block_p(found: Floats, strongest: Floats) -> Floats:
    """Chance, (R,), that a block of negative control shows a component at least so strong; `strongest` (B,) holds each block's, 0 for none.

    >>> block_p(np.array([5.0]), np.array([0.0, 1.0, 6.0])).tolist()
    [0.5]
    """
    return np.asarray((1 + at_least(found, strongest)) / (1 + len(strongest)), dtype=np.float64)


def chance_imagined(found: Floats, control: Floats, ratio: float, tail: Tail | None = None) -> Floats:
    """Share of imagined ones, (R,) up to 1, among what was found at least as strong; `ratio`: area of control over the fragment's.

    A component gets the best share that any bar at or below it reaches: what helps the weaker helps the stronger. Where a `tail` is
    given, imagined ones are counted by it where that tells fewer.

    >>> chance_imagined(np.array([9.0, 8.0, 1.0]), np.array([1.0]), ratio=1.0).round(3).tolist()
    [0.5, 0.5, 0.667]

    Raises:
        InputError: `ratio` is not above 0.
    """
    if not ratio > 0:
        raise InputError(f"negative control of {ratio} times the fragment's area; expected more than none")
    if not len(found):
        return np.zeros(0)
    expected = (1 + at_least(found, control)) / ratio
    if tail is not None:
        expected = np.minimum(expected, expected_beyond(found, control, tail, ratio))
    share = expected / at_least(found, found)
    weakest_first = np.argsort(found, kind="stable")
    best = np.minimum.accumulate(share[weakest_first])
    shares = np.empty(len(found))
    shares[weakest_first] = best
    return np.asarray(np.minimum(shares, 1), dtype=np.float64)

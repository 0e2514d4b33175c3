"""How far a mean score over cubes could have come out otherwise: scrolls are drawn with replacement, then cubes within them.

Cubes of one scroll share its winding, its damage and its scan, so they are no independent witnesses. With two or three
scrolls the draws know little of what another scroll would do; the interval is told all the same, and so is how many there were.

Source: Davison and Hinkley 1997, "Bootstrap methods and their application", section 3.8 (two-stage resampling).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scroll.metrics.bootstrap import DRAWS, OUTSIDE, Gain, gain_of, tail_share

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ResampledMeans:
    """Means of M candidates over cubes, `means` (M,), and on the same draws of cubes, `draws` (M, D)."""

    means: Floats
    draws: Floats
    cubes: int
    scrolls: int

    def interval(self, candidate: int) -> tuple[float, float]:
        """95 % interval of one candidate's mean; of a single cube nothing is known: 0 to 1."""
        return self._interval(self.draws[candidate]) if self.cubes > 1 else (0.0, 1.0)

    def gain(self, candidate: int, over: int) -> Gain:
        """Difference between two candidates on the same draws; of a single cube nothing is known: -1 to 1."""
        low, high = self._interval(self.draws[candidate] - self.draws[over]) if self.cubes > 1 else (-1.0, 1.0)
        return gain_of(float(self.means[candidate] - self.means[over]), low, high)

    def _interval(self, values: Floats) -> tuple[float, float]:
        tail = tail_share(self.cubes) if self.cubes > 2 else OUTSIDE / 2
        low, high = np.quantile(values, (tail, 1 - tail))
        return float(low), float(high)


def resampled_means(scores: npt.ArrayLike, scrolls: Sequence[str], seed: int = 0, draws: int = DRAWS) -> ResampledMeans:
    """Resample the scores (M, N) of M candidates on N cubes, cut from `scrolls` (N names).

    Each draw takes as many scrolls as there are, and of each as many cubes as it gave; its mean is over those cubes.
    """
    numbers = np.asarray(scores, np.float64)
    rng = np.random.default_rng(seed)
    members = [np.flatnonzero(np.array(scrolls) == name) for name in dict.fromkeys(scrolls)]
    found = np.empty((len(numbers), draws))
    for draw in range(draws):
        picked = [members[i] for i in rng.integers(len(members), size=len(members))]
        cubes = np.concatenate([rng.choice(one, size=one.size) for one in picked])
        found[:, draw] = numbers[:, cubes].mean(axis=1)
    return ResampledMeans(numbers.mean(axis=1), found, numbers.shape[1], len(members))

"""What several maps of the same say together: their spread, and what a label would tell about them; one map in memory at a time.

Disagreement is the mutual information of a pixel's label and the choice of the network (Houlsby et al. 2011): the entropy of the mean
probability less the mean entropy. It is high where each network is sure and they contradict each other, and 0 where all say the same,
"I do not know" included: a label there would tell apart none of them.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

Map = NDArray[np.float32]
LEAST = 1e-7  # probability that a logarithm is taken of


@dataclass(frozen=True)
class Voices:
    """Sums over `count` maps (Y, X): of probabilities, of their squares, of their entropies."""

    count: int
    total: NDArray[np.float64]
    squares: NDArray[np.float64]
    entropies: NDArray[np.float64]

    @classmethod
    def of(cls, maps: Iterable[Map]) -> Self:
        """Of one map or more, of members, folds, depth windows."""
        count, sums = 0, np.zeros(0)
        for one in maps:
            prob = one.astype(np.float64)
            parts = np.stack([prob, prob**2, entropy(prob)])
            count, sums = count + 1, parts if not count else sums + parts
        return cls(count, *sums)

    @property
    def spread(self) -> Map:
        """Standard deviation of the probabilities; 0 of one map."""
        variance = self.squares / self.count - (self.total / self.count) ** 2
        return np.asarray(np.sqrt(np.maximum(variance, 0)), np.float32)

    @property
    def disagreement(self) -> Map:
        """Mutual information in nats.

        >>> maps = [np.array([[0.0, 0.5, 0.9]]), np.array([[1.0, 0.5, 0.9]])]
        >>> np.abs(Voices.of(maps).disagreement).round(2).tolist()
        [[0.6899999976158142, 0.0, 0.0]]
        """
        found = entropy(self.total / self.count) - self.entropies / self.count
        return np.asarray(np.maximum(found, 0), np.float32)


def entropy(prob: NDArray[np.floating]) -> NDArray[np.float64]:
    """Of a yes or no with that probability, in nats, any shape.

    >>> entropy(np.array([0.0, 0.5, 1.0])).round(3).tolist()
    [0.0, 0.693, 0.0]
    """
    p = np.clip(prob.astype(np.float64), LEAST, 1 - LEAST)
    found = -(p * np.log(p) + (1 - p) * np.log1p(-p))
    return np.asarray(np.where((prob <= LEAST) | (prob >= 1 - LEAST), 0, found))

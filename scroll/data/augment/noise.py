"""Normal noise without drawing it each time: a patch's noise is a run of one long sequence of numbers, the same on every device."""

from dataclasses import dataclass
from functools import cache
from math import prod

import numpy as np
from numpy.typing import NDArray

LENGTH = 2**22  # numbers, 16 MiB: twice a patch of 128^3


@dataclass(frozen=True)
class Noise:
    """Normal noise of a standard deviation that is not made yet: a run of `normal_numbers` from `start` on."""

    start: int
    sd: float

    def values(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Its numbers as an array of `shape`."""
        count, numbers = prod(shape), normal_numbers()
        if self.start + count > len(numbers):  # a patch larger than all of them has them again and again
            numbers = np.resize(np.roll(numbers, -self.start), count)
        else:
            numbers = numbers[self.start : self.start + count]
        return np.multiply(numbers.reshape(shape), np.float32(self.sd))


@cache
def normal_numbers() -> NDArray[np.float32]:
    """(LENGTH,) independent normal numbers, always the same."""
    return np.random.default_rng(2026).standard_normal(LENGTH, dtype=np.float32)


def draw_noise(rng: np.random.Generator, shape: tuple[int, ...], sd: float) -> Noise:
    """Noise for a patch of `shape`, from any place of the sequence from which it has enough."""
    return Noise(int(rng.integers(max(1, LENGTH - prod(shape) + 1))), sd)

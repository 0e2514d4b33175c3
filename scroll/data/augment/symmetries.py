"""Mirrors and quarter turns of a patch: those that leave its label true."""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from scroll.config.schema import AugmentSettings
from scroll.data.sample import Space

Scalar = TypeVar("Scalar", bound=np.generic)


@dataclass(frozen=True)
class Symmetry:
    """Mirrors first, then quarter turns from y to x. A sheet's depth is never mirrored: ink is on one face."""

    flip_y: bool
    flip_x: bool
    quarter_turns: int
    flip_z: bool = False

    @property
    def mirrored_axes(self) -> tuple[int, ...]:
        """The axes that are mirrored, counted from the last one, which is -1."""
        flips = ((-3, self.flip_z), (-2, self.flip_y), (-1, self.flip_x))
        return tuple(axis for axis, flip in flips if flip)

    def apply(self, array: NDArray[Scalar]) -> NDArray[Scalar]:
        """The array (..., Y, X), with `flip_z` (..., Z, Y, X), seen through this symmetry; a copy, contiguous."""
        return np.array(np.rot90(np.flip(array, self.mirrored_axes), self.quarter_turns, axes=(-2, -1)), order="C")


def draw_symmetry(
    rng: np.random.Generator, settings: AugmentSettings, space: Space, shape: tuple[int, ...]
) -> Symmetry:
    """One of the symmetries that the settings and the space allow to a patch of `shape` (..., Y, X).

    Flattened sheets: 8, depth as it is. Scroll space: the mirror along z; 16 with `across_sheets`, for the other 14 exchange
    recto and verso to whoever looks at a few voxels. A patch that is not square takes half turns only.
    """
    flip_z = space is Space.SCROLL and bool(rng.integers(2))
    flip_y, flip_x = (bool(v) for v in rng.random(2) < 0.5)
    turns = int(rng.integers(4)) if shape[-1] == shape[-2] else 2 * int(rng.integers(2))
    across = space is not Space.SCROLL or settings.across_sheets
    flips = settings.flips and across
    return Symmetry(
        flip_y and flips,
        flip_x and flips,
        turns if settings.quarter_turns and across else 0,
        flip_z and settings.flips,
    )

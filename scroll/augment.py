"""Random changes of a training patch, drawn once and applied alike to image, label and ignore mask."""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from scroll.config import AugmentSettings

Scalar = TypeVar("Scalar", bound=np.generic)


@dataclass(frozen=True)
class Symmetry:
    """A symmetry of the (Y, X) plane: mirror first, then quarter turns. Depth is never mirrored: ink lies on one face."""

    flip_y: bool
    flip_x: bool
    quarter_turns: int

    def apply(self, array: NDArray[Scalar]) -> NDArray[Scalar]:
        """The array (..., Y, X) seen through this symmetry; a copy, contiguous."""
        axes = tuple(axis for axis, flip in ((-2, self.flip_y), (-1, self.flip_x)) if flip)
        return np.array(np.rot90(np.flip(array, axes), self.quarter_turns, axes=(-2, -1)), order="C")


def draw_symmetry(rng: np.random.Generator, settings: AugmentSettings, is_square: bool) -> Symmetry:
    """One of the 8 symmetries that the settings allow; a patch that is not square takes half turns only."""
    flip_y, flip_x = (bool(v) for v in rng.random(2) < 0.5)
    turns = int(rng.integers(4)) if is_square else 2 * int(rng.integers(2))
    return Symmetry(flip_y and settings.flips, flip_x and settings.flips, turns if settings.quarter_turns else 0)


def change_image(
    rng: np.random.Generator, image: NDArray[np.float32], settings: AugmentSettings
) -> NDArray[np.float32]:
    """Contrast, brightness, noise, layer dropout and cut-out of a normalised image (L, Y, X): L layers or channels."""
    contrast = 1 + settings.contrast * rng.uniform(-1, 1)
    brightness = settings.brightness * rng.uniform(-1, 1)
    changed = (image * contrast + brightness).astype(np.float32)
    if settings.noise:
        sd = settings.noise * rng.random()
        changed += rng.standard_normal(image.shape, dtype=np.float32) * np.float32(sd)
    if rng.random() < settings.layer_dropout and image.shape[0] > 1:
        blank = rng.choice(image.shape[0], size=min(int(rng.integers(1, 3)), image.shape[0] - 1), replace=False)
        changed[blank] = 0
    if rng.random() < settings.cutout:
        changed[(slice(None), *_rectangle(rng, image.shape[1:]))] = 0
    return changed


def _rectangle(rng: np.random.Generator, shape_yx: tuple[int, ...]) -> tuple[slice, slice]:
    """A random rectangle of at most a quarter of the height and width."""
    spans = []
    for length in shape_yx:
        edge = int(rng.integers(1, max(2, length // 4 + 1)))
        start = int(rng.integers(length - edge + 1))
        spans.append(slice(start, start + edge))
    return spans[0], spans[1]

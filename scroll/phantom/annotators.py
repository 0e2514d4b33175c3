"""Imagined annotators: each draws the ink a little beside where it is, a little too thick or thin, and misses or invents some."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, label, map_coordinates

from scroll.data.augment.smooth_fields import Seed, smooth_noise, stream
from scroll.phantom.ink import BoolArray

BESIDE_PX, BESIDE_KNOTS_PX = (
    3.0,
    40.0,
)  # sd of how far a stroke is drawn beside itself, and over which length that changes
BLUR_PX, LEVELS = 2.5, (0.3, 0.7)  # a stroke is its blur cut at a level: thicker where it is low
INVENTED_FROM_SD, INVENTED_KNOTS_PX = 2.4, 20.0


def annotated(ink: BoolArray, seed: Seed, annotators: int = 5, missed_share: float = 0.25) -> NDArray[np.uint8]:
    """The mean of what so many annotators drew of the ink (Y, X), as grey: 255 where all of them say ink.

    Each misses `missed_share` of the pieces of ink, whichever.

    >>> annotated(np.zeros((8, 8), bool), 0, annotators=2).dtype
    dtype('uint8')
    """
    drawn = [_drawn(ink, stream(seed, f"annotator-{number}"), missed_share) for number in range(annotators)]
    return np.rint(255 * np.mean(drawn, axis=0)).astype(np.uint8)


def _drawn(ink: BoolArray, rng: np.random.Generator, missed_share: float) -> BoolArray:
    pieces, count = label(ink)
    is_seen = np.concatenate([[False], rng.random(count) >= missed_share])
    beside = [BESIDE_PX * smooth_noise(rng, ink.shape, (BESIDE_KNOTS_PX,) * 2) for _ in range(2)]
    at = [places + moved for places, moved in zip(np.indices(ink.shape), beside, strict=True)]
    seen = map_coordinates(is_seen[pieces].astype(np.float32), at, order=1, mode="nearest")
    strokes = gaussian_filter(seen, BLUR_PX) > rng.uniform(*LEVELS)
    invented = smooth_noise(rng, ink.shape, (INVENTED_KNOTS_PX,) * 2) > INVENTED_FROM_SD
    return np.asarray(strokes | invented)

"""Imagined annotators: each draws the ink a little beside where it is, a little too thick or thin, and misses or invents some.

Those who are asked for a patch (`asked`) are careful, and their seconds are counted, as a person's would be.
"""

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
MISTAKEN_SHARE = 0.05  # of a careful annotator's area
SECONDS_A_PATCH, SECONDS_A_CM2, SECONDS_AN_EDGE_CM = (
    15.0,
    60.0,
    20.0,
)  # to open it, to look at it, to draw along an edge


def annotated(ink: BoolArray, seed: Seed, annotators: int = 5, missed_share: float = 0.25) -> NDArray[np.uint8]:
    """The mean of what so many annotators drew of the ink (Y, X), as grey: 255 where all of them say ink.

    Each misses `missed_share` of the pieces of ink, whichever.

    >>> annotated(np.zeros((8, 8), bool), 0, annotators=2).dtype
    dtype('uint8')
    """
    drawn = [_drawn(ink, stream(seed, f"annotator-{number}"), missed_share) for number in range(annotators)]
    return np.rint(255 * np.mean(drawn, axis=0)).astype(np.uint8)


def asked(ink: BoolArray, box: tuple[slice, slice], seed: Seed, pixel_um: float) -> tuple[BoolArray, float]:
    """What a careful annotator draws of a patch of the ink (Y, X), as large as the patch, and the seconds that it takes.

    Edges wander by a few pixels, and a twentieth of the area is wrong: blots where ink is taken for none, or none for ink.
    """
    rng = stream(seed, f"asked-{box[0].start}-{box[1].start}")
    beside = [BESIDE_PX * smooth_noise(rng, ink[box].shape, (BESIDE_KNOTS_PX,) * 2) for _ in range(2)]
    places = np.indices(ink[box].shape) + np.array([part.start for part in box])[:, None, None]
    at = [line + moved for line, moved in zip(places, beside, strict=True)]
    drawn = map_coordinates(ink.astype(np.float32), at, order=1, mode="nearest") >= 0.5
    blots = smooth_noise(rng, drawn.shape, (INVENTED_KNOTS_PX,) * 2)
    drawn ^= blots > np.quantile(blots, 1 - MISTAKEN_SHARE)
    cm = pixel_um / 1e4
    edges = np.count_nonzero(drawn[1:] != drawn[:-1]) + np.count_nonzero(drawn[:, 1:] != drawn[:, :-1])
    seconds = SECONDS_A_PATCH + SECONDS_A_CM2 * drawn.size * cm**2 + SECONDS_AN_EDGE_CM * edges * cm
    return np.asarray(drawn), float(seconds)


def _drawn(ink: BoolArray, rng: np.random.Generator, missed_share: float) -> BoolArray:
    pieces, count = label(ink)
    is_seen = np.concatenate([[False], rng.random(count) >= missed_share])
    beside = [BESIDE_PX * smooth_noise(rng, ink.shape, (BESIDE_KNOTS_PX,) * 2) for _ in range(2)]
    at = [places + moved for places, moved in zip(np.indices(ink.shape), beside, strict=True)]
    seen = map_coordinates(is_seen[pieces].astype(np.float32), at, order=1, mode="nearest")
    strokes = gaussian_filter(seen, BLUR_PX) > rng.uniform(*LEVELS)
    invented = smooth_noise(rng, ink.shape, (INVENTED_KNOTS_PX,) * 2) > INVENTED_FROM_SD
    return np.asarray(strokes | invented)

"""Grey values as a network of others was trained on them: one place for all families, and for networks of our own."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from scroll.data.intensity import grey_scale_of, in_spreads
from stage1_3d.external.card import Intensity

LEAST_SPREAD = 1e-8
MAD_TO_SD = 1.4826  # of a normal distribution
OF_AN_ITEM = ("zscore_of_item", "percentiles", "robust", "ours")


def fixed(intensity: Intensity, values: NDArray[Any], among: NDArray[Any] | None = None) -> Intensity:
    """The same scaling with the figures of an item in it, so that it can be done window by window.

    Args:
        values: grey values of the item, any shape.
        among: those that the figures are taken from, where they are not all.
    """
    seen = values if among is None else among
    if intensity.how == "zscore_of_item":
        return Intensity(how="zscore", middle=float(seen.mean()), spread=max(float(seen.std()), LEAST_SPREAD))
    if intensity.how == "percentiles":
        low, high = np.percentile(seen, (intensity.low, intensity.high))
        return Intensity(how="zscore", middle=float(low), spread=max(float(high - low), LEAST_SPREAD))
    if intensity.how == "robust":
        low, high = np.percentile(seen, (intensity.low, intensity.high))
        within = seen[(seen >= low) & (seen <= high)]
        middle = float(np.median(within))
        spread = MAD_TO_SD * float(np.median(np.abs(within - middle)))
        return Intensity(
            how="clip_zscore", low=float(low), high=float(high), middle=middle, spread=max(spread, LEAST_SPREAD)
        )
    if intensity.how == "ours":
        middle, spread = grey_scale_of(seen)
        return Intensity(how="ours", middle=middle, spread=spread)
    return intensity


def scaled(intensity: Intensity, values: NDArray[Any]) -> NDArray[np.float32]:
    """Grey values of any type and shape as the network sees them, float32; `intensity` holds the figures of the item already."""
    if intensity.how == "ours":
        return in_spreads(values, (intensity.middle, intensity.spread))
    found = values.astype(np.float32)
    if intensity.how in ("clip_divide", "clip_zscore"):
        np.clip(found, intensity.low, intensity.high, out=found)
    if intensity.how in ("zscore", "clip_zscore"):
        found -= np.float32(intensity.middle)
    if intensity.how != "none":
        found /= np.float32(intensity.spread)
    return found

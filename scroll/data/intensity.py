"""Grey values as networks see them: how far from the median, in robust spreads."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from scroll.errors import UnreadableError

GreyScale = tuple[float, float]
FAR = 8.0  # spreads; what is further out is metal or a gap in the scan


def grey_scale_of(values: NDArray[Any]) -> GreyScale:
    """Median and robust spread (half the 16-84 % range) of grey values of any shape.

    >>> grey_scale_of(np.arange(101))
    (50.0, 34.0)
    """
    low, middle, high = np.percentile(np.ravel(values).astype(np.float32), (16, 50, 84))
    return float(middle), float(max((high - low) / 2, 1e-6))


def in_spreads(raw: NDArray[Any], grey_scale: GreyScale, where: str | None = None) -> NDArray[np.float32]:
    """Grey values of any type and shape in spreads from the median, float32, cut at 8 on either side; NaN stays.

    Raises:
        UnreadableError: not all values are finite, where `where` is given, which the message begins with.
    """
    middle, spread = grey_scale
    values = raw.astype(np.float32)
    values -= np.float32(middle)
    values /= np.float32(spread)
    if where is not None and not np.isfinite(values).all():
        raise UnreadableError(f"{where}; repair the volume")
    return np.clip(values, -FAR, FAR, out=values)

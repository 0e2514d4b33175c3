"""Grey values as networks see them: as robust z-scores, or as a network of others was trained on them."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from scroll.errors import UnreadableError
from scroll.runtime.record import Record

GreyScale = tuple[float, float]
LEAST_SPREAD = 1e-8
MAD_TO_SD = 1.4826  # of a normal distribution
FAR = 8.0  # spreads; what is further out is metal or a gap in the scan


def grey_scale_of(values: NDArray[Any]) -> GreyScale:
    """Median and robust spread (half the 16-84 % range) of grey values of any shape.

    >>> grey_scale_of(np.arange(101))
    (50.0, 34.0)
    """
    low, middle, high = np.percentile(np.ravel(values).astype(np.float32), (16, 50, 84))
    return float(middle), float(max((high - low) / 2, 1e-6))


def robust_z_score(raw: NDArray[Any], grey_scale: GreyScale, where: str | None = None) -> NDArray[np.float32]:
    """Grey values of any type and shape as robust z-scores, in spreads from the median, float32, cut at 8 on either side; NaN stays.

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


@dataclass(frozen=True)
class AsStored:
    """Grey values as they are stored, where that is whole numbers of one or two bytes; all others scaled, which take no more room."""

    how: "Intensity"

    def scaled(self, raw: NDArray[Any], where: str | None = None) -> NDArray[Any]:
        """(any shape) whole numbers in this machine's order of bytes, or float32 as `how` gives.

        Raises:
            UnreadableError: not all values are finite, where `where` is given, which the message begins with.
        """
        if raw.dtype.kind in "ui" and raw.dtype.itemsize <= 2:
            return raw.astype(raw.dtype.newbyteorder("="), copy=False)
        return self.how.scaled(raw, where)


class Intensity(Record):
    """Grey values -> what a network sees.

    `how`: none; divide by `spread`; clip to `low`..`high` and divide; zscore with `middle` and `spread`; clip_zscore; zscore_of_item;
    percentiles (`low` and `high` of the item's become 0 and 1); robust (median and median absolute deviation within the item's
    percentiles `low` to `high`); ours (`robust_z_score`). `keeps_zero`: zeros count for no figure and stay 0.
    """

    how: Literal[
        "none", "divide", "clip_divide", "zscore", "clip_zscore", "zscore_of_item", "percentiles", "robust", "ours"
    ] = "none"
    low: float = 0.0
    high: float = 0.0
    middle: float = 0.0
    spread: float = Field(1.0, gt=0)
    keeps_zero: bool = False

    @classmethod
    def by_z_score(cls, grey_scale: GreyScale) -> "Intensity":
        """As `robust_z_score` does with this grey scale."""
        return cls(how="ours", middle=grey_scale[0], spread=grey_scale[1])

    @model_validator(mode="after")
    def _low_below_high(self) -> "Intensity":
        is_empty = self.low == self.high and self.how != "clip_zscore"  # of an item that is the same grey throughout
        if self.how in ("clip_divide", "clip_zscore", "percentiles", "robust") and (self.low > self.high or is_empty):
            raise ValueError(f"{self.how} needs low below high, such as 0 and 200, or percentiles 1 and 99")
        return self

    def of_item(self, values: NDArray[Any]) -> "Intensity":
        """The same scaling with the figures of an item's grey values (any shape) in it, so that it can be done window by window."""
        scanned = values[values != 0] if self.keeps_zero else values
        found = self._figures(scanned if scanned.size else values)
        return found.model_copy(update={"keeps_zero": True}) if self.keeps_zero else found

    def _figures(self, values: NDArray[Any]) -> "Intensity":
        if self.how == "zscore_of_item":
            return Intensity(how="zscore", middle=float(values.mean()), spread=max(float(values.std()), LEAST_SPREAD))
        if self.how == "percentiles":
            low, high = np.percentile(values, (self.low, self.high))
            return Intensity(how="zscore", middle=float(low), spread=max(float(high - low), LEAST_SPREAD))
        if self.how == "robust":
            low, high = np.percentile(values, (self.low, self.high))
            within = values[(values >= low) & (values <= high)]
            middle = float(np.median(within))
            spread = max(MAD_TO_SD * float(np.median(np.abs(within - middle))), LEAST_SPREAD)
            return Intensity(how="clip_zscore", low=float(low), high=float(high), middle=middle, spread=spread)
        if self.how == "ours":
            return Intensity.by_z_score(grey_scale_of(values))
        return self

    def scaled(self, raw: NDArray[Any], where: str | None = None) -> NDArray[np.float32]:
        """Grey values of any type and shape as the network sees them, float32; the figures of the item are in it already.

        Raises:
            UnreadableError: not all values are finite, where `where` is given, which the message begins with.
        """
        if self.how == "ours":
            return robust_z_score(raw, (self.middle, self.spread), where)
        values = raw.astype(np.float32)
        if where is not None and not np.isfinite(values).all():
            raise UnreadableError(f"{where}; repair the volume")
        if self.how in ("clip_divide", "clip_zscore"):
            np.clip(values, self.low, self.high, out=values)
        if self.how in ("zscore", "clip_zscore"):
            values -= np.float32(self.middle)
        if self.how != "none":
            values /= np.float32(self.spread)
        if self.keeps_zero:
            values[raw == 0] = 0
        return values

"""Grey values as networks see them: as robust z-scores, or as a network of others was trained on them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict

from scroll.config.intensity import MEASURED, IntensitySettings
from scroll.errors import UnreadableError

GreyScale = tuple[float, float]
LEAST_SPREAD = 1e-8
LEAST_WIDTH = 1e-6  # of a spread between percentiles; below it most values are one
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


def is_small(raw: NDArray[Any]) -> bool:
    """Whether grey values are whole numbers of one or two bytes."""
    return raw.dtype.kind in "ui" and raw.dtype.itemsize <= 2


@dataclass(frozen=True)
class AsStored:
    """Grey values as they are stored, where that is whole numbers of one or two bytes; all others scaled, which take no more room.

    Of windows that have figures of their own all are scaled, once, while there is nothing but one window at hand.
    """

    how: "Intensity"

    def scaled(self, raw: NDArray[Any], where: str | None = None) -> NDArray[Any]:
        """(any shape) whole numbers in this machine's order of bytes, or float32 as `how` gives.

        Raises:
            UnreadableError: not all values are finite, where `where` is given, which the message begins with.
        """
        if is_small(raw) and self.how.of == "item":
            return raw.astype(raw.dtype.newbyteorder("="), copy=False)
        return self.how.scaled(raw, where)


class Sampled(Protocol):
    """Something whose grey values can be looked at as a whole."""

    @property
    def grey_sample(self) -> NDArray[Any]:
        """Grey values of it, any shape."""


class Scaled(Sampled, Protocol):
    """Something whose grey values have a scale of our own."""

    @property
    def grey_scale(self) -> GreyScale:
        """Their median and robust spread."""


class Intensity(IntensitySettings):
    """Grey values -> what a network sees, as `IntensitySettings` say; fields of a card that it does not know are passed over."""

    model_config = ConfigDict(extra="ignore")

    @classmethod
    def of_settings(cls, given: IntensitySettings) -> "Intensity":
        """As a member's settings say."""
        return cls.model_validate(given.model_dump())

    @classmethod
    def by_z_score(cls, grey_scale: GreyScale) -> "Intensity":
        """As `robust_z_score` does with this grey scale."""
        return cls(how="ours", middle=grey_scale[0], spread=grey_scale[1])

    def fixed_for(self, item: Sampled) -> "Intensity":
        """The same scaling with the item's figures in it; its grey values are read only where they are measured for that."""
        return self.of_item(item.grey_sample) if self.is_measured else self

    @property
    def is_measured(self) -> bool:
        """Whether figures of a whole item are still to be put into it."""
        return self.of == "item" and self.how in MEASURED

    def of_item(self, values: NDArray[Any]) -> "Intensity":
        """The same scaling with the figures of an item's grey values (any shape) in it, so that it can be done window by window."""
        return self._measured(values) if self.is_measured else self

    def _measured(self, values: NDArray[Any]) -> "Intensity":
        """By the figures of these grey values, without those that are no numbers."""
        known = values[np.isfinite(values)] if values.dtype.kind == "f" else values
        scanned = known[known != 0] if self.keeps_zero else known
        found = self._figures(next((some for some in (scanned, known) if some.size), np.zeros(1, np.float32)))
        return found.model_copy(update={"keeps_zero": True}) if self.keeps_zero else found

    def _figures(self, values: NDArray[Any]) -> "Intensity":
        if self.how in ("zscore_of_item", "zscore"):
            return Intensity(how="zscore", middle=float(values.mean()), spread=max(float(values.std()), LEAST_SPREAD))
        if self.how == "percentiles":
            low, high = _percentiles(*_counted(values), (self.low, self.high))
            return Intensity(how="zscore", middle=low, spread=_first_wide(high - low))
        if self.how == "robust":
            return self._robust_figures(values)
        return Intensity.by_z_score(grey_scale_of(values))

    def _robust_figures(self, values: NDArray[Any]) -> "Intensity":
        """Where more than half of the values are one, by their standard deviation, or half the range between the percentiles.

        Source: ScrollPrize/villa, vesuvius/image_proc/intensity/normalization.py (`normalize_robust`).
        """
        greys, counts = _counted(values)
        low, high = _percentiles(greys, counts, (self.low, self.high))
        clipped = greys.clip(low, high)
        (middle,) = _percentiles(clipped, counts, (50,))
        (away,) = _percentiles(np.abs(clipped - middle), counts, (50,))
        spread = MAD_TO_SD * away
        if spread < LEAST_WIDTH:
            spread = _first_wide(float(values.std()), (high - low) / 2)
        return Intensity(how="clip_zscore", low=low, high=high, middle=middle, spread=spread)

    def scaled(self, raw: NDArray[Any], where: str | None = None) -> NDArray[np.float32]:
        """Grey values of any type and shape as the network sees them, float32; the figures of the item are in it already.

        Of windows, `raw` is one, as much of it as there is: what is put beyond an edge comes after it, and counts for no figure.

        Raises:
            UnreadableError: not all values are finite, where `where` is given, which the message begins with.
        """
        if self.of == "window":
            return self._measured(raw).scaled(raw, where)
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


def _counted(values: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.int64] | None]:
    """Whole numbers of one or two bytes as the greys that there are and how often; all others as they are, once each."""
    if not is_small(values):
        return values, None
    least = int(values.min())
    flat = (
        values.ravel()
        if values.dtype.kind == "u" and values.dtype.isnative
        else values.ravel().astype(np.int64) - least
    )
    counts = np.bincount(flat)
    greys = np.flatnonzero(counts)
    return greys + (0 if flat.dtype.kind == "u" else least), counts[greys]


def _percentiles(greys: NDArray[Any], counts: NDArray[np.int64] | None, requested: Sequence[float]) -> list[float]:
    """Those of np.percentile, of greys that are there so many times.

    >>> _percentiles(np.array([7, 1]), np.array([1, 3]), (0, 50, 75))
    [1.0, 1.0, 2.5]
    """
    if counts is None:
        return [float(value) for value in np.percentile(greys, requested)]
    order = np.argsort(greys)
    ends, rising = np.cumsum(counts[order]), greys[order].astype(np.float64)
    at = np.asarray(requested) / 100 * (ends[-1] - 1)
    low, high = (rising[np.searchsorted(ends, found(at), side="right")] for found in (np.floor, np.ceil))
    return [float(value) for value in low + (high - low) * (at - np.floor(at))]


def _first_wide(*spreads: float) -> float:
    """The first spread that can be divided by; 1 where none can."""
    return next((spread for spread in spreads if spread >= LEAST_WIDTH), 1.0)

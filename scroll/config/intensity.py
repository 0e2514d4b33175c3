"""How grey values are scaled before a network sees them: what settings and cards may say of it."""

from typing import Literal

from pydantic import Field, model_validator

from scroll.config.training import Frozen

MEASURED = ("zscore_of_item", "percentiles", "robust", "ours")  # of whose figures none is given
MOST = 1e38  # of a grey value in float32
OF_WINDOWS = ("zscore", "percentiles", "robust", "ours")  # that a window can be scaled by on its own


class IntensitySettings(Frozen):
    """How grey values are scaled before a network sees them."""

    how: Literal[
        "none", "divide", "clip_divide", "zscore", "clip_zscore", "zscore_of_item", "percentiles", "robust", "ours"
    ] = Field(
        "none",
        description="none; divide by spread; clip to low..high and divide; zscore: by middle and spread; clip_zscore; zscore_of_item: by "
        "the item's mean and standard deviation; percentiles: those from low to high become 0 and 1; robust: median and median absolute "
        "deviation of what is clipped to percentiles low to high; ours: median and half the 16-84 % range",
    )
    of: Literal["item", "window"] = Field(
        "item", exclude_if=lambda of: of == "item",
        description="whose figures: of the whole item, or of each window (and training patch) by itself: zscore (then by its own mean and "
        "standard deviation), percentiles, robust and ours",
    )  # fmt: skip
    low: float = Field(
        0.0, ge=-MOST, le=MOST, description="the lower bound, in grey values; of percentiles and robust a percentile"
    )
    high: float = Field(0.0, ge=-MOST, le=MOST, description="the upper bound, likewise")
    middle: float = Field(0.0, ge=-MOST, le=MOST, description="what is taken off, in grey values")
    spread: float = Field(1.0, gt=0, le=MOST, description="what is divided by, in grey values")
    keeps_zero: bool = Field(False, description="zeros, where nothing was scanned, count for no figure and stay 0")

    @model_validator(mode="after")
    def _low_below_high(self) -> "IntensitySettings":
        is_empty = self.low == self.high and self.how != "clip_zscore"  # of an item that is the same grey throughout
        if self.how in ("clip_divide", "clip_zscore", "percentiles", "robust") and (self.low > self.high or is_empty):
            raise ValueError(f"{self.how} needs low below high, such as 0 and 200, or percentiles 1 and 99")
        if self.how in ("percentiles", "robust") and not 0 <= self.low <= self.high <= 100:
            raise ValueError(f"{self.how} needs percentiles from 0 to 100, such as 1 and 99")
        return self

    @model_validator(mode="after")
    def _a_window_has_such_figures(self) -> "IntensitySettings":
        if self.of == "window" and self.how not in OF_WINDOWS:
            raise ValueError(
                f"{self.how} is nothing that each window has of its own; give one of {', '.join(OF_WINDOWS)}"
            )
        return self

"""fit.json of a run on sheets: weights and thresholds of predictors and blends, fitted out of fold, and what speaks for them."""

from pydantic import Field

from scroll.metrics.bootstrap import Blocks, Gain
from scroll.metrics.calibration import Evidence
from scroll.metrics.held_out import HeldOut
from scroll.runtime.record import ByName, Record, Versioned


class _Compared(Record):
    left_out: tuple[tuple[str, ...], ...] = ()
    fitted_f05: float | None = None
    equal_f05: float | None = None


class LeftOutGain(Gain, _Compared):
    """What fitted weights gain over equal ones where neither was fitted: sources left out in turn, F0.5 of both, blocks."""

    blocks: Blocks | None = None


class WithoutOne(Record):
    """The ensemble fitted without a predictor, and what the whole one is better by."""

    weights: ByName[float]
    threshold: float
    oof_f05: float
    loss: Gain


class InkFit(Versioned):
    """Weights by predictor, the rest by predictor or blend; what files of before do not tell is empty or None.

    `held_out` is there where training sheets have a validation mask.
    `made_from` is the hash of the weights and settings that it was fitted for.
    """

    made_from: str
    fragments: tuple[str, ...] = ()
    weights: ByName[float]
    thresholds: ByName[float]
    oof_f05: ByName[float] = Field({})
    oof_interval: ByName[tuple[float, float]] = Field({})
    gain_where_fitted: Gain | None = None
    blocks: Blocks | None = None
    evidence: Evidence | None = None
    without: ByName[WithoutOne] = Field({})
    best_member: str | None = None
    left_out: LeftOutGain | None = None
    held_out: HeldOut | None = Field(None, exclude_if=lambda found: found is None)

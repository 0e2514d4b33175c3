"""fit.json of a run on sheets: weights and thresholds of candidates and blends, fitted out of fold, and what speaks for them."""

from pydantic import Field

from scroll.metrics.bootstrap import Blocks, Gain
from scroll.metrics.calibration import Evidence
from scroll.runtime.record import Record, Versioned


class _Compared(Record):
    left_out: tuple[tuple[str, ...], ...] = ()
    fitted_f05: float | None = None
    equal_f05: float | None = None


class LeftOutGain(Gain, _Compared):
    """What fitted weights gain over equal ones where neither was fitted: sources left out in turn, F0.5 of both, blocks."""

    blocks: Blocks | None = None


class WithoutOne(Record):
    """The ensemble fitted without a candidate, and what the whole one is better by."""

    weights: dict[str, float]
    threshold: float
    oof_f05: float
    loss: Gain


class InkFit(Versioned):
    """Weights by candidate, the rest by candidate or blend; what files of before do not tell is empty or None.

    `made_from` is the hash of the weights and settings that it was fitted for.
    """

    made_from: str
    fragments: tuple[str, ...] = ()
    weights: dict[str, float]
    thresholds: dict[str, float]
    oof_f05: dict[str, float] = Field({})
    oof_interval: dict[str, tuple[float, float]] = Field({})
    gain_where_fitted: Gain | None = None
    blocks: Blocks | None = None
    evidence: Evidence | None = None
    without: dict[str, WithoutOne] = Field({})
    best_member: str | None = None
    left_out: LeftOutGain | None = None

"""fit.json of a run on cubes: members' weights, post-processing and lift of every row, what is submitted, and what speaks for it."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AliasChoices, BeforeValidator, Field, PlainSerializer

from ensemble.surface.postprocess.fit import Trial
from ensemble.surface.postprocess.pipeline import PostProcessing
from ensemble.surface.predictors import Lift
from scroll.metrics.bootstrap import Gain
from scroll.metrics.calibration import Evidence
from scroll.runtime.record import ByName, Record, Versioned


def _post_processing(record: Any) -> Any:
    return PostProcessing.from_record(record) if isinstance(record, Mapping) else record


PostProcessingRecord = Annotated[
    PostProcessing, BeforeValidator(_post_processing), PlainSerializer(PostProcessing.as_record)
]


class FittedWeights(Record):
    """The weights of the members that are used, and how they came about."""

    weights: ByName[float]
    score: float | None = None
    equal_mean_score: float | None = None
    gain_where_fitted: Gain | None = None


class FittedRow(Record):
    """A predictor with its post-processing, all that was tried in fitting it, and its score and parts on each cube.

    `lift` is of sheets alone; `plain` is that of the best threshold alone.
    """

    lift: Lift | None = None
    post_processing: PostProcessingRecord = Field(validation_alias=AliasChoices("post_processing", "chain"))
    plain: PostProcessingRecord | None = None
    trials: tuple[Trial, ...] = ()
    means: ByName[float]
    scores: tuple[float, ...] = ()
    parts: tuple[dict[str, float], ...] = ()


class WithoutOne(Record):
    """The plain blend fitted without a member, and what the whole one is better by."""

    weights: ByName[float]
    post_processing: PostProcessingRecord = Field(validation_alias=AliasChoices("post_processing", "chain"))
    oof_score: float
    loss: Gain


class Drawn(Record):
    """How many cubes and scrolls the intervals are drawn from."""

    cubes: int
    scrolls: int


class SurfaceFit(Versioned):
    """What is fitted by row or member; `route` is the row that is submitted. What files of before do not tell is empty or None.

    `made_from` is the hash of the predictions and settings it was made from, `fitted_for` those of all weights by their place.
    """

    made_from: str
    fitted_for: ByName[str] = Field({})
    cubes: tuple[str, ...] = ()
    weights: FittedWeights
    rows: ByName[FittedRow]
    seconds_a_voxel: float | None = None
    route: str
    without: ByName[WithoutOne] = Field({})
    evidence: Evidence | None = None
    intervals: ByName[tuple[float, float]]
    gains: ByName[Gain]
    resampled: Drawn

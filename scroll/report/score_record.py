"""score.json: what a prediction scored against labels, of ink or of surfaces in cubes, with all that the report says of it."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import ClassVar

from pydantic import ConfigDict, Field

from scroll.metrics.bootstrap import Blocks, Gain
from scroll.metrics.calibration import Evidence, Figures, FoldPieces, Reliability, Sweep
from scroll.metrics.error_map import Entry
from scroll.metrics.held_out import HeldOut
from scroll.metrics.leaderboard import SurfaceScore
from scroll.report.patch_pictures import PatchRecord
from scroll.runtime.files import read_mapping
from scroll.runtime.record import Record, Versioned, as_record

NAME = "score.json"
REMEDY = "delete it and score the run again"
NOTE = "A phantom score shows that the pipeline works and is no evidence about real scrolls."
SHOWN = "ensemble"  # whose charts come first
COLUMNS = {
    "f05": "F0.5",
    "interval": "95 % interval",
    "gain": "Gain over the best member",
    "without": "Lost without it",
    "f05_mean": "Mean F0.5",
    "precision": "Precision",
    "recall": "Recall",
    "ap": "AP",
    "auc": "AUC",
    "surface_dice": "Surface Dice",
    "threshold": "Threshold",
    "weight": "Weight",
}


class _Over(Record):
    over: str


class InkGain(Gain, _Over):
    """A row's gain over the one named `over`, which comes first in the file: fields of the last base do."""


class CubesGain(_Over, Gain):
    """The same, where it comes last."""


class _Row(Record):
    """What it is of; `has_seen`: whether a member that it is made of was trained on something that is scored here, or may have been."""

    name: str
    kind: str = ""
    has_seen: bool = Field(False, exclude_if=lambda has_seen: not has_seen)

    @property
    def label(self) -> str:
        """The name in a table, with a mark where the figures are too good."""
        return f"{self.name} (seen)" if self.has_seen else self.name


class InkRow(_Row):
    """A predictor or blend on all held-out sheets; None: not defined, or not in files of before. They may hold NaN.

    `scrolls`: F0.5 on those of each scroll, where they are of several.
    """

    model_config = ConfigDict(allow_inf_nan=True)

    f05: float
    f05_mean: float | None = None
    precision: float | None = None
    recall: float | None = None
    ap: float | None = None
    auc: float | None = None
    surface_dice: float | None = None
    threshold: float | None = None
    weight: float | None = None
    f05_low: float | None = None
    f05_high: float | None = None
    gain: InkGain | None = None
    without: Gain | None = None
    scrolls: dict[str, float] = Field({}, exclude_if=lambda scores: not scores)


class CubesRow(_Row):
    """A predictor or route on all held-out cubes; None: not in files of before."""

    score: float
    topo: float | None = None
    surface_dice: float | None = None
    voi_score: float | None = None
    voi: float | None = None
    score_low: float | None = None
    score_high: float | None = None
    gain: CubesGain | None = None
    without: Gain | None = None


Row = InkRow | CubesRow


class ByFold(Record):
    """A predictor's figures on what each fold held out, and on all."""

    folds: tuple[Figures, ...]
    all: Figures


class Curves(Record):
    """Sweep and reliability of a predictor, and the threshold that was chosen."""

    sweep: Sweep
    reliability: Reliability
    threshold: float


class OutOfFold(Record):
    """Out-of-fold figures by predictor, curves of some; `swept` is the metric that thresholds were chosen for. Empty of an older fit."""

    metrics: dict[str, str] = Field({})
    folds: tuple[FoldPieces, ...] = ()
    by_fold: dict[str, ByFold] = Field({})
    curves: dict[str, Curves] = Field({})
    shown: str = ""
    swept: str = ""
    of: str = ""


def out_of_fold(
    evidence: Evidence, names: Iterable[str], thresholds: Mapping[str, float], metrics: dict[str, str], of: str
) -> OutOfFold:
    """The evidence of a fit for a page: a row for each of `names`, curves where there is a threshold; the first metric was fitted for."""
    curves = {
        name: Curves(sweep=evidence.sweep[name], reliability=evidence.reliability[name], threshold=threshold)
        for name, threshold in thresholds.items()
    }
    table = {name: ByFold(folds=evidence.by_fold[name], all=evidence.all[name]) for name in names}
    swept = next(iter(metrics))
    return OutOfFold(
        metrics=metrics, folds=evidence.folds, by_fold=table, curves=curves, shown=SHOWN, swept=swept, of=of
    )


class InkScores(Versioned):
    """Of fragments or segments; `held_out` is of the training sheets that have a validation mask."""

    best_by: ClassVar = "f05"
    thing: ClassVar = "ink"
    hint: ClassVar = ""
    atlas: ClassVar[dict[str, tuple[Entry, ...]]] = {}

    title: str = ""
    piece: str = "Fragment"
    note: str = NOTE
    fragments: tuple[str, ...] = ()
    blocks: Blocks | None = None
    rows: tuple[InkRow, ...] = ()
    oof_f05: dict[str, float] = Field({})
    out_of_fold: OutOfFold = OutOfFold()
    held_out: HeldOut | None = Field(None, exclude_if=lambda found: found is None)
    patches: tuple[PatchRecord, ...] = ()
    commands: tuple[str, ...] = ()

    @property
    def columns(self) -> dict[str, str]:
        """Titles of the table's columns, by name of the figure, or of the scroll that F0.5 is of."""
        return COLUMNS | {scroll: f"F0.5, {scroll}" for row in self.rows[:1] for scroll in row.scrolls}


class CubesScores(Versioned):
    """Of cubes; `gains` are those of one row over another, `cubes` the scores of each by row, `atlas` its faults."""

    blocks: ClassVar[Blocks | None] = None
    held_out: ClassVar[HeldOut | None] = None

    title: str = ""
    note: str = NOTE
    columns: dict[str, str] = Field({})
    best_by: str = "score"
    thing: str = "surface"
    piece: str = "Cube"
    hint: str = ""
    rows: tuple[CubesRow, ...] = ()
    gains: dict[str, Gain] = Field({})
    fragments: tuple[str, ...] = ()
    cubes: dict[str, dict[str, SurfaceScore]] = Field({})
    atlas: dict[str, tuple[Entry, ...]] = Field({})
    out_of_fold: OutOfFold = OutOfFold()
    commands: tuple[str, ...] = ()
    patches: tuple[PatchRecord, ...] = ()


Scores = InkScores | CubesScores


def read_scores(output: Path) -> Scores | None:
    """score.json in the folder of a prediction; None where nothing was scored.

    Raises:
        InputError: it is there and is something else.
    """
    path = output / NAME
    if not path.exists():
        return None
    content = read_mapping(path)
    if content.get("best_by") == "score":
        return as_record(path, content, CubesScores, REMEDY)
    return as_record(path, content, InkScores, REMEDY)

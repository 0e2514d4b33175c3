"""What a finished run predicted, as one picture: rows by kind of data, a heading with the score, a legend."""

from collections.abc import Sequence
from pathlib import Path

from ensemble.kinds import montage_rows_of
from ensemble.output_record import joined_record
from scroll.config.schema import Settings
from scroll.errors import MissingInputError
from scroll.report.montage import Montage
from scroll.report.pictures import FOUND, NEITHER
from scroll.report.score_record import NAME, REMEDY, read_scores
from scroll.runtime.reading import reading

HINT = "predict with this run first: python ensemble/predict.py"
PREDICTED = {"predicted": FOUND, "not predicted": NEITHER}


def predicted_names(settings: Settings, predicted: Path, count: int | None = None) -> list[str]:
    """Ids of the items that are predicted in `predicted`; the first `count`, or as many as usual.

    They are in the order of the report, of sheets those first on which most is labelled; without a score sorted by name.

    Raises:
        MissingInputError: there are none.
    """
    kind = montage_rows_of(settings.data)
    names = kind.names_in(predicted)
    if not names:
        raise MissingInputError(f"{predicted}: holds no prediction; {HINT}")
    scores = read_scores(predicted)
    reported = [*scores.fragments] if scores else []
    first = [name for name in reported if name in names]
    return [*first, *sorted({*names} - {*first})][: count or kind.COUNT]


def montage_of(settings: Settings, predicted: Path, names: Sequence[str], truth: Path | None) -> Montage:
    """The montage of the items called `names` in `predicted`; `truth` holds their labels, if there are any.

    Raises:
        MissingInputError: one of them, its label, or the CT that it was predicted from is not there.
    """
    kind = montage_rows_of(settings.data)
    rows = [row for name in names for row in kind.rows_of(settings, predicted, name, truth)]
    scores = read_scores(predicted)
    with reading(predicted / NAME, "a score as ensemble/predict.py writes it", REMEDY):
        heading = f"{settings.run_dir.name}: {kind.scored(settings, scores) if scores else 'prediction'}"
    record = joined_record(settings, "montage", names, [kind.mask_of(predicted, name) for name in names])
    return Montage(heading, rows, scores.note if scores else "", dict(kind.LEGEND if truth else PREDICTED), record)


def labels_beside(settings: Settings, names: Sequence[str]) -> Path | None:
    """The folder `heldout` of a phantom's data, where it holds the label of every one of `names`."""
    folder = settings.data.root / "heldout"
    return folder if names and montage_rows_of(settings.data).has_labels(folder, names) else None

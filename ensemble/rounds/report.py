"""What came of a round: the score where no network was trained, whether the student copies its teacher, and whether ink drifts."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ensemble.ink.fit import read_fit
from ensemble.ink.fit_record import InkFit
from ensemble.ink.predictors import ENSEMBLE, flat_map, predictor_names
from ensemble.rounds.maps import AGAIN, Source, blended, voting_members
from ensemble.rounds.place import LabelRound
from ensemble.rounds.propose import Proposals
from scroll.config.schema import Settings
from scroll.data.labels import Label
from scroll.data.sheets import Sheet, training_sheets
from scroll.errors import InputError
from scroll.metrics.held_out import F05
from scroll.rounds.guards import Copying, copying, drifted, has_fallen
from scroll.runtime.files import read_sealed
from scroll.runtime.record import ByName, Record, Versioned, as_record, write_record

NAME = "report.json"
Map = NDArray[np.float32]


class Known(Record):
    """Square centimetres of papyrus that are trained on: people's, and what is proposed beside them."""

    human_cm2: float
    proposed_cm2: float

    @property
    def proposed_share(self) -> float:
        """Of both together."""
        return self.proposed_cm2 / max(1e-12, self.human_cm2 + self.proposed_cm2)


class Copied(Record):
    """See `scroll.rounds.guards.Copying`."""

    with_teacher: float
    of_strangers: float


class RoundReport(Versioned):
    """A round, or round 0, which has no teacher. Scores are F0.5 of the ensemble in the validation masks alone.

    `copying` is None where there is no second member to hold the teacher against, or nowhere that neither was trained.
    """

    number: int
    score: F05
    known: Known
    has_fallen: bool = False
    copying: Copied | None = None
    is_copy: bool = False
    drift: ByName[float] = Field({})
    rules: ByName[ByName[float]] = Field({})
    seconds: float | None = None
    asked: int = 0
    painted: tuple[str, ...] = ()


def held_out_score(fit: InkFit, path: Path) -> F05:
    """F0.5 of a run's ensemble in the validation masks.

    Raises:
        InputError: the run was fitted without any.
    """
    if fit.held_out is None:
        raise InputError(
            f"{path}: was fitted without a validation mask, so no round can be compared with it; run 'make stage2' again"
        )
    return fit.held_out.rows[ENSEMBLE].all


def report_of_base(settings: Settings) -> RoundReport:
    """Round 0."""
    fit = read_fit(settings)
    return RoundReport(number=0, score=held_out_score(fit, settings.folder.fit), known=known_of(settings))


def known_of(settings: Settings) -> Known:
    """What a run is trained on."""
    human = suggested = 0.0
    for sheet in training_sheets(settings.data):
        cm2, label = (sheet.pixel_um / 1e4) ** 2, sheet.full_label
        people = float(np.count_nonzero(~label.human.ignore)) * cm2
        human, suggested = human + people, suggested + float(np.count_nonzero(~label.ignore)) * cm2 - people
    return Known(human_cm2=human, proposed_cm2=suggested)


def read_report(a_round: LabelRound) -> RoundReport:
    """The report of a round that is finished.

    Raises:
        MissingInputError: it is not.
    """
    path = a_round.folder / NAME
    content = read_sealed(path, f"run 'make round CONFIG=... N={a_round.number}' to its end")
    return as_record(path, content, RoundReport)


def write_round_report(
    a_round: LabelRound,
    found: Sequence[Source],
    proposals: Proposals,
    painted: Sequence[str],
    asked: int,
    seconds: float | None,
) -> RoundReport:
    """Compare the student with its teacher, and keep that."""
    student, teacher = a_round.student, a_round.teacher
    fit, before = read_fit(student), read_fit(teacher)
    score = held_out_score(fit, student.folder.fit)
    sheets = {sheet.id: sheet for sheet in training_sheets(student.data)}
    copied = _copying(a_round, found, sheets)
    report = RoundReport(
        number=a_round.number, score=score, known=known_of(student),
        has_fallen=has_fallen(score, held_out_score(before, teacher.folder.fit)),
        copying=None if copied is None else Copied(**asdict(copied)),
        is_copy=copied is not None and copied.is_copy,
        drift=drifted(_ink_shares(student, fit, sheets), _teachers_shares(before, found)),
        rules={name: dict(one.shares) for name, one in proposals.sheets.items()},
        seconds=seconds, asked=asked, painted=tuple(painted),
    )  # fmt: skip
    write_record(a_round.folder / NAME, report)
    return report


def _ink_shares(student: Settings, fit: InkFit, sheets: dict[str, Sheet]) -> dict[str, float]:
    """By sheet, the share of the papyrus that the student takes for ink, out of fold."""
    found = {}
    for name, sheet in sheets.items():
        folders = {one: student.folder.oof(one, name) for one in predictor_names(student)}
        found[name] = _ink_share(blended(fit, folders, sheet.mask), sheet, fit)
    return found


def _teachers_shares(fit: InkFit, found: Sequence[Source]) -> dict[str, float]:
    return {source.sheet.id: _ink_share(source.blend(fit), source.sheet, fit) for source in found}


def _ink_share(prob: Map, sheet: Sheet, fit: InkFit) -> float:
    found = np.count_nonzero((prob >= fit.thresholds[ENSEMBLE]) & sheet.mask)
    return float(found) / max(1, int(np.count_nonzero(sheet.mask)))


def _copying(a_round: LabelRound, found: Sequence[Source], sheets: dict[str, Sheet]) -> Copying | None:
    """Of the first member, against the second of the teacher: the mean over sheets, each by its area where neither was trained."""
    members = voting_members(a_round.teacher)
    if len(members) < 2:
        return None
    one, other = members[:2]
    weighed, area = np.zeros(2), 0
    for source in found:
        sheet = sheets.get(source.sheet.id)
        if sheet is None:
            continue
        unlabelled = sheet.mask & _unknown(sheet.full_labels.binned(sheet.data.bin_yx).training)
        teacher, stranger = (flat_map(source.folders[name], name, AGAIN) for name in (one, other))
        student = flat_map(a_round.student.folder.oof(one, sheet.id), one, AGAIN)
        pixels = int(np.count_nonzero(unlabelled))
        if pixels > 1:
            found_here = copying(student, teacher, stranger, unlabelled)
            weighed += pixels * np.array([found_here.with_teacher, found_here.of_strangers])
            area += pixels
    return Copying(*(weighed / area)) if area else None


def _unknown(label: Label) -> NDArray[np.bool_]:
    return label.ignore

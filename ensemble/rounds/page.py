"""The page of all rounds so far: scores where no network was trained, what each was trained on, and how the maps changed."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ensemble.ink.fit import read_fit
from ensemble.ink.predictors import predictor_names
from ensemble.rounds.maps import blended
from ensemble.rounds.place import LabelRound
from ensemble.rounds.report import RoundReport
from scroll.config.schema import Settings
from scroll.data.sheets import Sheet, training_sheets
from scroll.report.page import STYLE, rendered, style_and_script
from scroll.report.tiles import as_webp
from scroll.runtime.files import write_text

PAGE, PICTURE_PX, QUALITY, MOST_SHEETS = "report.html", 480, 70, 12
COLUMNS: dict[str, Callable[[RoundReport], float | int | None]] = {
    "F0.5": lambda one: one.score.f05,
    "95 % from": lambda one: one.score.low,
    "to": lambda one: one.score.high,
    "Labelled by people, cm²": lambda one: one.known.human_cm2,
    "Proposed, cm²": lambda one: one.known.proposed_cm2,
    "Patches asked for": lambda one: one.asked,
    "Sheets painted": lambda one: len(one.painted),
    "Minutes of people": lambda one: None if one.seconds is None else one.seconds / 60,
    "Like its teacher": lambda one: one.copying.with_teacher if one.copying else None,
    "Strangers are alike": lambda one: one.copying.of_strangers if one.copying else None,
}


def write_rounds_page(a_round: LabelRound, reports: Sequence[RoundReport]) -> Path:
    """<round>/report.html, one file that needs nothing else."""
    rules = reports[-1].rules
    content = {
        "number": a_round.number,
        "verdict": verdict(reports),
        "columns": list(COLUMNS),
        "rows": [[_name(one), *(_cell(value(one)) for value in COLUMNS.values())] for one in reports],
        "rules_columns": list(next(iter(rules.values()), {})),
        "rules_rows": [[name, *(f"{share:.0%}" for share in shares.values())] for name, shares in rules.items()],
        "drift": reports[-1].drift,
        "sheets": _sheets(a_round),
    }
    write_text(a_round.folder / PAGE, rendered("rounds.html.j2", style_and_script([STYLE], []) | content))
    return a_round.folder / PAGE


def _name(report: RoundReport) -> str:
    return f"{report.number} (fell)" if report.has_fallen else str(report.number)


def _cell(value: float | int | None) -> str:
    return "" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)


def verdict(reports: Sequence[RoundReport]) -> str:
    """What came of the rounds, in one sentence."""
    first, last = reports[0].score, reports[-1].score
    gain = last.f05 - first.f05
    if reports[-1].has_fallen:
        return f"Round {reports[-1].number} made it worse: F0.5 fell to {last.f05:.3f}, below the interval of the round before. Stop here."
    if last.low > first.high:
        return f"The rounds gained {gain:+.3f} in F0.5 where no network was trained, beyond both intervals."
    if last.high < first.low:
        return f"The rounds lost {gain:+.3f} in F0.5 where no network was trained, beyond both intervals."
    return f"F0.5 where no network was trained changed by {gain:+.3f} since round 0; the intervals overlap."


def _sheets(a_round: LabelRound) -> list[dict[str, str]]:
    """By sheet, pictures before and after, and where they differ."""
    student, teacher = a_round.student, a_round.teacher
    before = {sheet.id: sheet for sheet in training_sheets(teacher.data)}
    found = []
    for sheet in training_sheets(student.data)[:MOST_SHEETS]:
        now = _prob(student, sheet)
        was = _prob(teacher, before[sheet.id]) if sheet.id in before else _new(a_round, sheet)
        found.append(
            {"name": sheet.id, "before": _grey(was), "after": _grey(now), "change": _grey((now - was + 1) / 2)}
        )
    return found


def _prob(run: Settings, sheet: Sheet) -> NDArray[np.float32]:
    folders = {name: run.folder.oof(name, sheet.id) for name in predictor_names(run)}
    return blended(read_fit(run), folders, sheet.mask)


def _new(a_round: LabelRound, sheet: Sheet) -> NDArray[np.float32]:
    """What the teacher said of a sheet that it was not trained on."""
    folders = {name: a_round.predictions / sheet.id / name for name in predictor_names(a_round.teacher)}
    return blended(read_fit(a_round.teacher), folders, sheet.mask)


def _grey(prob: NDArray[np.floating]) -> str:
    step = max(1, -(-max(prob.shape) // PICTURE_PX))
    return as_webp(np.rint(prob[::step, ::step].clip(0, 1) * 255).astype(np.uint8), QUALITY)

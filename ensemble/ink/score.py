"""Score a prediction against labels: every member, stage two, the end-to-end network and the blends, each with its interval."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ensemble.ink.fit import read_fit
from ensemble.ink.fit_record import InkFit
from ensemble.ink.lift import lifted
from ensemble.ink.postprocess import drop_small
from ensemble.ink.predictors import (
    END_TO_END,
    ENSEMBLE,
    EQUAL,
    MEMBERS_MEAN,
    STAGE2,
    blend_weights,
    blended,
    predictor_names,
)
from ensemble.ink.report import ink_evidence, save_ink_report
from ensemble.others import kind_of_member, lines_on_others, who_has_seen
from ensemble.request import input_sheets
from scroll.config.labels import LabelVersions
from scroll.config.schema import Settings
from scroll.data.labels import Label
from scroll.errors import InputError
from scroll.metrics.bootstrap import (
    Counts,
    Resampled,
    block_counts,
    block_edge_um,
    blocks_of,
    known_um2,
    resampled,
)
from scroll.metrics.fbeta import ink_score, level_counts
from scroll.metrics.surface_dice import surface_dice
from scroll.report.score_record import NAME, InkGain, InkRow, InkScores
from scroll.report.scored import heading, rebuild_commands
from scroll.runtime.files import written_aside
from scroll.runtime.record import needed, write_record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scroll.data.sheets import Sheet

BLOCKS = "blocks.npz"
KINDS = {STAGE2: STAGE2, END_TO_END: END_TO_END, ENSEMBLE: ENSEMBLE, EQUAL: "baseline", MEMBERS_MEAN: "baseline"}
COLUMNS = [
    "f05",
    "f05_low",
    "f05_high",
    "f05_mean",
    "precision",
    "recall",
    "ap",
    "auc",
    "surface_dice",
    "threshold",
    "weight",
]


def score_run(settings: Settings, source: Path, output: Path, truth_dir: Path, command: list[str]) -> InkScores:
    """Score everything that was predicted into `output`, write score.json, blocks.npz and the pictures for the report.

    Thresholds and weights come from out-of-fold data only. F0.5, precision and recall are of the mask as it would be submitted:
    above the threshold, small components dropped. `gain` is over the member that is best out of fold, on the same blocks;
    `without` is what the ensemble is better by than the one that was fitted without a predictor.
    blocks.npz holds tp, fp, fn of every block, (B, 3), by the rows' names.
    """
    fit = read_fit(settings)
    best_member = needed(settings.folder.fit, "best_member", fit.best_member)
    fragments = input_sheets(settings, source)
    truths = {sheet.id: read_truth(sheet, truth_dir / sheet.id) for sheet in fragments}
    edge_um = block_edge_um(known_um2([~truths[f.id].ignore for f in fragments], [f.pixel_um for f in fragments]))
    scored = _Scored(settings, fragments, output, truths, fit, edge_um)
    rows, blocks = scored.rows([*predictor_names(settings), MEMBERS_MEAN, EQUAL, ENSEMBLE])
    drawn = resampled(np.stack(list(blocks.values())))
    rows = with_intervals(rows, drawn, best_member)
    rows = [scored.with_loss(row, blocks[ENSEMBLE]) if row.name in fit.without else row for row in rows]
    piece = settings.data.kind.removesuffix("s")
    score = InkScores(
        **heading(settings, fragments, piece, lines_on_others(settings, fragments)),
        piece=piece.capitalize(),
        fragments=sorted(truths, key=lambda item: -int(truths[item].target.sum())),  # the page begins with the most ink
        blocks=blocks_of(edge_um, drawn.count),
        rows=rows,
        oof_f05=needed(settings.folder.fit, "oof_f05", fit.oof_f05 or None),
        out_of_fold=ink_evidence(settings, fit),
        held_out=fit.held_out,
        patches=save_ink_report(settings, fragments, output, truths, fit),
        commands=rebuild_commands(settings, command),
    )
    write_record(output / NAME, score)
    with written_aside(output / BLOCKS) as aside, aside.open("wb") as file:
        np.savez(file, **blocks)  # type: ignore[arg-type]  # a row of that name would be taken for an option
    return score


def with_intervals(rows: list[InkRow], drawn: Resampled, reference: str) -> list[InkRow]:
    """The rows with the interval of their F0.5, and their gain over the row called `reference`."""
    over = [row.name for row in rows].index(reference)
    full = []
    for number, row in enumerate(rows):
        low, high = drawn.interval(number)
        gain = InkGain(over=reference, **dict(drawn.gain(number, over)))
        full.append(row.model_copy(update={"f05_low": low, "f05_high": high, "gain": gain}))
    return full


def read_truth(sheet: "Sheet", folder: Path) -> Label:
    """What is written on a sheet, as yes or no: `inklabels.png` in `folder`, under any name that labels may have.

    It is what people said inside the papyrus and, if one is there, the supervision mask; where a validation mask is there, in that
    alone, for the rest may have been trained on. Of several versions it is the greatest: `data.label_versions` speaks of what is
    trained on.

    Raises:
        MissingInputError: no label there.
        InputError: it has another size than the sheet, or all of it is proposed.
    """
    newest = sheet.data.model_copy(update={"label_versions": LabelVersions()})
    labels = sheet.labels_in(folder, newest)
    if labels.held_out is None and labels.training.is_only_proposed:
        raise InputError(
            f"{labels.files[-1]}: all of the label is proposed; expected one that a person gave, to score against: give another truth"
        )
    label = labels.scored
    return Label(label.ink & ~label.ignore, label.ignore)


@dataclass(frozen=True)
class _Counted:
    """What a row got right: by sheet its counts at every level of probability and of its mask, its blocks', and its surface Dice."""

    levels: dict[str, NDArray[np.int64]] = field(default_factory=dict)
    decided: dict[str, NDArray[np.int64]] = field(default_factory=dict)
    blocks: list[Counts] = field(default_factory=list)
    dice: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class _Scored:
    """What is scored, and against what."""

    settings: Settings
    sheets: "Sequence[Sheet]"
    output: Path
    truths: dict[str, Label]
    fit: InkFit
    edge_um: float

    def rows(self, names: "Sequence[str]") -> tuple[list[InkRow], dict[str, Counts]]:
        """Rows of the table, and by their names the counts of the blocks, (B, 3).

        In memory are one sheet's masks of all rows, and its layers of as many.
        """
        counted = {name: _Counted() for name in names}
        for sheet in self.sheets:
            truth, valid = self.truths[sheet.id].target, ~self.truths[sheet.id].ignore
            masks = [self._count(sheet, name, counted[name]) & valid for name in names]
            *found, expected = lifted(sheet, [*masks, truth & valid], self.settings.ensemble.lift_thickness_vox)
            for name, voxels in zip(names, found, strict=True):
                counted[name].dice.append(surface_dice(voxels, expected, tolerance_vox=2.0))
        rows = [self._row(name, counted[name]) for name in names]
        return rows, {name: np.concatenate(counted[name].blocks) for name in names}

    def _count(self, sheet: "Sheet", name: str, into: "_Counted") -> NDArray[np.bool_]:
        """The mask (Y, X) that a row would submit of a sheet; what it gets right goes `into` the row's counts."""
        truth, valid = self.truths[sheet.id].target, ~self.truths[sheet.id].ignore
        prob = _map(self.settings, sheet, self.output / sheet.id, self.fit, name)
        mask = _decided(self.settings, sheet, prob, self.fit.thresholds[name])
        into.levels[sheet.id] = level_counts(prob, truth, valid)
        into.decided[sheet.id] = level_counts(mask.astype(np.float32), truth, valid)
        into.blocks.append(block_counts(mask, truth, valid, self.edge_um / sheet.pixel_um))
        return mask

    def _row(self, name: str, counted: "_Counted") -> InkRow:
        threshold = self.fit.thresholds[name]
        ranked, at_mask = ink_score(counted.levels, threshold).as_row(), ink_score(counted.decided, 0.5).as_row()
        return InkRow(
            name=name,
            kind=KINDS.get(name) or kind_of_member(self.settings, name),
            has_seen=bool(self._members_in(name) & who_has_seen(self.settings, self.sheets)),
            **{key: at_mask[key] for key in ("f05", "f05_mean", "precision", "recall")},
            ap=ranked["ap"],
            auc=ranked["auc"],
            surface_dice=float(np.mean(counted.dice)),
            threshold=threshold,
            weight=self.fit.weights.get(name),
            scrolls=self._by_scroll(counted.decided),
        )

    def _members_in(self, name: str) -> set[str]:
        """The members that a row is made of: stage two sees all that are fitted."""
        parts = {part for part, weight in blend_weights(self.settings, self.fit.weights, name).items() if weight}
        return parts | {*self.settings.stage1.fitted} if parts & {STAGE2, END_TO_END} else parts

    def _by_scroll(self, decided: Mapping[str, NDArray[np.int64]]) -> dict[str, float]:
        """F0.5 of each scroll's sheets together, of their counts; empty where they are not of several that are known."""
        scrolls = sorted({sheet.scroll for sheet in self.sheets})
        if len(scrolls) < 2 or "" in scrolls:
            return {}
        own = {scroll: {s.id: decided[s.id] for s in self.sheets if s.scroll == scroll} for scroll in scrolls}
        return {scroll: ink_score(counts, 0.5).f05 for scroll, counts in own.items()}

    def with_loss(self, row: InkRow, whole: Counts) -> InkRow:
        """With what the ensemble, whose blocks are `whole` (B, 3), is better by than the one that was fitted without this predictor."""
        about, counts = self.fit.without[row.name], []
        for sheet in self.sheets:
            label = self.truths[sheet.id]
            prob = blended(self.settings, sheet, self.output / sheet.id, about.weights)
            mask = _decided(self.settings, sheet, prob, about.threshold)
            counts.append(block_counts(mask, label.target, ~label.ignore, self.edge_um / sheet.pixel_um))
        return row.model_copy(update={"without": resampled(np.stack([whole, np.concatenate(counts)])).gain(0, 1)})


def _map(settings: Settings, fragment: "Sheet", folder: Path, fit: InkFit, name: str) -> Any:
    return blended(settings, fragment, folder, blend_weights(settings, fit.weights, name))


def _decided(settings: Settings, fragment: "Sheet", prob: Any, threshold: float) -> NDArray[np.bool_]:
    mask = (prob[:] >= threshold) & fragment.full_mask
    return drop_small(mask, settings.ensemble.min_area_um2, fragment.pixel_um)


def print_table(score: InkScores) -> None:
    """Print the rows of score.json, best F0.5 marked, each with its gain over the best single member."""
    print(f"\n{score.title}")
    width, first = max(len(row.label) for row in score.rows) + 1, score.rows[0].gain
    heads = "".join(f"{column:>13}" for column in [*COLUMNS, *score.rows[0].scrolls])
    print(" " * width + heads + (f"  gain over {first.over}" if first else ""))
    best = max(row.f05 for row in score.rows)
    for row in score.rows:
        numbers = [*(getattr(row, column) for column in COLUMNS), *row.scrolls.values()]
        cells = "".join(f"{'-' if number is None else format(number, '.4f'):>13}" for number in numbers)
        print(f"{row.label:<{width}}{cells}  {gain_in_words(row)}{'  <- best F0.5' if row.f05 == best else ''}")
    if score.blocks:
        print(f"95 % intervals over {score.blocks.count} blocks of {score.blocks.edge_um / 1000:.1f} mm")
    if score.note:
        print(score.note)
    print()


def gain_in_words(row: InkRow) -> str:
    """A row's gain over the best single member in words.

    >>> gain = InkGain(over="b", difference=0.0512, low=0.01, high=0.09, verdict="better")
    >>> gain_in_words(InkRow(name="a", f05=0.5, gain=gain))
    '+0.0512 better'
    """
    return "-" if row.gain is None or row.gain.over == row.name else f"{row.gain.difference:+.4f} {row.gain.verdict}"

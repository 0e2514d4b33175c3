"""What out-of-fold predictions say of every predictor: by fold, over the threshold, how honest, and what is lost without it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ensemble.blend import blend
from ensemble.ink.fit_record import WithoutOne
from ensemble.ink.left_out import MAX_PIXELS, SheetRows, fitted_weights
from ensemble.ink.predictors import AtLeast, FullSize, predictor_names
from ensemble.ink.weights import equal_weights, fit_threshold
from scroll.config.schema import Settings
from scroll.data.folds import make_folds
from scroll.data.sheets import Sheet, labelled_by_people
from scroll.metrics.bootstrap import block_counts, resampled
from scroll.metrics.calibration import Evidence, FoldPieces, figures, reliability, sweep
from scroll.metrics.fbeta import Counts, ink_score, level_counts

Maps = dict[str, list[NDArray[np.float32]]]


@dataclass(frozen=True)
class Judged:
    """A blend out of fold: its threshold, histograms (2, LEVELS) by (sheet, fold), and tp, fp, fn of its blocks (B, 3)."""

    threshold: float
    levels: dict[tuple[str, int], Counts]
    blocks: NDArray[np.int64]

    @property
    def total(self) -> Counts:
        """The histogram of all sheets, (2, LEVELS)."""
        return np.asarray(np.sum(list(self.levels.values()), axis=0))

    @property
    def f05(self) -> float:
        """F0.5 over the pixels of all sheets."""
        return ink_score(
            {f"{sheet}/{fold}": counts for (sheet, fold), counts in self.levels.items()}, self.threshold
        ).f05

    def of_fold(self, fold: int) -> Counts:
        """The histogram of what a fold held out, (2, LEVELS)."""
        return np.asarray(np.sum([counts for (_, number), counts in self.levels.items() if number == fold], axis=0))


def judged(
    settings: Settings, sheets: Sequence[Sheet], maps: Maps, weights: NDArray[np.float64], edge_um: float
) -> Judged:
    """Judge the blend of `maps[sheet]`, M maps (Y, X) at working resolution, by `weights` (M,); at full resolution.

    By what people labelled alone; `sheets` are all that the folds are made of.
    """
    folds, levels, mixed = make_folds(sheets, settings.folds), {}, {}
    people = {sheet.id: sheet.full_human_label for sheet in labelled_by_people(sheets)}
    sheets = [sheet for sheet in sheets if sheet.id in people]
    for sheet in sheets:
        seen = FullSize(blend(maps[sheet.id], weights), settings.data.bin_yx, sheet.shape_yx)
        mixed[sheet.id], label = seen, people[sheet.id]
        for fold in folds:
            if sheet.id in fold.held_out:
                rows = _full_rows(fold.held_out[sheet.id], sheet, settings.data.bin_yx)
                levels[sheet.id, fold.number] = level_counts(seen[rows], label.ink[rows], ~label.ignore[rows])
    given = settings.ensemble.threshold
    total = np.sum(list(levels.values()), axis=0)
    threshold = fit_threshold(total) if given == "fitted" else float(given)
    blocks = [
        block_counts(AtLeast(mixed[s.id], threshold), people[s.id].ink, ~people[s.id].ignore, edge_um / s.pixel_um)
        for s in sheets
    ]
    return Judged(threshold, levels, np.concatenate(blocks))


def _full_rows(rows: tuple[int, int], sheet: Sheet, bin_yx: int) -> slice:
    """Rows at full resolution; the last working row may stand for fewer."""
    height = sheet.shape_yx[0]
    return slice(rows[0] * bin_yx, height if rows[1] >= sheet.rows else rows[1] * bin_yx)


def evidence(predictors: Mapping[str, Judged]) -> Evidence:
    """Figures by fold at its threshold, sweep and reliability of every predictor and blend."""
    levels = next(iter(predictors.values())).levels
    folds = sorted({fold for _, fold in levels})
    pieces = {fold: sorted({sheet for sheet, number in levels if number == fold}) for fold in folds}
    return Evidence(
        folds=[FoldPieces(fold=fold, pieces=held) for fold, held in pieces.items()],
        by_fold={
            name: [figures(one.of_fold(fold), one.threshold) for fold in folds] for name, one in predictors.items()
        },
        all={name: figures(one.total, one.threshold) for name, one in predictors.items()},
        sweep={name: sweep(one.total) for name, one in predictors.items()},
        reliability={name: reliability(one.total) for name, one in predictors.items()},
    )


def without_each(
    settings: Settings, sheets: Sequence[Sheet], maps: Maps, parts: Sequence[SheetRows], whole: Judged, edge_um: float
) -> dict[str, WithoutOne]:
    """Each predictor left out of the blend in turn: weights and threshold fitted again, and what the ensemble `whole` is better by.

    Stage two was trained on what every member saw and is not trained again. Nothing where there is but one predictor.
    """
    names, found = predictor_names(settings), {}
    for number, name in enumerate(names):
        if len(names) < 2:
            continue
        rest = [
            SheetRows([*p.maps[:number], *p.maps[number + 1 :]], p.ink, p.known, p.source, p.pixel_um) for p in parts
        ]
        is_fitted = settings.ensemble.weights == "fitted"
        shares = fitted_weights(rest, MAX_PIXELS) if is_fitted else equal_weights(len(names) - 1)
        weights = np.insert(shares, number, 0.0)
        one = judged(settings, sheets, maps, weights, edge_um)
        loss = resampled(np.stack([whole.blocks, one.blocks])).gain(0, 1)
        found[name] = WithoutOne(
            weights={other: float(share) for other, share in zip(names, weights, strict=True) if other != name},
            threshold=one.threshold, oof_f05=one.f05, loss=loss,
        )  # fmt: skip
    return found

"""Out-of-fold maps scored where a validation mask holds the label out: nobody trained on it, and nothing was fitted there."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ensemble.blend import blend
from ensemble.ink.predictors import AtLeast, FullSize
from scroll.config.schema import Settings
from scroll.data.labels import Label
from scroll.data.sheets import Sheet
from scroll.metrics.bootstrap import block_counts, block_edge_um, blocks_of, known_um2, resampled
from scroll.metrics.held_out import F05, HeldOut, HeldOutRow

Maps = Mapping[str, list[NDArray[np.float32]]]


def held_out_scores(
    settings: Settings, sheets: Sequence[Sheet], maps: Maps, blends: Mapping[str, tuple[NDArray[np.float64], float]]
) -> HeldOut | None:
    """F0.5 with its interval of each blend, by name, on each sheet with a validation mask and on all; None where there is none.

    `maps[sheet]` are M out-of-fold maps (Y, X) at working resolution, `blends[name]` their weights (M,) and the threshold, both
    fitted elsewhere: on what is not held out. Blocks are cut as those of the fit, over what is held out.
    """
    masked = [(sheet, sheet.held_out_label) for sheet in sheets]
    held = [(sheet, label) for sheet, label in masked if label is not None and not label.ignore.all()]
    if not held:
        return None
    edge_um = block_edge_um(known_um2([~label.ignore for _, label in held], [sheet.pixel_um for sheet, _ in held]))
    rows, blocks = {}, 0
    for name, (weights, threshold) in blends.items():
        how = (weights, threshold, edge_um)
        counts = {sheet.id: _counts(settings, sheet, label, maps[sheet.id], how) for sheet, label in held}
        together = np.concatenate(list(counts.values()))
        rows[name] = HeldOutRow(all=_f05(together), sheets={sheet: _f05(one) for sheet, one in counts.items()})
        blocks = len(together)
    return HeldOut(sheets=[sheet.id for sheet, _ in held], rows=rows, blocks=blocks_of(edge_um, blocks))


def _counts(
    settings: Settings,
    sheet: Sheet,
    label: Label,
    maps: list[NDArray[np.float32]],
    how: tuple[NDArray[np.float64], float, float],
) -> NDArray[np.int64]:
    """tp, fp, fn of each block, (B, 3)."""
    weights, threshold, edge_um = how
    seen = FullSize(blend(maps, weights), settings.data.bin_yx, sheet.shape_yx)
    return block_counts(AtLeast(seen, threshold), label.ink, ~label.ignore, edge_um / sheet.pixel_um)


def _f05(counts: NDArray[np.int64]) -> F05:
    drawn = resampled(counts[None])
    low, high = drawn.interval(0)
    return F05(f05=float(drawn.scores[0]), low=low, high=high)


def print_held_out(found: HeldOut) -> None:
    """Print the table: a row a predictor or blend, a column a sheet, and all of them."""
    print("held out by validation mask, F0.5 of out-of-fold maps at the fitted thresholds:")
    for name, row in found.rows.items():
        figures = {"all": row.all, **row.sheets} if len(found.sheets) > 1 else row.sheets
        scores = (f"{where} {one.f05:.4f} ({one.low:.3f} to {one.high:.3f})" for where, one in figures.items())
        print(f"  {name:<16} {'  '.join(scores)}")

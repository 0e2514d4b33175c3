"""What fitted weights gain where they were not fitted: one part of the out-of-fold data left out at a time."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ensemble.blend import blend
from ensemble.ink.fit_record import LeftOutGain
from ensemble.ink.predictors import AtLeast
from ensemble.ink.weights import best_f05, climb_f05, equal_weights, fit_threshold, fit_weights, sample_pixels
from scroll.data.sheets import Sheet
from scroll.metrics.bootstrap import block_counts, block_edge_um, blocks_of, known_um2, resampled
from scroll.metrics.fbeta import level_counts

MAX_PIXELS = 300_000  # that weights are fitted on, each time a part is left out
MAX_GROUPS = 8  # times that a part is left out
Weights = NDArray[np.float64]


@dataclass(frozen=True)
class SheetRows:
    """Rows of a sheet at working resolution: the maps of M predictors (Y, X), the ink and where it is known, both (Y, X) bool.

    `source`: the volume that the sheet is in; `pixel_um`: edge of a working pixel.
    """

    maps: list[NDArray[np.float32]]
    ink: NDArray[np.bool_]
    known: NDArray[np.bool_]
    source: str
    pixel_um: float

    def rows(self, rows: slice, source: str) -> "SheetRows":
        """Some of its rows, under a name of their own."""
        return SheetRows([one[rows] for one in self.maps], self.ink[rows], self.known[rows], source, self.pixel_um)


def part_of(sheet: Sheet, maps: list[NDArray[np.float32]]) -> SheetRows:
    """A whole sheet with its predictors' out-of-fold maps, and the label that people gave it."""
    label, pixel_um = sheet.human_label, sheet.pixel_um * sheet.data.bin_yx
    return SheetRows(maps, label.ink, ~label.ignore, sheet.volume_name, pixel_um)


def fitted_weights(parts: Sequence[SheetRows], max_pixels: int) -> Weights:
    """Weights (M,) on at most about `max_pixels` labelled pixels spread over the parts: for log loss first, then for F0.5."""
    total = sum(int(np.count_nonzero(part.known)) for part in parts)
    probs, truth = [], []
    for part in parts:
        pixels = np.flatnonzero(part.known)
        picked = pixels[sample_pixels(len(pixels), -(-max_pixels * len(pixels) // max(1, total)), seed=0)]
        probs.append(np.stack([one.ravel()[picked] for one in part.maps]))
        truth.append(part.ink.ravel()[picked])
    prob, ink = np.concatenate(probs, axis=1), np.concatenate(truth)
    starts = [equal_weights(len(prob)), fit_weights(prob, ink)]
    return climb_f05(prob, ink, max(starts, key=lambda weights: best_f05(prob, ink, weights)))


def left_out_gain(parts: Sequence[SheetRows], threshold: float | None = None) -> LeftOutGain | None:
    """F0.5 of fitted weights and of equal ones on parts that neither weights nor threshold were fitted on, and the gain.

    Left out are volumes (a fragment is one), in at most `MAX_GROUPS` groups; of a single volume its upper and its lower half,
    which lie a block apart (see `left_out_groups`).
    All at working resolution. `threshold`: the one that is given; None: fitted. None comes back where what is not left out
    bears no ink, so that nothing can be fitted on it.
    """
    groups = left_out_groups(parts)
    others = [[part for other in groups if other is not group for part in other] for group in groups]
    if not all(any((part.ink & part.known).any() for part in rest) for rest in others):
        return None
    edge_um = block_edge_um(known_um2([part.known for part in parts], [part.pixel_um for part in parts]))
    counts = []
    for group, rest in zip(groups, others, strict=True):
        equal = equal_weights(len(rest[0].maps))
        both = [
            _counted(group, rest, weights, threshold, edge_um) for weights in (fitted_weights(rest, MAX_PIXELS), equal)
        ]
        counts.append(np.stack(both))
    drawn = resampled(np.concatenate(counts, axis=1))
    return LeftOutGain(
        left_out=[sorted({part.source for part in group}) for group in groups],
        fitted_f05=float(drawn.scores[0]),
        equal_f05=float(drawn.scores[1]),
        **dict(drawn.gain(0, 1)),
        blocks=blocks_of(edge_um, drawn.count),
    )


def left_out_groups(parts: Sequence[SheetRows]) -> list[list[SheetRows]]:
    """The parts, put together as they are left out.

    Between the halves of a single volume a block of rows is dropped, at most half of the sheet's: letters and windows that
    lie across the middle are of neither.
    """
    sources = sorted({part.source for part in parts})
    if len(sources) > 1:
        count = min(MAX_GROUPS, len(sources))
        return [[part for part in parts if part.source in sources[number::count]] for number in range(count)]
    edge_um = block_edge_um(known_um2([part.known for part in parts], [part.pixel_um for part in parts]))
    upper, lower = [], []
    for part in parts:
        rows = len(part.known)
        gap = min(round(edge_um / part.pixel_um), rows // 2)
        first = (rows - gap) // 2
        upper.append(part.rows(slice(0, first), f"{part.source}, upper half"))
        lower.append(part.rows(slice(first + gap, None), f"{part.source}, lower half"))
    return [upper, lower]


def _counted(
    group: Iterable[SheetRows], rest: Sequence[SheetRows], weights: Weights, threshold: float | None, edge_um: float
) -> NDArray[np.int64]:
    """(B, 3) counts of a group's blocks at the threshold that is best on the rest."""
    if threshold is None:
        levels = [level_counts(blend(part.maps, weights), part.ink, part.known) for part in rest]
        threshold = fit_threshold(np.sum(levels, axis=0))
    found = []
    for part in group:
        decided = AtLeast(blend(part.maps, weights), threshold)
        found.append(block_counts(decided, part.ink, part.known, edge_um / part.pixel_um))
    return np.concatenate(found)

"""The error atlas: every wrong feature of a surface prediction, where it is, and what mending it alone would gain.

Components, tunnels and cavities are those of the octants, as TopoScore counts them; splits and merges are those of the
whole volume, as VOI sees them. A fault comes with a way to mend it, so that the gain is found by mending and scoring
again. Faults beyond `limit` and tunnels that no ball mends are not: their gain is what the counts alone say.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scroll.geometry import BoolVolume
from scroll.metrics.fault_search import Fault, octant_faults, piece_faults
from scroll.metrics.leaderboard import TOLERANCE_VOX, SurfaceScore, assemble, score_masks
from scroll.metrics.surface_dice import surface_dice
from scroll.metrics.topology import octant_counts, octants
from scroll.metrics.voi import voi

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Entry:
    """One line of the atlas: `where` is a voxel (z, y, x) of the fault, `gain` what the score would gain without it.

    `size_vox` is how many voxels mending changes, None where no way to mend is known; `is_rescored` whether the gain
    was measured by mending, or is what the counts say.
    """

    kind: str
    where: tuple[int, int, int]
    octant: int
    size_vox: int | None
    gain: float
    is_rescored: bool


def atlas(pred: BoolVolume, label: BoolVolume, limit: int = 100) -> list[Entry]:
    """All faults of a prediction, worst first; both masks are (Z, Y, X), cleared where nothing is known.

    The `limit` faults that promise most are really mended, one at a time, and scored again.
    """
    score = score_masks(pred, label)
    faults = piece_faults(pred, label)
    for number, part in enumerate(octants(pred.shape)):
        faults += octant_faults(pred, label, part, np.array(score.octant_counts[number]), tries=limit // 8)
    faults.sort(key=lambda fault: (-_gain_by_counts(score, fault), -(fault.size_vox or 0), fault.where))
    entries = []
    for rank, fault in enumerate(faults):
        is_rescored = fault.block is not None and rank < limit
        gain = _gain_by_mending(pred, label, score, fault) if is_rescored else _gain_by_counts(score, fault)
        entries.append(Entry(fault.kind, fault.where, fault.octant, fault.size_vox, gain, is_rescored))
    return sorted(entries, key=lambda entry: -entry.gain)


def mended(pred: BoolVolume, fault: Fault) -> BoolVolume:
    """The prediction with one fault mended, (Z, Y, X)."""
    volume = pred.copy()
    if fault.block is not None:
        volume[fault.box] = fault.block
    return volume


def _gain_by_mending(pred: BoolVolume, label: BoolVolume, score: SurfaceScore, fault: Fault) -> float:
    better = mended(pred, fault)
    counts = np.array(score.octant_counts)
    for number, part in enumerate(octants(pred.shape)):
        if not np.array_equal(better[part], pred[part]):
            counts[number] = octant_counts(better[part], label[part])
    again = assemble(counts, surface_dice(better, label, TOLERANCE_VOX), voi(better, label))
    return again.score - score.score


def _gain_by_counts(score: SurfaceScore, fault: Fault) -> float:
    """What the score gains if one feature more is right and nothing else changes."""
    if fault.dimension is None:
        return 0.0
    counts: Counts = np.array(score.octant_counts)
    triple = counts[fault.octant, fault.dimension]
    if fault.is_missing:
        triple[:2] += 1 if triple[2] > triple[0] else 0
    else:
        triple[1] -= 1 if triple[1] > triple[0] else 0
    return assemble(counts, score.surface_dice, score.voi).score - score.score


def as_table(entries: Sequence[Entry], rows: int = 20) -> list[str]:
    """The worst `rows` entries as lines of text."""
    lines = [f"  {'gain':>8}  {'fault':<18} {'octant':>6}  {'size':>8}  z, y, x"]
    for entry in entries[:rows]:
        size = "?" if entry.size_vox is None else str(entry.size_vox)
        sure = " " if entry.is_rescored else "~"
        where = ", ".join(map(str, entry.where))
        lines.append(f" {sure}{entry.gain:>+8.4f}  {entry.kind:<18} {entry.octant:>6}  {size:>8}  {where}")
    if len(entries) > rows:
        lines.append(f"  and {len(entries) - rows} more: --json writes all of them")
    return lines

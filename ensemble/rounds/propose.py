"""What a round proposes: the teacher's blend, calibrated on what people said, where it can be trusted."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ensemble.ink.fit_record import InkFit
from ensemble.ink.predictors import ENSEMBLE
from ensemble.rounds.blank import strengths_of, strongest_blank
from ensemble.rounds.maps import Source
from ensemble.rounds.place import LabelRound
from scroll.metrics.fbeta import LEVELS, level_counts
from scroll.rounds.calibration import Platt, fit_platt
from scroll.rounds.proposals import Proposal, Trust, proposed, share_to_keep
from scroll.rounds.voices import Voices
from scroll.runtime.record import ByName, Record, Versioned

NAME = "proposals.json"
Mask = NDArray[np.bool_]


class OfSheet(Record):
    """Of the open papyrus of a sheet, the share that each rule leaves; working pixels that people labelled and that are kept."""

    shares: ByName[float]
    human_px: int
    kept_px: int
    ink_share: float


class Proposals(Versioned):
    """How the blend is calibrated, what is trusted, and what that keeps of each sheet.

    `fit` is what the teacher's fit was made from; `keep` is the part that the cap leaves of what is kept.
    """

    fit: str
    slope: float
    offset: float
    threshold: float
    least_margin: float
    most_spread: float
    least_strength: float
    keep: float
    sheets: ByName[OfSheet] = Field({})


@dataclass(frozen=True)
class Proposer:
    """Proposes on one sheet after the other."""

    fit: InkFit
    platt: Platt
    trust: Trust

    def of(self, source: Source) -> Proposal:
        """What is kept of a sheet before the cap, at working resolution."""
        blend, raw_threshold = source.blend(self.fit), self.fit.thresholds[ENSEMBLE]
        voices = Voices.of(self.platt.at(one) for _, one in source.by_look())
        strengths = strengths_of(source, blend, raw_threshold).astype(np.float32)
        return proposed(self.platt.at(blend), voices.spread, strengths, open_mask(source), self.trust)


def open_mask(source: Source) -> Mask:
    """(Y, X) papyrus at working resolution that was looked at, of which no person said anything, and which is not held out."""
    sheet = source.sheet
    if not source.is_trained_on:
        return source.looked_at
    labels = sheet.full_labels.binned(sheet.data.bin_yx)
    is_labelled = ~labels.training.human.ignore
    return source.looked_at & ~is_labelled & (True if labels.held_out is None else labels.held_out.ignore)


def propose(a_round: LabelRound, fit: InkFit, found: Sequence[Source]) -> Proposals:
    """Calibrate, look at blank copies, and count what may be kept of each sheet."""
    rounds = a_round.base.rounds
    platt = calibrated(fit, found)
    looked_at = found if rounds.propose else []
    strongest = max((strongest_blank(a_round, source, fit) for source in looked_at), default=0.0)
    threshold = float(platt.at(np.array([fit.thresholds[ENSEMBLE]]))[0])
    trust = Trust(threshold, rounds.least_margin, rounds.most_spread, strongest)
    proposer = Proposer(fit, platt, trust)
    sheets = {source.sheet.id: _of_sheet(proposer, source) for source in found}
    human_px = sum(one.human_px for one in sheets.values())
    keep = share_to_keep(sum(one.kept_px for one in sheets.values()), human_px, rounds.most_share)
    return Proposals(
        fit=fit.made_from, slope=platt.slope, offset=platt.offset, **asdict(trust),
        keep=keep if rounds.propose else 0.0, sheets=sheets,
    )  # fmt: skip


def proposer_of(fit: InkFit, proposals: Proposals) -> Proposer:
    """The same again, from what was written."""
    trust = Trust(proposals.threshold, proposals.least_margin, proposals.most_spread, proposals.least_strength)
    return Proposer(fit, Platt(proposals.slope, proposals.offset), trust)


def calibrated(fit: InkFit, found: Sequence[Source]) -> Platt:
    """Fitted on all that people said, out of fold."""
    counts = np.zeros((2, LEVELS), np.int64)
    for source in found:
        if source.is_trained_on:
            label = source.sheet.full_labels.binned(source.sheet.data.bin_yx).training.human
            counts += level_counts(source.blend(fit), label.ink, ~label.ignore)
    return fit_platt(counts)


def _of_sheet(proposer: Proposer, source: Source) -> OfSheet:
    found = proposer.of(source)
    human = source.sheet.full_labels.binned(source.sheet.data.bin_yx).training.human if source.is_trained_on else None
    kept = int(np.count_nonzero(found.kept))
    ink = np.count_nonzero(found.kept & (found.prob >= proposer.trust.threshold))
    return OfSheet(
        shares=dict(found.shares), human_px=int(np.count_nonzero(~human.ignore)) if human is not None else 0,
        kept_px=kept, ink_share=float(ink / kept) if kept else 0.0,
    )  # fmt: skip

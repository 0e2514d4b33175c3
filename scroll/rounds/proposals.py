"""What a blend says that may be taken for a label: where members agree, far from the threshold, and beyond what blank papyrus shows."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from scroll.data.labels import Label

Map = NDArray[np.float32]
Mask = NDArray[np.bool_]
AGREED, FAR, STANDS_OUT, KEPT = (
    "members agree",
    "far from the threshold",
    "stands out of the negative controls",
    "kept",
)


@dataclass(frozen=True)
class Trust:
    """What is kept of a calibrated prediction.

    Attributes:
        threshold: of the blend, calibrated as it is.
        least_margin: of the probability from there, either way.
        most_spread: standard deviation of what members, folds and depth windows say.
        least_strength: of a component, log-odds times square millimetres: what the strongest of the negative controls reaches.
    """

    threshold: float
    least_margin: float = 0.25
    most_spread: float = 0.15
    least_strength: float = 0.0


@dataclass(frozen=True)
class Proposal:
    """What may be taken for a label, (Y, X): the probability, float32, and where it is kept; the share of the open papyrus that each rule
    leaves."""

    prob: Map
    kept: Mask
    shares: Mapping[str, float]

    def thinned(self, share: float, threshold: float) -> "Proposal":
        """That share of what is kept on either side of the threshold, so that the balance of ink and none stays; the surest of each."""
        kept = np.zeros_like(self.kept)
        for side in (self.prob >= threshold, self.prob < threshold):
            places = np.flatnonzero(self.kept & side)
            order = np.argsort(-np.abs(self.prob.ravel()[places] - threshold), kind="stable")
            kept.ravel()[places[order[: int(share * len(places))]]] = True
        return replace(self, kept=kept)


def proposed(blend: Map, spread: Map, strengths: Map, is_open: Mask, trust: Trust) -> Proposal:
    """What can be trusted of a calibrated blend (Y, X).

    `spread` (Y, X) is the standard deviation of the maps that say how sure it is; `strengths` (Y, X), on each pixel that is above the
    threshold, the strength of its component. `is_open` (Y, X): papyrus of which no person said anything, and which is not held out;
    nothing is proposed elsewhere.
    """
    rules = {
        AGREED: spread <= trust.most_spread,
        FAR: np.abs(blend - trust.threshold) >= trust.least_margin,
        STANDS_OUT: (blend < trust.threshold) | (strengths >= trust.least_strength),
    }
    kept = is_open & np.logical_and.reduce(list(rules.values()))
    area = max(1, int(np.count_nonzero(is_open)))
    shares = {name: float(np.count_nonzero(rule & is_open) / area) for name, rule in rules.items()}
    return Proposal(blend.astype(np.float32), kept, shares | {KEPT: float(kept.sum() / area)})


def share_to_keep(kept_px: int, human_px: int, most_share: float) -> float:
    """Which part of what is kept may stay, so that proposals are at most `most_share` of all that is known; 1 where they are.

    >>> share_to_keep(300, 50, 0.75)
    0.5
    """
    most_px = most_share / (1 - most_share) * human_px
    return min(1.0, most_px / kept_px) if kept_px else 1.0


def together(human: Label, proposal: Proposal) -> Label:
    """A label (Y, X) with soft targets: what a person said, and beside it what is proposed."""
    is_proposed = proposal.kept & human.ignore
    target = np.where(human.ignore, np.where(is_proposed, proposal.prob, 0), human.target).astype(np.float32)
    return Label(target, human.ignore & ~is_proposed, is_proposed)

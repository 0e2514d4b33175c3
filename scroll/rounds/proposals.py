"""What a blend says that may be taken for a label: where members agree, far from the threshold, and beyond what blank papyrus shows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scroll.data.labels import Label

Map = NDArray[np.float32]
Mask = NDArray[np.bool_]
AGREED, FAR, STANDS_OUT = "members agree", "far from the threshold", "stands out of the negative controls"


@dataclass(frozen=True)
class Trust:
    """What is kept of a prediction.

    Attributes:
        threshold: of the blend, as it was fitted out of fold.
        least_margin: of the probability from there, either way.
        most_spread: standard deviation of the probabilities of members, folds, depth windows and views.
        least_strength: of a component, log-odds times square millimetres; what the strongest of the negative controls reach.
        most_share: of what is known afterwards that may be proposed; the surest is kept.
    """

    threshold: float
    least_margin: float = 0.25
    most_spread: float = 0.15
    least_strength: float = 0.0
    most_share: float = 0.75


@dataclass(frozen=True)
class Proposal:
    """A label (Y, X) with soft targets, where it is a person's, and the share of the papyrus that each rule leaves."""

    label: Label
    is_human: Mask
    shares: Mapping[str, float]


def proposed(
    blend: Map, maps: Sequence[Map], strengths: Map, papyrus: Mask, human: Label, held_out: Mask, trust: Trust
) -> Proposal:
    """A soft label from a calibrated blend (Y, X) and the maps that it is of; what a person said always wins.

    `strengths` (Y, X) is, on each pixel that is above the threshold, the strength of its component. Nothing is said where `held_out`.
    """
    spread = np.std(np.stack(maps), axis=0) if len(maps) > 1 else np.zeros_like(blend)
    is_ink = blend >= trust.threshold
    rules = {
        AGREED: spread <= trust.most_spread,
        FAR: np.abs(blend - trust.threshold) >= trust.least_margin,
        STANDS_OUT: ~is_ink | (strengths >= trust.least_strength),
    }
    is_open = papyrus & ~held_out & human.ignore
    kept = is_open & np.logical_and.reduce(list(rules.values()))
    kept = _surest(kept, np.abs(blend - trust.threshold), int(np.count_nonzero(~human.ignore)), trust.most_share)
    target = np.where(human.ignore, np.where(kept, blend, 0), human.target).astype(np.float32)
    area = max(1, int(np.count_nonzero(is_open)))
    shares = {name: float(np.count_nonzero(rule & is_open) / area) for name, rule in rules.items()}
    known = (kept | ~human.ignore) & ~held_out
    return Proposal(Label(target, ~known), ~human.ignore & ~held_out, shares | {"kept": float(kept.sum() / area)})


def _surest(kept: Mask, sureness: Map, human_px: int, most_share: float) -> Mask:
    """At most that share of what is known; those furthest from the threshold stay."""
    most = int(most_share / max(1e-9, 1 - most_share) * human_px) if most_share < 1 else kept.size
    if np.count_nonzero(kept) <= most:
        return kept
    places = np.flatnonzero(kept)
    order = np.argsort(-sureness.ravel()[places], kind="stable")
    found = np.zeros(kept.size, bool)
    found[places[order[:most]]] = True
    return found.reshape(kept.shape)

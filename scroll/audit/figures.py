"""What a member says of a sheet and of its copies: shares it calls ink, how sure it is, forwards and backwards, by depth."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from scroll.audit.agreement import log_odds
from scroll.metrics.bootstrap import Gain, Resampled, block_sums, gain_apart, resampled_ratios
from scroll.runtime.record import ByName, Record

Map = NDArray[np.float32]
Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]
REAL, SCRAMBLED, REVERSED, SHUFFLED = "real", "phase-scrambled", "reversed", "depth-shuffled"
BLANK = (SCRAMBLED, REVERSED)
"""The copies that hold no ink where the run looks for it; what they show counts as imagined."""
PAPYRUS = "blank papyrus"
"""Real papyrus of the same scan that is known to hold no ink. Where there is such, it tells what is imagined, and no copy has to."""


def named(kind: str) -> str:
    """What somebody was shown, in a sentence.

    >>> named(REVERSED), named(PAPYRUS)
    ('reversed copies', 'blank papyrus')
    """
    return kind if kind == PAPYRUS else f"{kind} copies"


class Share(Record):
    """A share of the papyrus, 0 to 1, and its 95 % interval over blocks."""

    share: float
    low: float
    high: float

    @property
    def in_words(self) -> str:
        """In percent, with the interval."""
        return f"{100 * self.share:.2f} % ({100 * self.low:.2f} to {100 * self.high:.2f})"


class Direction(Record):
    """How sure a member is of ink on the stack as it is and with all layers in opposite order: see `surely`.

    `gain` is reversed less forward, with its interval over blocks; `with_others` the correlation of its map with the mean of the other
    members' maps of the stack as it is: first its map of the stack as it is, then that of the reversed one; None where it is alone.
    """

    forward: float
    reversed: float
    gain: Gain
    with_others: tuple[float, float] | None = None


class Depth(Record):
    """What a member says with its window moved by so many layers: share called ink, and how sure it is of it."""

    offset: int
    flagged: float
    sureness: float


class MemberFigures(Record):
    """A member, stage two or the ensemble on one sheet.

    Attributes:
        threshold: from which probability on it is said to call ink.
        flagged: share of the papyrus called ink, by what it was shown: "real" and the kinds of copies.
        spread: standard deviation of its log-odds on the papyrus; near 0 where it says the same everywhere.
        sureness: see `surely`, on the real sheet; `imagined` is the same on scrambled copies.
        with_others: mean correlation of its log-odds with the other members', None where it is alone.
        adds: what it adds to the effective number of members.
        direction, depths: of members that can be asked again.
        planted: share of planted letters found, by contrast.
        half_contrast: of which half are found; None: not even of the strongest, or nothing was planted.
        gained: of the pixels of the brightest letters, the share that it calls ink less the share that it called ink before they were
            planted; None: nothing was.
        is_trained_on: whether it was trained on this sheet; None: not known.
    """

    name: str
    threshold: float
    flagged: ByName[Share]
    spread: float
    sureness: float
    imagined: float = 0.0
    with_others: float | None = None
    adds: float | None = None
    direction: Direction | None = None
    depths: tuple[Depth, ...] = ()
    planted: ByName[float] = Field({})
    half_contrast: float | None = None
    gained: float | None = None
    is_trained_on: bool | None = None


@dataclass(frozen=True)
class Blocks:
    """Sums of what is said over the blocks of one map, (B,): pixels called ink, log-odds above the threshold, and papyrus."""

    flagged: Floats
    surely: Floats
    pixels: Floats


def surely(prob: Map, threshold: float) -> Floats:
    """(Y, X) log-odds above the threshold, 0 below it: its mean over papyrus is how sure a member is of how much ink.

    >>> surely(np.array([[0.5, 0.2]], np.float32), 0.5).tolist()
    [[0.0, 0.0]]
    """
    return np.maximum(log_odds(prob) - log_odds(np.array(threshold)), 0)


def blocks_of_map(prob: Map, threshold: float, papyrus: Mask, edge_px: float) -> Blocks:
    """What a (Y, X) map says, block by block; all maps of one sheet have the same blocks."""
    flagged, pixels = block_sums(prob >= threshold, papyrus, edge_px)
    return Blocks(flagged, block_sums(surely(prob, threshold), papyrus, edge_px)[0], pixels)


def together(found: Sequence[Blocks]) -> Blocks:
    """The same of several copies of one kind, block upon block."""
    return Blocks(*(np.sum([getattr(one, name) for one in found], axis=0) for name in ("flagged", "surely", "pixels")))


def shares(found: Mapping[str, Blocks]) -> tuple[dict[str, Share], Resampled]:
    """By kind of what was shown the share called ink, all on the same draws of blocks, which are given too, in the same order."""
    drawn = resampled_ratios([one.flagged for one in found.values()], [one.pixels for one in found.values()])
    by_name = {}
    for number, name in enumerate(found):
        low, high = drawn.interval(number)
        by_name[name] = Share(share=float(drawn.scores[number]), low=low, high=high)
    return by_name, drawn


def flagged_beyond(sheet: Blocks, other: Blocks) -> Gain:
    """Share called ink on one sheet less that on another one, whose blocks are drawn apart."""
    drawn = [resampled_ratios([one.flagged], [one.pixels], seed) for seed, one in enumerate((sheet, other))]
    return gain_apart(drawn[0], drawn[1])


def direction_of(forward: Blocks, backward: Blocks, with_others: tuple[float, float] | None = None) -> Direction:
    """Forward against reversed, on the same draws of blocks."""
    drawn = resampled_ratios([forward.surely, backward.surely], [forward.pixels, backward.pixels])
    there, back = map(float, drawn.scores)
    return Direction(forward=there, reversed=back, gain=drawn.gain(1, 0), with_others=with_others)


def sureness_of(found: Blocks) -> float:
    """Mean of `surely` over the papyrus; 0 where there is none."""
    return float(found.surely.sum() / max(1.0, found.pixels.sum()))


def depth_of(offset: int, found: Blocks) -> Depth:
    """One point of a sweep over depth."""
    area = max(1.0, float(found.pixels.sum()))
    return Depth(offset=offset, flagged=float(found.flagged.sum()) / area, sureness=sureness_of(found))

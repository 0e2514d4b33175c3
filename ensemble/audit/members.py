"""Figures of everyone who is asked about a fragment, out of maps that are there."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from ensemble.audit.record import Agreement
from ensemble.audit.windows import Windows
from ensemble.controls.asked import Asked
from ensemble.controls.blank_papyrus import BlankPapyrus
from ensemble.controls.copies import Copy
from ensemble.controls.detectability import Detectability
from ensemble.controls.psychometric import half_found
from ensemble.ink.predictors import flat_map
from scroll.audit.agreement import (
    added_by_each,
    correlations,
    effective_number,
    sampled,
    shares_of_votes,
    votes,
)
from scroll.audit.figures import (
    BLANK,
    PAPYRUS,
    REAL,
    SCRAMBLED,
    Blocks,
    Depth,
    Direction,
    MemberFigures,
    blocks_of_map,
    depth_of,
    direction_of,
    flagged_beyond,
    shares,
    sureness_of,
    together,
)
from scroll.data.fragments import Fragment
from scroll.metrics.bootstrap import Gain, block_edge_um

Map = NDArray[np.float32]
Floats = NDArray[np.float64]
NO_MAPS: Mapping[str, Map] = MappingProxyType({})


@dataclass(frozen=True)
class Asking:
    """A fragment, where its predictions lie, the copies below `folder`/placebo, each member's other windows, and papyrus without ink."""

    asked: Asked
    fragment: Fragment
    folder: Path
    copies: list[Copy]
    windows: Mapping[str, Windows]
    planted: Detectability | None
    blank: BlankPapyrus | None = None

    @property
    def edge_px(self) -> float:
        """Of the blocks that intervals are over, at working resolution."""
        return block_edge_um(float(self.fragment.mask.sum()) * self.fragment.seen_um**2) / self.fragment.seen_um

    def blocks(self, name: str, prob: Map) -> Blocks:
        """What a map of `name` says, block by block; copies lie as the fragment does."""
        return blocks_of_map(prob, self.asked.threshold(name), self.fragment.mask, self.edge_px)

    def by_kind(self, name: str) -> dict[str, Blocks]:
        """What `name` says of the real sheet and of each kind of copy."""
        found: dict[str, list[Blocks]] = {REAL: [self.blocks(name, self.asked.map_of(self.folder, name))]}
        for copy in self.copies:
            copied_map = self.asked.map_of(self.folder / "placebo" / copy.name, name)
            found.setdefault(copy.kind, []).append(self.blocks(name, copy.laid_on(copied_map)))
        return {kind: together(copies) for kind, copies in found.items()}


def odds_of_members(asking: Asking) -> dict[str, Floats]:
    """Log-odds of every member on the same pixels of the papyrus, (N,)."""
    mask = asking.fragment.mask
    return {name: sampled(asking.asked.map_of(asking.folder, name), mask) for name in asking.asked.members}


def agreement_of(asking: Asking, odds: Mapping[str, Floats], elsewhere: Mapping[str, Map]) -> Agreement | None:
    """How the members go together on the real sheet, those with them that only have a map of it; None of a single one."""
    asked, mask = asking.asked, asking.fragment.mask
    odds = {**odds, **{name: sampled(prob, mask) for name, prob in elsewhere.items()}}
    names = list(odds)
    if len(names) < 2:
        return None
    matrix = correlations(list(odds.values()))
    counted = votes_of(asking, elsewhere)
    without = {name: one.loss.in_words for name, one in asked.fit.without.items() if name in asked.names}
    return Agreement(
        members=tuple(names),
        correlation=tuple(tuple(round(float(one), 4) for one in row) for row in matrix),
        effective_number=round(effective_number(matrix), 3),
        shares_of_votes=tuple(map(float, shares_of_votes(counted, len(names)))),
        gain_of_each=without,
    )


def votes_of(asking: Asking, elsewhere: Mapping[str, Map] = NO_MAPS) -> NDArray[np.int16]:
    """(Y, X) at working resolution: how many members, and of those elsewhere, call it ink, -1 off the papyrus."""
    asked = asking.asked
    maps = chain(((name, asked.map_of(asking.folder, name)) for name in asked.members), elsewhere.items())
    is_ink = (prob >= asked.threshold(name) for name, prob in maps)
    return votes(is_ink, asking.fragment.mask)


def figures_of(asking: Asking, name: str, odds: Mapping[str, Floats], is_trained_on: bool | None) -> MemberFigures:
    """Of one of those who are asked."""
    asked, by_kind = asking.asked, asking.by_kind(name)
    flagged, _ = shares(by_kind)
    if asking.blank is not None:
        flagged |= shares({PAPYRUS: asking.blank.blocks[name]})[0]
    real = asking.asked.map_of(asking.folder, name)
    own = odds[name] if name in odds else sampled(real, asking.fragment.mask)
    there = by_kind[REAL]
    with_others, adds = _beside_others(name, odds)
    return MemberFigures(
        name=name,
        threshold=asked.threshold(name),
        flagged=flagged,
        spread=float(own.std()) if len(own) else 0.0,
        sureness=sureness_of(there),
        imagined=sureness_of(by_kind[SCRAMBLED]),
        with_others=with_others,
        adds=adds,
        direction=_direction(asking, name, odds, there),
        depths=_depths(asking, name, there),
        is_trained_on=is_trained_on,
        **_planted(asking.planted, name),
    )


def beyond_blank(asking: Asking, name: str) -> dict[str, Gain]:
    """Share of the papyrus called ink on the real sheet less that on blank papyrus; where there is none, by kind of blank copy, over the
    same blocks."""
    by_kind = asking.by_kind(name)
    if asking.blank is not None:
        return {PAPYRUS: flagged_beyond(by_kind[REAL], asking.blank.blocks[name])}
    _, drawn = shares(by_kind)
    return {kind: drawn.gain(0, number) for number, kind in enumerate(by_kind) if kind in BLANK}


def _beside_others(name: str, odds: Mapping[str, Floats]) -> tuple[float | None, float | None]:
    if name not in odds or len(odds) < 2:
        return None, None
    matrix, place = correlations(list(odds.values())), list(odds).index(name)
    rest = np.delete(matrix[place], place)
    return round(float(rest.mean()), 4), round(float(added_by_each(matrix)[place]), 4)


def _direction(asking: Asking, name: str, odds: Mapping[str, Floats], there: Blocks) -> Direction | None:
    windows = asking.windows.get(name)
    if windows is None or windows.opposite is None:
        return None
    back = flat_map(windows.opposite, name, "run the audit again")
    return direction_of(there, asking.blocks(name, back), _with_mean_of_others(asking, name, odds, back))


def _with_mean_of_others(
    asking: Asking, name: str, odds: Mapping[str, Floats], back: Map
) -> tuple[float, float] | None:
    others = [one for other, one in odds.items() if other != name]
    if not others:
        return None
    mean = np.mean(others, axis=0)
    pairs = (odds[name], sampled(back, asking.fragment.mask))
    forward, backward = (float(correlations([one, mean])[0, 1]) for one in pairs)
    return round(forward, 4), round(backward, 4)


def _depths(asking: Asking, name: str, there: Blocks) -> tuple[Depth, ...]:
    windows = asking.windows.get(name)
    if windows is None or not windows.depths:
        return ()
    found = {0: there} | {
        offset: asking.blocks(name, flat_map(folder, name, "run the audit again"))
        for offset, folder in windows.depths.items()
    }
    return tuple(depth_of(offset, found[offset]) for offset in sorted(found))


def _planted(planted: Detectability | None, name: str) -> dict[str, object]:
    if planted is None:
        return {}
    is_found = planted.by_name[name]
    by_contrast = {
        f"{contrast:g}": float(share) for contrast, share in zip(planted.contrasts, is_found.mean(axis=0), strict=True)
    }
    return {
        "planted": by_contrast,
        "half_contrast": half_found(planted.contrasts, is_found).contrast,
        "gained": round(float(planted.gained[name][-1]), 4),
    }


def surest_window(one: MemberFigures) -> int | None:
    """The offset at which it is surest of ink, None where it was not asked."""
    return max(one.depths, key=lambda depth: depth.sureness).offset if one.depths else None

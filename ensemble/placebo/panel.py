"""The placebo panel of a fragment: every copy predicted, and what its components say of those really found."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensemble.placebo.chance import block_p, chance_imagined, rate_per_cm2
from ensemble.placebo.components import share_on_found, strongest_in_blocks
from ensemble.placebo.copies import BLANK, SAYS, Copy, placebo_copies, tile_px
from ensemble.placebo.predicted import Predicted, predicted
from scroll.config import Settings
from scroll.fragments import Fragment
from scroll.metrics.bootstrap import block_edge_um

Floats = NDArray[np.float64]
STANDS_OUT = 0.1
"""Up to this chance of being imagined a component is said to stand out; of all that do, about a tenth may still be imagined."""


@dataclass(frozen=True)
class Kind:
    """All copies of one kind together, and what they say of the R components found.

    `strengths` (N,) of what was found in them on `area_cm2`; `rate` (R,) per cm2, `p` (R,), `chance` (R,): see `chance`.
    """

    name: str
    copies: int
    area_cm2: float
    strengths: Floats
    rate: Floats
    p: Floats
    chance: Floats
    on_found: float

    def row(self) -> dict[str, Any]:
        """For the table of copies."""
        return {
            "copy": self.name,
            "copies": self.copies,
            "placebo_cm2": round(self.area_cm2, 2),
            "components": len(self.strengths),
            "per_cm2": round(len(self.strengths) / self.area_cm2, 3),
            "strongest": round(float(self.strengths.max()), 4) if len(self.strengths) else None,
            "share_on_found": round(self.on_found, 3),
            "chance_rests_on_it": "yes" if self.name in BLANK else "no",
            "says": SAYS[self.name],
        }


@dataclass(frozen=True)
class Panel:
    """A fragment's placebo panel; `chance` (R,) is the most cautious over the copies that hold no ink where the run looks."""

    real: Predicted
    papyrus_cm2: float
    kinds: list[Kind]
    tile_mm: float
    block_mm: float

    @property
    def blank(self) -> list[Kind]:
        """The kinds that chances rest on."""
        return [kind for kind in self.kinds if kind.name in BLANK]

    @property
    def chance(self) -> Floats:
        """Chance of being imagined, (R,)."""
        return np.max([kind.chance for kind in self.blank], axis=0)

    @property
    def p(self) -> Floats:
        """Chance that a block of placebo shows one at least so strong, (R,)."""
        return np.max([kind.p for kind in self.blank], axis=0)

    @property
    def rate(self) -> Floats:
        """Components at least so strong on a square centimetre of placebo, (R,), at most about."""
        return np.max([kind.rate for kind in self.blank], axis=0)

    @property
    def found_share(self) -> float:
        """Share of the papyrus that what was found covers."""
        return float(self.real.pieces.area_mm2.sum() / 100 / self.papyrus_cm2)

    @property
    def least_chance(self) -> float:
        """What could be told at best: the chance of a component had placebo shown nothing at all."""
        ratio = min(kind.area_cm2 for kind in self.blank) / self.papyrus_cm2
        return min(1.0, 1 / (ratio * max(1, len(self.real.pieces))))


def placebo_panel(
    settings: Settings, fragment: Fragment, folder: Path, fit: dict[str, Any], real: Predicted, count: int
) -> Panel:
    """Predict every copy into `folder`/<copy> and hold what was really found against it; `count` copies of each seeded kind."""
    pixel_cm2 = (fragment.pixel_um / 1e4) ** 2
    papyrus_cm2 = float(fragment.full_mask.sum()) * pixel_cm2
    edge_um = block_edge_um(papyrus_cm2 * 1e8)
    by_kind: dict[str, list[Predicted]] = {}
    for copy in placebo_copies(fragment, count):
        by_kind.setdefault(copy.kind, []).append(_of_copy(settings, copy, folder, fit))
    kinds = [
        _kind(name, found, real, (papyrus_cm2, edge_um / fragment.pixel_um), fragment)
        for name, found in by_kind.items()
    ]
    tile_mm = tile_px(fragment) * fragment.pixel_um * fragment.data.bin_yx / 1000
    return Panel(real, papyrus_cm2, kinds, tile_mm, edge_um / 1000)


def _of_copy(settings: Settings, copy: Copy, folder: Path, fit: dict[str, Any]) -> Predicted:
    return predicted(settings, copy.fragment, folder / copy.name, fit)


def _kind(
    name: str, found: list[Predicted], real: Predicted, sizes: tuple[float, float], fragment: Fragment
) -> Kind:
    """One kind of copy; `sizes`: papyrus of a copy in cm2, and edge of a block in pixels."""
    papyrus_cm2, edge_px = sizes
    pieces = [one.pieces for one in found]
    strengths = np.concatenate([one.strength for one in pieces])
    strongest = strongest_in_blocks(pieces, fragment.full_mask, edge_px)
    of_real = real.pieces.strength
    area_cm2 = papyrus_cm2 * len(found)
    return Kind(
        name=name,
        copies=len(found),
        area_cm2=area_cm2,
        strengths=strengths,
        rate=rate_per_cm2(of_real, strengths, area_cm2),
        p=block_p(of_real, strongest),
        chance=chance_imagined(of_real, strengths, float(len(found))),
        on_found=float(np.mean([share_on_found(one, real.mask) for one in pieces])),
    )

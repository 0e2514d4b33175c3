"""The panel of a fragment's negative controls: every copy predicted, and what its components say of those really found."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue
from scipy.ndimage import distance_transform_edt

from ensemble.controls.asked import Asked, Predicted
from ensemble.controls.blank_papyrus import BlankPapyrus
from ensemble.controls.chance import block_p, chance_imagined, rate_per_cm2
from ensemble.controls.components import SURROUNDINGS_UM, Response, response_of, share_on_found, with_surroundings
from ensemble.controls.copies import SAYS, Copy, negative_controls, tile_px
from ensemble.controls.tail import LEAST_EXPECTED, tail_of
from scroll.audit.figures import BLANK, PAPYRUS
from scroll.data.depth_windows import with_room
from scroll.data.fragments import Fragment
from scroll.data.labels import share_in_blocks
from scroll.metrics.bootstrap import block_edge_um

Floats = NDArray[np.float64]
Strengths = Mapping[str, Floats]  # by kind of copy, of what copies show, (N,) each
RIM_UM = 100.0
FAR_MORE = 2.0  # times the share that what was found covers
STANDS_OUT = 0.1
"""Up to this chance of being imagined a component is said to stand out; of all that do, about a tenth may still be imagined."""


@dataclass(frozen=True)
class Kind:
    """All copies of one kind, or all blank papyrus, together, and what they say of the R components found.

    `strengths` (N,) of what was found in them on `area_cm2`, `together` (N,) with their surroundings; `rate` (R,) per cm2 and `p` (R,) go
    by strengths, `chance` (R,) by those together: see `chance`.
    """

    name: str
    copies: int
    area_cm2: float
    strengths: Floats
    together: Floats
    rate: Floats
    p: Floats
    chance: Floats
    on_found: float
    has_tail: bool = False

    def row(self, rests_on_it: bool) -> dict[str, JsonValue]:
        """For the table of copies; `rests_on_it`: whether chances do."""
        return {
            "copy": self.name,
            "copies": self.copies,
            "placebo_cm2": round(self.area_cm2, 2),
            "components": len(self.strengths),
            "per_cm2": round(len(self.strengths) / self.area_cm2, 3),
            "strongest": round(float(self.strengths.max()), 4) if len(self.strengths) else None,
            "share_on_found": round(self.on_found, 3),
            "chance_rests_on_it": "yes" if rests_on_it else "no",
            "says": SAYS[self.name],
        }


@dataclass(frozen=True)
class Panel:
    """A fragment's panel; `chance` (R,) is that by blank papyrus where there is some, else the most cautious over the copies that
    hold no ink where the run looks.

    `together` (R,): how strong each component found is with its surroundings.
    """

    real: Predicted
    together: Floats
    papyrus_cm2: float
    kinds: list[Kind]
    copies: list[Copy]
    tile_mm: float
    block_mm: float

    @property
    def blank(self) -> list[Kind]:
        """The kinds that chances rest on."""
        papyrus = [kind for kind in self.kinds if kind.name == PAPYRUS]
        return papyrus or [kind for kind in self.kinds if kind.name in BLANK]

    @property
    def chance(self) -> Floats:
        """Chance of being imagined, (R,)."""
        return np.max([kind.chance for kind in self.blank], axis=0)

    @property
    def p(self) -> Floats:
        """Chance that a block of negative control shows one at least so strong, (R,)."""
        return np.max([kind.p for kind in self.blank], axis=0)

    @property
    def rate(self) -> Floats:
        """Components at least so strong on a square centimetre of negative control, (R,), at most about."""
        return np.max([kind.rate for kind in self.blank], axis=0)

    @property
    def found_share(self) -> float:
        """Share of the papyrus that what was found covers."""
        return float(self.real.pieces.area_mm2.sum() / 100 / self.papyrus_cm2)

    @property
    def seen_again(self) -> list[Kind]:
        """Blank kinds whose components lie on what was found far more often than chance puts them there."""
        return [kind for kind in self.blank if kind.on_found > FAR_MORE * self.found_share > 0]

    @property
    def least_chance(self) -> float:
        """What could be found at best: by counting, of a component had controls shown nothing; less where tails are carried on."""
        expected = max(LEAST_EXPECTED if kind.has_tail else self.papyrus_cm2 / kind.area_cm2 for kind in self.blank)
        return min(1.0, expected / max(1, len(self.real.pieces)))


@dataclass(frozen=True)
class Imagined:
    """What is imagined beside a sheet and its own copies.

    Attributes:
        on_other_copies: by kind, how strong with its surroundings all is that copies of other sheets show, (N,); it says how the tail
            falls.
        blank: what real papyrus without ink shows; None: there is none.
    """

    on_other_copies: Strengths = field(default_factory=dict)
    blank: BlankPapyrus | None = None


NOTHING_ELSE = Imagined()


def negative_control_panel(
    asked: Asked,
    fragment: Fragment,
    folder: Path,
    real: Predicted,
    count: int,
    imagined: Imagined = NOTHING_ELSE,
) -> Panel:
    """Predict every copy into `folder`/<copy> and hold what was really found against it; `count` copies of each seeded kind.

    The folder above `folder` holds the prediction of the fragment itself.

    `imagined`: what is known besides of the same scan and run.
    """
    pixel_cm2 = (fragment.pixel_um / 1e4) ** 2
    papyrus_cm2 = float(fragment.full_mask.sum()) * pixel_cm2
    edge_um = block_edge_um(papyrus_cm2 * 1e8)
    together = with_surroundings(real.pieces, SURROUNDINGS_UM / fragment.pixel_um)
    found_px = (share_in_blocks(real.mask, fragment.data.bin_yx) > 0) | called_by_half(asked, folder.parent)
    by_kind: dict[str, list[Response]] = {}
    held = with_room(
        fragment, asked.settings.stage1.window.depth_offsets
    )  # so that the reversed copy leaves room for them
    copies = negative_controls(held, ink_and_rim(found_px, fragment), count)
    for copy in copies:
        found = asked.predicted(copy.fragment, folder / copy.name)
        on_found = share_on_found(found.pieces, copy.laid_on(real.mask))
        by_kind.setdefault(copy.kind, []).append(response_of(found.pieces, copy.fragment, edge_um, on_found))
    of_real = (real.pieces.strength, together)
    kinds = [
        _kind(
            name,
            responses,
            of_real,
            (len(responses) * papyrus_cm2, papyrus_cm2),
            imagined.on_other_copies.get(name, np.zeros(0)),
        )
        for name, responses in by_kind.items()
    ]
    if (blank := imagined.blank) is not None:
        kinds.insert(0, _kind(PAPYRUS, blank.responses, of_real, (blank.area_cm2, papyrus_cm2), np.zeros(0)))
    tile_mm = tile_px(fragment) * fragment.pixel_um * fragment.data.bin_yx / 1000
    return Panel(real, together, papyrus_cm2, kinds, copies, tile_mm, edge_um / 1000)


def called_by_half(asked: Asked, folder: Path) -> NDArray[np.bool_]:
    """(Y, X) at working resolution, where at least half of the members call ink: a bad member may hide it from the blend."""
    votes = [asked.map_of(folder, name) >= asked.threshold(name) for name in asked.members]
    return np.asarray(2 * np.sum(votes, axis=0) >= len(votes))


def ink_and_rim(found: NDArray[np.bool_], fragment: Fragment) -> NDArray[np.bool_]:
    """What was found and RIM_UM around it, for a mask is narrower than its stroke, both (Y, X) at working resolution."""
    rim_px = max(1, round(RIM_UM / (fragment.pixel_um * fragment.data.bin_yx)))
    return np.asarray(distance_transform_edt(~found) <= rim_px) if found.any() else found


def _kind(
    name: str,
    responses: Sequence[Response],
    of_real: tuple[Floats, Floats],
    areas_cm2: tuple[float, float],
    elsewhere: Floats,
) -> Kind:
    """One kind, of the first of `areas_cm2` in all, against strengths `of_real` (R,) on the second, alone and with surroundings;
    `elsewhere` (N,): with surroundings, of other sheets' copies."""
    strengths, together = (
        np.concatenate([getattr(one, what) for one in responses]) for what in ("strengths", "together")
    )
    tail = tail_of(np.concatenate([together, elsewhere]))
    alone, with_others = of_real
    area_cm2, papyrus_cm2 = areas_cm2
    return Kind(
        name=name,
        copies=len(responses),
        area_cm2=area_cm2,
        strengths=strengths,
        together=together,
        rate=rate_per_cm2(alone, strengths, area_cm2),
        p=block_p(alone, np.concatenate([one.strongest for one in responses])),
        chance=chance_imagined(with_others, together, area_cm2 / papyrus_cm2, tail),
        on_found=float(np.mean([one.on_found for one in responses])),
        has_tail=tail is not None,
    )

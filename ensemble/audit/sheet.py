"""The audit of one fragment: predicted real and changed, figures, pictures, verdict."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from ensemble.audit import tables
from ensemble.audit.facts import facts_of, is_trained_on, lines_on_facts
from ensemble.audit.members import Asking, agreement_of, beyond_blank, figures_of, odds_of_members, votes_of
from ensemble.audit.pictures import depths_picture, votes_picture, windows_picture
from ensemble.audit.quality import Placed
from ensemble.audit.record import HalfContrast, Picture, Place, SheetAudit, picture
from ensemble.audit.traced import SAID
from ensemble.audit.windows import DEPTHS, other_windows
from ensemble.controls.asked import Asked, Predicted
from ensemble.controls.detectability import Detectability, Planting, detectability
from ensemble.controls.panel import NOTHING_ELSE, STANDS_OUT, Imagined, Panel, Strengths, negative_control_panel
from ensemble.controls.pictures import curve_picture, found_picture, map_picture, null_picture
from ensemble.controls.planting import NoRoomError
from ensemble.ink.predictors import ENSEMBLE
from scroll.audit.figures import BLANK, MemberFigures
from scroll.audit.verdict import Evidence, verdict_of
from scroll.data.fragments import Fragment


@dataclass(frozen=True)
class How:
    """How much is asked: copies of each seeded kind, what is planted (None: nothing), and offsets of the depth window in layers."""

    copies: int = 2
    planting: Planting | None = field(default_factory=Planting)
    depths: tuple[int, ...] = DEPTHS


@dataclass(frozen=True)
class Looked:
    """All that was predicted of a fragment; `planted` None where nothing was planted, `note` says why."""

    asking: Asking
    real: Predicted
    panel: Panel
    planted: Detectability | None
    note: str


def strengths_on_copies(asked: Asked, placed: Placed, output: Path, how: How) -> Strengths:
    """Predict a fragment and its copies below <output>/<fragment>, and tell by kind how strong the copies' components are, (N,) each."""
    if placed.unusable:
        return {}
    folder = output / placed.fragment.id
    real = asked.predicted(placed.fragment, folder)
    panel = negative_control_panel(asked, placed.fragment, folder / "placebo", real, how.copies)
    return {kind.name: kind.together for kind in panel.kinds if kind.name in BLANK}


def audited(
    asked: Asked,
    placed: Placed,
    output: Path,
    how: How,
    imagined: Imagined = NOTHING_ELSE,
) -> SheetAudit:
    """Predict a fragment, its copies and other windows below <output>/<fragment>, and judge; what is current there is kept.

    `imagined`: what copies of the other sheets show, and papyrus without ink.

    Raises:
        MissingInputError: the run lacks weights.
        InputError: settings of the copies or of what is planted that make no sense.
    """
    fragment = placed.fragment
    if placed.unusable:
        notes = tuple(filter(None, [placed.note]))
        return SheetAudit(id=fragment.id, verdict=verdict_of(Evidence(unusable=placed.unusable)), notes=notes)
    looked = _predicted(asked, fragment, output / fragment.id, how, imagined)
    asking, odds = looked.asking, odds_of_members(looked.asking)
    facts = facts_of(asked, fragment)
    figures = [
        figures_of(asking, name, odds, is_trained_on(asked, name, fragment) if name in odds else None)
        for name in asked.names
    ]
    return _record(looked, placed, figures, output).model_copy(
        update={
            "facts": facts,
            "agreement": agreement_of(asking, odds, asked.made_elsewhere(fragment, output / fragment.id)),
            "notes": tuple(
                filter(
                    None,
                    [*_how_seen(asked, placed), tables.panel_note(looked.panel), looked.note, *lines_on_facts(facts)],
                )
            ),
        }
    )


def _how_seen(asked: Asked, placed: Placed) -> list[str]:
    return [SAID, placed.note] if asked.trained_as is not None else [placed.note]


def _predicted(asked: Asked, fragment: Fragment, folder: Path, how: How, imagined: Imagined) -> Looked:
    real = asked.predicted(fragment, folder)
    panel = negative_control_panel(asked, fragment, folder / "placebo", real, how.copies, imagined)
    planted, note = None, ""
    if how.planting is not None:
        try:
            planted = detectability(asked, fragment, folder / "placebo", real, how.planting)
        except NoRoomError as error:  # what was found can be judged all the same
            note = f"Nothing was planted: {error}."
    windows = {name: other_windows(asked, fragment, folder / "placebo", name, how.depths) for name in asked.members}
    return Looked(
        Asking(asked, fragment, folder, panel.copies, windows, planted, imagined.blank), real, panel, planted, note
    )


def _record(looked: Looked, placed: Placed, figures: list[MemberFigures], output: Path) -> SheetAudit:
    panel, planted, fragment = looked.panel, looked.planted, looked.asking.fragment
    stands_out = int((panel.chance <= STANDS_OUT).sum())
    evidence = Evidence(
        found=len(panel.real.pieces),
        stands_out=stands_out,
        least_chance=panel.least_chance,
        beyond=beyond_blank(looked.asking, ENSEMBLE),
        was_planted=planted is not None,
        half_contrast=None if planted is None else planted.half.contrast,
        blind_places=0.0 if planted is None else float(np.isinf(planted.least).mean()),
        texture=placed.texture,
    )
    shown_tables = [tables.members_table(figures), tables.components_table(panel), tables.copies_table(panel)]
    return SheetAudit(
        id=fragment.id,
        verdict=verdict_of(evidence),
        papyrus_cm2=round(panel.papyrus_cm2, 3),
        found=evidence.found,
        stands_out=stands_out,
        least_chance=tables.digits(panel.least_chance),
        members=tuple(figures),
        half_found=None if planted is None else HalfContrast(**asdict(planted.half)),
        places=() if planted is None else _places(fragment, planted),
        tables=tuple(shown_tables if planted is None else [*shown_tables, tables.planted_table(planted)]),
        pictures=tuple(_pictures(looked, figures, output)),
    )


def _places(fragment: Fragment, planted: Detectability) -> tuple[Place, ...]:
    corners = planted.cells.corner_px * fragment.data.bin_yx
    return tuple(
        Place(y_px=int(y), x_px=int(x), least_contrast=float(least) if np.isfinite(least) else None)
        for (y, x), least in zip(corners, planted.least, strict=True)
    )


def _pictures(looked: Looked, figures: list[MemberFigures], output: Path) -> list[Picture]:
    """All pictures, into <fragment>/placebo/pictures, named relative to `output`."""
    asking, panel, planted = looked.asking, looked.panel, looked.planted
    fragment, folder = asking.fragment, asking.folder / "placebo" / "pictures"
    found = [
        picture(
            folder / "1_found.png", output, lambda path: found_picture(path, fragment, panel), tables.found_alt(panel)
        ),
        picture(
            folder / "2_null.png", output, lambda path: null_picture(path, fragment, panel), tables.null_alt(panel)
        ),
    ]
    if planted is not None:
        curve, where = tables.curve_alt(planted), tables.map_alt(planted)
        found.append(
            picture(folder / "3_curve.png", output, lambda path: curve_picture(path, fragment, planted), curve)
        )
        found.append(picture(folder / "4_map.png", output, lambda path: map_picture(path, fragment, planted), where))
    members = [one for one in figures if one.name in asking.asked.members]
    if len(members) > 1:
        title = "How many members call each place ink"
        votes = votes_of(asking)
        found.append(
            picture(
                folder / "5_votes.png", output, lambda path: votes_picture(path, fragment, votes, len(members)), title
            )
        )
    return [*found, *_of_windows(asking, members, folder, output)]


def _of_windows(asking: Asking, members: list[MemberFigures], folder: Path, output: Path) -> list[Picture]:
    windows = {name: one for name, one in asking.windows.items() if one.opposite or one.depths}
    if not windows:
        return []
    curve = "How sure each member is of ink as its depth window moves, and (crosses) with all layers in opposite order"
    maps = "Each member's map with all layers in opposite order, and as its depth window moves"
    return [
        picture(folder / "6_depths.png", output, lambda path: depths_picture(path, asking.fragment.id, members), curve),
        picture(
            folder / "7_windows.png", output,
            lambda path: windows_picture(path, asking.asked, asking.fragment, asking.folder, windows), maps,
        ),
    ]  # fmt: skip


def by_member(sheets: Mapping[str, SheetAudit]) -> dict[str, list[MemberFigures]]:
    """Everyone's figures over all sheets."""
    found: dict[str, list[MemberFigures]] = {}
    for sheet in sheets.values():
        for one in sheet.members:
            found.setdefault(one.name, []).append(one)
    return found

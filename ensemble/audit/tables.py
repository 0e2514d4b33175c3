"""The tables of an audit: found components, copies, planted letters, members; in words that a page can show as they are."""

from collections.abc import Sequence

import numpy as np
from pydantic import JsonValue

from ensemble.audit.members import surest_window
from ensemble.audit.record import Table
from ensemble.controls.components import SURROUNDINGS_UM
from ensemble.controls.copies import SAYS
from ensemble.controls.detectability import FOUND_SHARE, Detectability
from ensemble.controls.panel import STANDS_OUT, Kind, Panel
from scroll.audit.figures import PAPYRUS, REAL, REVERSED, SCRAMBLED, SHUFFLED, MemberFigures, named

COMPONENT_COLUMNS = {
    "component": "Component",
    "y_px": "y, pixels",
    "x_px": "x, pixels",
    "area_mm2": "Area, mm²",
    "mean_prob": "Mean probability",
    "strength": "Strength, log-odds x mm²",
    "together": "with its surroundings",
    "placebo_per_cm2": "Without ink, at least so strong, per cm²",
    "p": "p of one block",
    "chance_imagined": "Chance of being imagined",
}
COPY_COLUMNS = {
    "copy": "Copy",
    "copies": "Copies",
    "placebo_cm2": "Papyrus, cm²",
    "components": "Components",
    "per_cm2": "per cm²",
    "strongest": "Strongest",
    "share_on_found": "Share lying on what was found",
    "chance_rests_on_it": "Chances rest on it",
}
PLANTED_COLUMNS = {
    "contrast": "Contrast, spreads of the papyrus",
    "grey_levels": "Grey levels",
    "planted": "Letters planted",
    "found": "Found",
    "share": "Share",
    "low": "95 % from",
    "high": "to",
}


MEMBER_COLUMNS = {
    "name": "Who",
    "looks": "Looks like",
    REAL: "Called ink, % of the papyrus",
    **{kind: f"on {named(kind)}" for kind in (PAPYRUS, SCRAMBLED, REVERSED, SHUFFLED)},
    "half_contrast": "Half of planted letters at",
    "opposite": "Sureness with layers in opposite order, times",
    "surest": "Surest at offset, layers",
    "with_others": "Goes with the others",
    "adds": "Adds to the effective number",
}


def verdict(chances: dict[str, float]) -> str:
    """A component's chances by what they rest on, in words.

    >>> verdict({"phase-scrambled": 0.04, "reversed": 0.1})
    'stands out'
    >>> verdict({"phase-scrambled": 0.4, "reversed": 0.1})
    'stands out of reversed only'
    >>> verdict({"phase-scrambled": 0.4, "reversed": 0.2})
    'may be imagined'
    """
    passed = [name for name, chance in chances.items() if chance <= STANDS_OUT]
    if len(passed) == len(chances):
        return "stands out"
    return f"stands out of {' and '.join(passed)} only" if passed else "may be imagined"


def panel_note(panel: Panel) -> str:
    """How many components stand out, of how much negative control."""
    stands_out = int((panel.chance <= STANDS_OUT).sum())
    areas = " and ".join(f"{kind.area_cm2:.2f} cm2 of {named(kind.name)}" for kind in panel.blank)
    each = [f"{int((kind.chance <= STANDS_OUT).sum())} of {named(kind.name)}" for kind in panel.blank]
    alone = f"; {' and '.join(each)} alone" if len(each) > 1 else ""
    note = (
        f"{stands_out} of {len(panel.real.pieces)} components stand out (chance of being imagined {STANDS_OUT:g} or less{alone}), judged "
        f"on {areas}, for {panel.papyrus_cm2:.2f} cm2 of papyrus. The least chance this much could tell is {panel.least_chance:.2g}"
    )
    again = [
        f" The {kind.name} copy's components lie on what was found {kind.on_found / panel.found_share:.1f} times as often as chance "
        "puts them there: it may show the same ink at another depth, and chances are then too high (by_copy holds each copy's own)."
        for kind in panel.seen_again
    ]
    return f"{note}.{''.join(again)}"


def components_table(panel: Panel) -> Table:
    """A row a component, strongest first."""
    pieces, order = panel.real.pieces, np.argsort(-panel.real.pieces.strength, kind="stable")
    rows = [
        {
            "component": int(n) + 1,
            "y_px": round(float(pieces.centre_px[n, 0])),
            "x_px": round(float(pieces.centre_px[n, 1])),
            "area_mm2": digits(pieces.area_mm2[n]),
            "mean_prob": digits(pieces.mean_prob[n]),
            "strength": digits(pieces.strength[n]),
            "together": digits(panel.together[n]),
            "placebo_per_cm2": digits(panel.rate[n]),
            "p": digits(panel.p[n]),
            "chance_imagined": digits(panel.chance[n]),
            **{f"chance_{kind.name}": digits(kind.chance[n]) for kind in panel.blank},
            "verdict": verdict({kind.name: float(kind.chance[n]) for kind in panel.blank}),
            "by_copy": {kind.name: _by_copy(kind, int(n)) for kind in panel.kinds},
        }
        for n in order
    ]
    note = (
        "Strongest first. Strength is log-odds above the threshold, added up over the component; with its surroundings, the geometric mean "
        f"of its own and of all within {SURROUNDINGS_UM / 1000:g} mm together, which the chance of being imagined goes by. "
        "The rate counts the component "
        f"itself, so it is never 0. p is the chance that one block without ink, {panel.block_mm:.1f} mm wide, shows one at least so "
        "strong; it does not know at how many places one looked, the chance of being imagined does. "
        f"All are {'the worse of ' if len(panel.blank) > 1 else ''}those by {' and '.join(named(kind.name) for kind in panel.blank)}; what "
        "every copy says is in by_copy."
    )
    by_kind = {f"chance_{kind.name}": f"by {named(kind.name)}" for kind in panel.blank} if len(panel.blank) > 1 else {}
    return Table(
        title="Found components",
        note=note,
        columns=COMPONENT_COLUMNS | by_kind | {"verdict": "Verdict"},
        rows=tuple(rows),
    )


def _by_copy(kind: Kind, component: int) -> dict[str, float]:
    return {
        "chance_imagined": digits(kind.chance[component]),
        "p": digits(kind.p[component]),
        "placebo_per_cm2": digits(kind.rate[component]),
    }


def copies_table(panel: Panel) -> Table:
    """A row a kind of copy."""
    about = " ".join(f"{kind.name.capitalize()}: {SAYS[kind.name]}" for kind in panel.kinds)
    note = (
        f"{about} Tiles of the scrambled copies are {panel.tile_mm:.1f} mm wide: shapes shorter than that are spread over a tile, "
        f"brightness that changes from tile to tile stays. What was found covers {panel.found_share:.3f} of the papyrus: where a "
        "far larger share of a blank copy's components is on it, the run sees the same thing in both, ink at another depth or a crack."
    )
    return Table(
        title="Copies",
        note=note,
        columns=COPY_COLUMNS,
        rows=tuple(kind.row(kind in panel.blank) for kind in panel.kinds),
    )


def planted_table(found: Detectability) -> Table:
    """A row a contrast."""
    note = (
        f"{half_in_words(found)} Letters {found.letter_um / 1000:.2g} mm high, a film of {found.film_vox:g} voxels on the sheet's face, "
        "brighter than the papyrus by the contrast given, raising no relief; found means that "
        f"{FOUND_SHARE:.0%} of a letter's pixels are in the mask. Nobody knows which papyrus of a real fragment is empty: letters lie "
        "where the run found nothing, so at no contrast the share found is 0 by choice, and ink that it missed may lie beneath."
    )
    return Table(
        title="Planted letters", note=note, columns=PLANTED_COLUMNS, rows=tuple({**row} for row in found.rows())
    )


def half_in_words(found: Detectability) -> str:
    """The contrast of which half is found, in a sentence."""
    half = found.half
    if half.contrast is None:
        strongest = f"{found.contrasts[-1]:g}"
        return f"Less than half was found even at the strongest contrast, {strongest}: this run is blind to fainter ink of this kind."
    if half.is_below:
        return f"More than half was found at the faintest contrast, {half.contrast:g}, already; give fainter ones (--contrasts)."
    low = f"less than {found.contrasts[0]:g}" if half.low is None else f"{half.low:.2g}"
    high = f"more than {found.contrasts[-1]:g}" if half.high is None else f"{half.high:.2g}"
    return f"Half of the letters are found at a contrast of {half.contrast:.2g} (95 % interval: {low} to {high})."


def found_alt(panel: Panel) -> str:
    """What the picture of found components shows."""
    stands_out = int((panel.chance <= STANDS_OUT).sum())
    return f"The found components on the papyrus, darker the less likely imagined: {stands_out} of {len(panel.real.pieces)} stand out"


def null_alt(panel: Panel) -> str:
    """What the picture of strengths shows."""
    return "Components at least so strong per square centimetre: found (black), and in " + ", ".join(
        named(kind.name) for kind in panel.kinds
    )


def curve_alt(found: Detectability) -> str:
    """What the picture of the curve shows."""
    return "Share of planted letters found over their contrast, with 95 % intervals. " + half_in_words(found)


def map_alt(found: Detectability) -> str:
    """What the picture of places shows."""
    missed = int(np.isinf(found.least).sum())
    return (
        f"The least contrast found at each of {len(found.least)} places on the papyrus; {missed} missed every contrast"
    )


def digits(value: float) -> float:
    """Four significant digits, which keeps what is small from becoming 0."""
    return float(f"{float(value):.4g}")


def members_table(members: Sequence[MemberFigures]) -> Table:
    """A row for everyone; who looks like what is added over all sheets, by the page."""
    note = (
        "Shares of the papyrus with 95 % intervals over blocks. What is found on a blank copy is imagined; on depth-shuffled layers ink "
        "keeps its shape, so that much there only says that the order of depths is not needed. Sureness is log-odds above the threshold, "
        "a pixel of papyrus. Goes with the others: mean correlation of log-odds. One that repeats others adds nothing to the effective "
        "number."
    )
    asked = {kind for one in members for kind in one.flagged}
    columns = {key: heading for key, heading in MEMBER_COLUMNS.items() if key in asked or key != PAPYRUS}
    return Table(title="Members", note=note, columns=columns, rows=tuple(_member_row(one) for one in members))


def _member_row(one: MemberFigures) -> dict[str, JsonValue]:
    row: dict[str, JsonValue] = {"name": one.name, "looks": None}
    for kind in (REAL, PAPYRUS, SCRAMBLED, REVERSED, SHUFFLED):
        share = dict(one.flagged).get(kind)
        row[kind] = share.in_words if share else None
    direction = one.direction
    times = direction.reversed / direction.forward if direction and direction.forward > 0 else None
    return row | {
        "half_contrast": None if one.half_contrast is None else digits(one.half_contrast),
        "opposite": None if times is None else digits(times),
        "surest": surest_window(one),
        "with_others": one.with_others,
        "adds": one.adds,
    }

"""placebo.json: what the panel and the planted ink say, in words and tables that a page can show as they are."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypedDict

import numpy as np

from ensemble.controls.copies import SAYS
from ensemble.controls.detectability import FOUND_SHARE, Detectability
from ensemble.controls.panel import STANDS_OUT, Kind, Panel
from ensemble.controls.pictures import curve_picture, found_picture, map_picture, null_picture
from scroll.audit.figures import BLANK, REVERSED, SCRAMBLED, SHUFFLED
from scroll.data.fragments import Fragment

NAME = "placebo.json"
TITLE = "Blank or blind: what may be imagined, and what would have been missed"
NOTE = (
    "Every component found is held against components found in copies of the same fragment that hold no ink where the run looks. "
    "Its chance of being imagined is the share of all components at least so strong that those copies explain. No chance is ever 0: "
    "the copies are only so large. Planted letters then tell how faint ink may be before this run misses it. "
    "Both speak of this run on this fragment, and neither says what a component reads."
)
COMPONENT_COLUMNS = {
    "component": "Component",
    "y_px": "y, pixels",
    "x_px": "x, pixels",
    "area_mm2": "Area, mm²",
    "mean_prob": "Mean probability",
    "strength": "Strength, log-odds x mm²",
    "placebo_per_cm2": "Placebo shows at least so strong, per cm²",
    "p": "p of one block",
    "chance_imagined": "Chance of being imagined",
    **{f"chance_{name}": f"by the {name} copy" for name in BLANK},
    "verdict": "Verdict",
}
COPY_COLUMNS = {
    "copy": "Copy",
    "copies": "Copies",
    "placebo_cm2": "Placebo, cm²",
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


class Table(TypedDict):
    """A table for the report: `columns` names those that it shows of the rows."""

    title: str
    note: str
    columns: dict[str, str]
    rows: Sequence[Mapping[str, object]]


class FragmentRecord(TypedDict, total=False):
    """One fragment's part of placebo.json; `half_found` and `places` where letters were planted."""

    id: str
    title: str
    note: str
    papyrus_cm2: float
    least_chance: float
    stands_out: int
    found: int
    half_found: dict[str, object]
    places: list[dict[str, float | None]]
    tables: list[Table]
    pictures: list[dict[str, str]]


class Study(TypedDict):
    """placebo.json."""

    title: str
    note: str
    command: str
    fragments: list[FragmentRecord]


def fragment_record(
    fragment: Fragment, panel: Panel, found: Detectability | None, output: Path, name: str
) -> FragmentRecord:
    """One fragment's part; draws its pictures into <output>/<name>/placebo/pictures, named relative to `output`."""
    folder = output / name / "placebo" / "pictures"
    tables = [_components_table(panel), _copies_table(panel)]
    pictures = [
        _picture(folder / "1_found.png", output, lambda path: found_picture(path, fragment, panel), _found_alt(panel)),
        _picture(folder / "2_null.png", output, lambda path: null_picture(path, fragment, panel), _null_alt(panel)),
    ]
    record: FragmentRecord = {
        "id": name,
        "title": name,
        "note": _panel_note(panel),
        "papyrus_cm2": round(panel.papyrus_cm2, 3),
        "least_chance": _digits(panel.least_chance),
        "stands_out": int((panel.chance <= STANDS_OUT).sum()),
        "found": len(panel.real.pieces),
    }
    if found is not None:
        tables.append(_planted_table(found))
        pictures.append(
            _picture(
                folder / "3_curve.png", output, lambda path: curve_picture(path, fragment, found), _curve_alt(found)
            )
        )
        pictures.append(
            _picture(folder / "4_map.png", output, lambda path: map_picture(path, fragment, found), _map_alt(found))
        )
        record["half_found"] = vars(found.half)
        record["places"] = [
            {"y_px": int(y), "x_px": int(x), "least_contrast": float(least) if np.isfinite(least) else None}
            for (y, x), least in zip(found.cells.corner_px * fragment.data.bin_yx, found.least, strict=True)
        ]
    record["tables"], record["pictures"] = tables, pictures
    return record


def _picture(path: Path, output: Path, draw: Callable[[Path], None], alt: str) -> dict[str, str]:
    draw(path)
    return {"path": path.relative_to(output).as_posix(), "alt": alt, "caption": alt}


def verdict(chances: dict[str, float]) -> str:
    """A component's chances by kind of blank copy in words.

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


def _panel_note(panel: Panel) -> str:
    stands_out = int((panel.chance <= STANDS_OUT).sum())
    areas = " and ".join(f"{kind.area_cm2:.2f} cm2 of {kind.name} placebo" for kind in panel.blank)
    alone = " and ".join(f"{int((kind.chance <= STANDS_OUT).sum())} of the {kind.name} one" for kind in panel.blank)
    note = (
        f"{stands_out} of {len(panel.real.pieces)} components stand out of both blank copies (chance of being imagined {STANDS_OUT:g} "
        f"or less), {alone} alone, judged on {areas}, for {panel.papyrus_cm2:.2f} cm2 of papyrus. "
        f"The least chance this much placebo could tell is {panel.least_chance:.2g}"
    )
    again = [
        f" The {kind.name} copy's components lie on what was found {kind.on_found / panel.found_share:.1f} times as often as chance "
        "puts them there: it may show the same ink at another depth, and chances are then too high (by_copy holds each copy's own)."
        for kind in panel.seen_again
    ]
    return f"{note}.{''.join(again)}"


def _components_table(panel: Panel) -> Table:
    pieces, order = panel.real.pieces, np.argsort(-panel.real.pieces.strength, kind="stable")
    rows = [
        {
            "component": int(n) + 1,
            "y_px": round(float(pieces.centre_px[n, 0])),
            "x_px": round(float(pieces.centre_px[n, 1])),
            "area_mm2": _digits(pieces.area_mm2[n]),
            "mean_prob": _digits(pieces.mean_prob[n]),
            "strength": _digits(pieces.strength[n]),
            "placebo_per_cm2": _digits(panel.rate[n]),
            "p": _digits(panel.p[n]),
            "chance_imagined": _digits(panel.chance[n]),
            **{f"chance_{kind.name}": _digits(kind.chance[n]) for kind in panel.blank},
            "verdict": verdict({kind.name: float(kind.chance[n]) for kind in panel.blank}),
            "by_copy": {kind.name: _by_copy(kind, int(n)) for kind in panel.kinds},
        }
        for n in order
    ]
    note = (
        "Strongest first. Strength is log-odds above the threshold, added up over the component. The rate counts the component "
        f"itself, so it is never 0. p is the chance that one block of placebo, {panel.block_mm:.1f} mm wide, shows one at least so "
        "strong; it does not know at how many places one looked, the chance of being imagined does. "
        f"All are the worse of {' and '.join(BLANK)}; every copy's own are in by_copy."
    )
    return {"title": "Found components", "note": note, "columns": COMPONENT_COLUMNS, "rows": rows}


def _by_copy(kind: Kind, component: int) -> dict[str, float]:
    return {
        "chance_imagined": _digits(kind.chance[component]),
        "p": _digits(kind.p[component]),
        "placebo_per_cm2": _digits(kind.rate[component]),
    }


def _copies_table(panel: Panel) -> Table:
    said = " ".join(f"{name.capitalize()}: {SAYS[name]}" for name in (SCRAMBLED, REVERSED, SHUFFLED))
    note = (
        f"{said} Tiles of the scrambled copies are {panel.tile_mm:.1f} mm wide: shapes shorter than that are spread over a tile, "
        f"brightness that changes from tile to tile stays. What was found covers {panel.found_share:.3f} of the papyrus: where a "
        "far larger share of a blank copy's components is on it, the run sees the same thing in both, ink at another depth or a crack."
    )
    return {"title": "Copies", "note": note, "columns": COPY_COLUMNS, "rows": [kind.row() for kind in panel.kinds]}


def _planted_table(found: Detectability) -> Table:
    note = (
        f"{_half_said(found)} Letters {found.letter_um / 1000:.2g} mm high, a film of {found.film_vox:g} voxels on the sheet's face, "
        "brighter than the papyrus by the contrast told, raising no relief; found means that "
        f"{FOUND_SHARE:.0%} of a letter's pixels are in the mask. Nobody knows which papyrus of a real fragment is empty: letters lie "
        "where the run found nothing, so at no contrast the share found is 0 by choice, and ink that it missed may lie beneath."
    )
    return {"title": "Planted letters", "note": note, "columns": PLANTED_COLUMNS, "rows": found.rows()}


def _half_said(found: Detectability) -> str:
    half = found.half
    if half.contrast is None:
        strongest = f"{found.contrasts[-1]:g}"
        return f"Less than half was found even at the strongest contrast, {strongest}: this run is blind to fainter ink of this kind."
    if half.is_below:
        return f"More than half was found at the faintest contrast, {half.contrast:g}, already; give fainter ones (--contrasts)."
    low = f"less than {found.contrasts[0]:g}" if half.low is None else f"{half.low:.2g}"
    high = f"more than {found.contrasts[-1]:g}" if half.high is None else f"{half.high:.2g}"
    return f"Half of the letters are found at a contrast of {half.contrast:.2g} (95 % interval: {low} to {high})."


def _found_alt(panel: Panel) -> str:
    stands_out = int((panel.chance <= STANDS_OUT).sum())
    return f"The found components on the papyrus, darker the less likely imagined: {stands_out} of {len(panel.real.pieces)} stand out"


def _null_alt(panel: Panel) -> str:
    return (
        "Components at least so strong per square centimetre: found (black), and in "
        + ", ".join(k.name for k in panel.kinds)
        + " copies"
    )


def _curve_alt(found: Detectability) -> str:
    return "Share of planted letters found over their contrast, with 95 % intervals. " + _half_said(found)


def _map_alt(found: Detectability) -> str:
    missed = int(np.isinf(found.least).sum())
    return (
        f"The least contrast found at each of {len(found.least)} places on the papyrus; {missed} missed every contrast"
    )


def _digits(value: float) -> float:
    """Four significant digits, which keeps what is small from becoming 0."""
    return float(f"{float(value):.4g}")

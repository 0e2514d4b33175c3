"""audit.json: a verdict for each sheet, what each member looks like, and all figures under it."""

from collections.abc import Callable
from pathlib import Path

from pydantic import Field, JsonValue

from scroll.audit.figures import MemberFigures
from scroll.audit.looks import Looks
from scroll.audit.verdict import Verdict
from scroll.runtime.record import ByName, Record, Versioned

NAME, PAGE = "audit.json", "audit.html"


class Table(Record):
    """A table for the page: `columns` (key: heading) names those that it shows of the rows."""

    title: str
    note: str
    columns: dict[str, str]
    rows: tuple[dict[str, JsonValue], ...]


class Picture(Record):
    """A PNG by its path relative to audit.json."""

    path: str
    alt: str


class HalfContrast(Record):
    """The contrast of which half of the planted letters are found; see `ensemble.controls.psychometric.HalfFound`."""

    contrast: float | None
    low: float | None
    high: float | None
    is_below: bool


class Place(Record):
    """Upper left corner of a place where letters were planted, in pixels, and the least contrast found there; None: none was."""

    y_px: int
    x_px: int
    least_contrast: float | None


class Agreement(Record):
    """How the members go together: correlation of log-odds, the effective number, and of what any calls ink, the share that
    exactly 1, 2, ... of them do. `gain_of_each`: what the run's out-of-fold F0.5 is better by with each, where it was fitted."""

    members: tuple[str, ...]
    correlation: tuple[tuple[float, ...], ...]
    effective_number: float
    shares_of_votes: tuple[float, ...]
    gain_of_each: ByName[str] = Field({})


class Facts(Record):
    """What prizes ask for: windows in mm as (y, x), depth in layers and micrometres, and what was trained on.

    `trained_on` by member, empty: not known; `overlap` names the members that were, or may have been, trained on this sheet.
    """

    voxel_um: float
    working_um: float
    window_mm: ByName[tuple[float, float]]
    depth_layers: ByName[tuple[int, int]]
    depth_um: ByName[float]
    trained_on: ByName[tuple[str, ...]]
    overlap: tuple[str, ...]


class SheetAudit(Record):
    """One sheet. All but the first four are empty where it cannot be looked at."""

    id: str
    verdict: Verdict
    notes: tuple[str, ...] = ()
    facts: Facts | None = None
    papyrus_cm2: float = 0.0
    found: int = 0
    stands_out: int = 0
    least_chance: float | None = None
    members: tuple[MemberFigures, ...] = ()
    agreement: Agreement | None = None
    half_found: HalfContrast | None = None
    places: tuple[Place, ...] = ()
    tables: tuple[Table, ...] = ()
    pictures: tuple[Picture, ...] = ()


class Audit(Versioned):
    """The whole file. `looks` by member, over all sheets."""

    command: str
    made_by: dict[str, JsonValue]
    sheets: tuple[SheetAudit, ...]
    looks: ByName[tuple[Looks, ...]]


def picture(path: Path, output: Path, draw: Callable[[Path], None], alt: str) -> Picture:
    """Draw one, and say where it is."""
    draw(path)
    return Picture(path=path.relative_to(output).as_posix(), alt=alt)

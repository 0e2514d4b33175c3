"""marks.json: what a person did with each patch that was asked for, and how long it took; the page of a round saves it."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field

from scroll.errors import InputError
from scroll.rounds.ranking import Asked
from scroll.runtime.files import read_mapping
from scroll.runtime.record import Record, Versioned, as_record

NAME = "marks.json"
SAVE_AGAIN = "save it again from the page of this round"


class Mark(Record):
    """A patch, in full-size pixels, and for how many seconds it was shown."""

    sheet: str
    y: int = Field(ge=0)
    x: int = Field(ge=0)
    edge_px: int = Field(ge=1)
    mark: Literal["done", "skip"]
    seconds: float = Field(ge=0)


class Marks(Versioned):
    """The whole file."""

    round: int
    marks: list[Mark]


def read_marks(path: Path, round_number: int, asked: Sequence[Asked]) -> list[Mark]:
    """The marks of a round, of patches that were `asked` for in it; those that nobody marked are not among them.

    Raises:
        MissingInputError: no such file.
        InputError: something else, of another round, of a sheet or a patch that was not asked for, or a patch that is marked twice.
    """
    hint = "save it with the button of the page, and move it there"
    found = as_record(path, read_mapping(path, hint, round=int, marks=[dict]), Marks, SAVE_AGAIN)
    if found.round != round_number:
        raise InputError(f"{path}: is of round {found.round}; expected round {round_number}: {SAVE_AGAIN}")
    sheets, patches = {one.sheet for one in asked}, {one[:4] for one in asked}
    seen = set()
    for mark in found.marks:
        place = (mark.sheet, mark.y, mark.x, mark.edge_px)
        if mark.sheet not in sheets:
            raise InputError(
                f"{path}: sheet '{mark.sheet}' was not asked about; expected {_some(sheets)}: {SAVE_AGAIN}"
            )
        if place not in patches or place in seen:
            what = "is marked twice" if place in seen else "was not asked for"
            raise InputError(
                f"{path}: the patch of sheet '{mark.sheet}' at y {mark.y}, x {mark.x}, {mark.edge_px} pixels wide, {what}; expected "
                f"those of round {round_number}, each once: {SAVE_AGAIN}"
            )
        seen.add(place)
    return found.marks


def seconds_each(marks: Sequence[Mark]) -> float | None:
    """Mean seconds of a patch that was done; None where none was. What was skipped does not count.

    >>> one = Mark(sheet="a", y=0, x=0, edge_px=8, mark="done", seconds=40)
    >>> seconds_each([one, one.model_copy(update={"seconds": 20}), one.model_copy(update={"mark": "skip", "seconds": 1})])
    30.0
    """
    took = [mark.seconds for mark in marks if mark.mark == "done"]
    return math.fsum(took) / len(took) if took else None


def _some(sheets: set[str]) -> str:
    names = sorted(sheets)
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "") or "none"

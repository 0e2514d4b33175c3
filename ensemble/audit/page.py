"""audit.html: the verdict first, the evidence under it, what to do next; pictures are inside it, and nothing comes from elsewhere."""

from pathlib import Path
from typing import Any

from ensemble.audit.record import PAGE, Audit, SheetAudit, Table
from scroll.audit.looks import Looks, lines_on_looks
from scroll.audit.verdict import BLIND, FOUND, NO_INK, NOT_ASKED, NOT_TOLD
from scroll.report.page import STYLE, rendered, style_and_script, within_budget
from scroll.runtime.files import write_text

MOST_ROWS = 30
MARKS = {FOUND: "●", NOT_TOLD: "◐", NO_INK: "○", BLIND: "✕", NOT_ASKED: "?"}  # told apart without colour


def write_audit_page(audit: Audit, output: Path) -> Path:
    """Write <output>/audit.html and return its path; the pictures that audit.json names lie below `output`."""
    sources = within_budget([output / one.path for sheet in audit.sheets for one in sheet.pictures])
    sheets = [
        _for_page(sheet, dict(audit.looks), {one.path: sources[output / one.path] for one in sheet.pictures})
        for sheet in audit.sheets
    ]
    content: dict[str, Any] = {
        "sheets": sheets,
        "odd": lines_on_looks(audit.looks),
        "has_members": bool(audit.looks),
        "command": audit.command,
        "most_rows": MOST_ROWS,
        "marks": MARKS,
        **style_and_script([STYLE], []),
    }
    write_text(output / PAGE, rendered("audit.html.j2", content))
    return output / PAGE


def _for_page(sheet: SheetAudit, looks: dict[str, tuple[Looks, ...]], sources: dict[str, str]) -> dict[str, Any]:
    tables = [_with_looks(table, looks) if table.title == "Members" else table for table in sheet.tables]
    pictures = [{"source": sources[one.path], "alt": one.alt} for one in sheet.pictures]
    return {"sheet": sheet, "tables": tables, "pictures": pictures}


def _with_looks(table: Table, looks: dict[str, tuple[Looks, ...]]) -> Table:
    rows = tuple(row | {"looks": "; ".join(one.kind for one in looks.get(str(row["name"]), ()))} for row in table.rows)
    return table.model_copy(update={"rows": rows})

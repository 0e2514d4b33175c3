"""The tables of the page: scores on the held-out data, out-of-fold figures by fold, and the receipts."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeGuard

from scroll.metrics.held_out import F05, HeldOut
from scroll.report.score_record import SHOWN, OutOfFold, Row, Scores
from scroll.runtime.files import read_mapping
from scroll.runtime.reading import reading
from scroll.runtime.receipt import NAME

LISTED = 200  # receipts


def score_table(scores: Scores) -> list[dict[str, Any]]:
    """Rows for the table: name, kind, cells as text, and whether it is the row that is highest in what rows are judged by."""
    best_by = scores.best_by
    rows: tuple[Row, ...] = scores.rows
    judged = [getattr(row, best_by, None) for row in rows]
    best = max(filter(is_number, judged), default=None)
    return [
        {
            "name": row.label,
            "kind": row.kind,
            "cells": [cell(row, key, best_by) for key in scores.columns],
            "is_best": best is not None and value == best,
        }
        for row, value in zip(rows, judged, strict=True)
    ]


def bought(scores: Scores) -> str:
    """What the blend that is submitted gains over the best single network, in one sentence; empty where that is not known."""
    rows: tuple[Row, ...] = scores.rows
    blend = next(
        (row for row in rows if row.kind == "submitted"), next((row for row in rows if row.name == SHOWN), None)
    )
    gain = blend.gain if blend else None
    single = next((row for row in rows if gain and row.name == gain.over), None)
    if blend is None or gain is None or single is None or single.name == blend.name:
        return ""
    of, found, alone = (
        scores.columns.get(scores.best_by, scores.best_by),
        *(getattr(r, scores.best_by) for r in (blend, single)),
    )
    change = f"{signed(gain.difference)}, 95 % interval {signed(gain.low)} to {signed(gain.high)}"
    return f"{BOUGHT[gain.verdict]}: {of} {found:.3f} against {alone:.3f} of {single.name}, the best single network ({change})."


BOUGHT = {
    "better": "What the ensemble buys",
    "worse": "The ensemble loses here",
    "inside noise": "The ensemble buys nothing here that chance would not",
}


def cell(row: Row, key: str, best_by: str) -> str:
    """A number, an interval, a gain with its verdict, or a dash where there is none."""
    low, high = (getattr(row, f"{best_by}_{end}", None) for end in ("low", "high"))
    if key == "interval" and is_number(low) and is_number(high):
        return f"{low:.3f}–{high:.3f}"
    if key == "gain" and row.gain is not None and row.gain.over != row.name:
        return f"{signed(row.gain.difference)} {row.gain.verdict}"
    if key == "without" and row.without is not None:
        return f"{signed(row.without.difference)} {EARNED[row.without.verdict]}"
    return number(getattr(row, "scrolls", {}).get(key, getattr(row, key, None)))


def number(value: Any) -> str:
    """To three digits, or a dash where it is none."""
    return f"{value:.3f}" if is_number(value) else "–"


def figure(value: Any) -> str:
    """A cell of any table: numbers to three digits, so that what is small does not become 0; a dash for what is unknown.

    >>> figure(0.00123456), figure(7), figure("found"), figure(None)
    ('0.00123', '7', 'found', '–')
    """
    if value is None:
        return "–"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def signed(number: float, digits: int = 3) -> str:
    """A difference with its sign, the minus as wide as the plus.

    >>> signed(0.0512), signed(-0.0512)
    ('+0.051', '−0.051')
    """
    return f"{number:+.{digits}f}".replace("-", "−")


EARNED = {"better": "earns its place", "worse": "harms", "inside noise": "inside noise"}


def is_number(value: Any) -> TypeGuard[float]:
    """Whether it is a number, and not NaN, which is not itself."""
    return isinstance(value, int | float) and value == value


def fold_table(of: OutOfFold) -> dict[str, Any]:
    """Predictors by metrics and folds: "heads" (metric, columns), "folds" and what each held out, "rows" with cells as text."""
    if not of.by_fold:
        return {}
    rows = []
    for name, one in of.by_fold.items():
        cells = [number(figures.get(key)) for key in of.metrics for figures in [*one.folds, one.all]]
        rows.append({"name": name, "cells": cells})
    return {
        "heads": list(of.metrics.values()), "columns": [*(f"fold {fold.fold}" for fold in of.folds), "all"],
        "held": [{"fold": fold.fold, "pieces": some(fold.pieces), "many": len(fold.pieces) > 1} for fold in of.folds],
        "rows": rows, "of": of.of,
    }  # fmt: skip


def held_out_table(found: HeldOut | None) -> dict[str, Any]:
    """Predictors by sheets with a validation mask: "heads", "rows" with cells as text, the best of them marked, "blocks"."""
    if found is None or not found.rows:
        return {}
    best = max(row.all.f05 for row in found.rows.values())
    rows = [
        {
            "name": name,
            "cells": [_with_interval(one) for one in (row.all, *row.sheets.values())],
            "is_best": row.all.f05 == best,
        }
        for name, row in found.rows.items()
    ]
    return {"heads": ["all", *found.sheets], "rows": rows, "blocks": found.blocks}


def _with_interval(one: F05) -> str:
    return f"{one.f05:.3f} ({one.low:.3f}–{one.high:.3f})"


def some(names: Sequence[str], most: int = 8) -> str:
    """Names in a row, of many the first.

    >>> some(["a", "b", "c"], most=2)
    'a, b and 1 more'
    """
    left = len(names) - most
    return ", ".join(names[:most]) + (f" and {left} more" if left > 0 else "")


def receipts(folders: Sequence[Path]) -> list[dict[str, str]]:
    """What was made, from what, by which code: a row a receipt below the folders, as text; at most `LISTED`."""
    paths = sorted({path for folder in folders for path in folder.rglob(NAME)})
    return [_receipt_row(path) for path in paths[:LISTED]]


def _receipt_row(path: Path) -> dict[str, str]:
    with reading(path, "a receipt", "delete its folder and run the step that made it again"):
        return _as_row(path, read_mapping(path))


def _as_row(path: Path, receipt: dict[str, Any]) -> dict[str, str]:
    made_by = receipt.get("made_by", {})
    code = made_by.get("code", {})
    weights = receipt.get("weights", {})
    hashes = list(weights.values()) if isinstance(weights, dict) else [str(weights)]
    commit = code.get("commit", "")[:10]
    return {
        "folder": str(path.parent), "key": str(receipt.get("key", "–")), "data": _data(receipt.get("data", "–")),
        "weights": ", ".join(hashes) or "–",
        "code": (commit or code.get("version", "–")) + (" + changes" if code.get("is_changed") else ""),
    }  # fmt: skip


def _data(data: Any) -> str:
    """A hash; of a training the pieces with the beginnings of theirs."""
    if not isinstance(data, dict):
        return str(data)
    hashes = {name: keys if isinstance(keys, list) else [keys] for name, keys in data.items()}
    return some([f"{name} {'+'.join(str(key)[:8] for key in keys)}" for name, keys in hashes.items()], most=3)


def made_with(folders: Sequence[Path]) -> str:
    """Python, machine and the packages whose arithmetic decides a result, as the newest receipt says; empty where there is none."""
    paths = sorted(
        (path for folder in folders for path in folder.rglob(NAME)), key=lambda path: path.stat().st_mtime_ns
    )
    made_by = read_mapping(paths[-1]).get("made_by") if paths else None
    if not isinstance(made_by, dict) or not isinstance(made_by.get("packages", {}), dict):
        return ""
    packages = ", ".join(f"{name} {number}" for name, number in made_by.get("packages", {}).items())
    return f"Python {made_by.get('python')} on {made_by.get('machine')}; {packages}"

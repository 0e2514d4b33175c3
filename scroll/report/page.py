"""One self-contained HTML page out of a run folder and its predictions: what came out, how, and what it looks like."""

import base64
import io
import re
from pathlib import Path
from typing import Any

from scroll.files import read_json, write_text
from scroll.report.curves import curve_svg, read_histories
from scroll.report.pictures import LEGEND, MAX_WIDTH_PX

PICTURE_BUDGET_BYTES = 13_000_000  # as base64 a third more: the page stays below 20 MB
NOTE = "A phantom score shows that the pipeline works and is no evidence about real scrolls."
TEMPLATE = "page.html.j2"
COLUMNS = {
    "f05": "F0.5",
    "interval": "95 % interval",
    "gain": "Gain over the best member",
    "f05_mean": "Mean F0.5",
    "precision": "Precision",
    "recall": "Recall",
    "ap": "AP",
    "auc": "AUC",
    "surface_dice": "Surface Dice",
    "threshold": "Threshold",
    "weight": "Weight",
}


def write_report(run_dir: Path, output_dir: Path) -> Path:
    """Write `<output_dir>/report.html` and return its path.

    The page takes title, note, table and commands from `<output_dir>/score.json`, the curves from every
    `history.jsonl` below `run_dir`, and every `<output_dir>/<fragment>/pictures/*.png` in the order of the names. It
    needs nothing from elsewhere: pictures are inside it, shrunk if all together they are too many. What is missing is
    said on it.

    Raises:
        InputError: score.json or a history is there but cannot be read.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    score_path = output_dir / "score.json"
    score = read_json(score_path) if score_path.exists() else {}
    columns, thing = score.get("columns", COLUMNS), score.get("thing", "ink")
    settings = run_dir / "settings.yaml"
    loader = FileSystemLoader(Path(__file__).parent)
    page = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    html = page.get_template(TEMPLATE).render(
        title=score.get("title") or f"Report of {run_dir.name}",
        note=score.get("note") or NOTE,
        columns=columns,
        rows=_table(score.get("rows", []), columns, score.get("best_by", "f05")),
        blocks=score.get("blocks", {}),
        commands=score.get("commands", []),
        curves=_curves(run_dir),
        fragments=_fragments(output_dir, score.get("fragments", [])),
        legend={name.replace("ink", thing): f"rgb{colour}" for name, colour in LEGEND.items()},
        piece=score.get("piece", "Fragment"),
        atlas=score.get("atlas", {}),
        hint=score.get("hint", ""),
        settings=settings.read_text(encoding="utf-8") if settings.exists() else "",
        score_path=score_path,
        run_dir=run_dir,
        output_dir=output_dir,
    )
    write_text(output_dir / "report.html", html)
    return output_dir / "report.html"


def _table(rows: list[dict[str, Any]], columns: dict[str, str], best_by: str) -> list[dict[str, Any]]:
    """Rows for the table: name, kind, cells as text, and whether it is the row that is highest in `best_by`."""
    best = max((row[best_by] for row in rows if _is_number(row.get(best_by))), default=None)
    return [
        {
            "name": row.get("name", ""),
            "kind": row.get("kind", ""),
            "cells": [_cell(row, key, best_by) for key in columns],
            "is_best": best is not None and row.get(best_by) == best,
        }
        for row in rows
    ]


def _cell(row: dict[str, Any], key: str, best_by: str) -> str:
    """A number, an interval, a gain with its verdict, or a dash where there is none."""
    if key == "interval" and _is_number(row.get(f"{best_by}_low")) and _is_number(row.get(f"{best_by}_high")):
        return f"{row[f'{best_by}_low']:.3f}–{row[f'{best_by}_high']:.3f}"
    if key == "gain" and isinstance(row.get("gain"), dict) and row["gain"].get("over") != row.get("name"):
        return f"{row['gain']['difference']:+.3f} {row['gain']['verdict']}"
    return f"{row[key]:.3f}" if _is_number(row.get(key)) else "–"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and value == value  # NaN is not itself


def _curves(run_dir: Path) -> list[dict[str, str]]:
    return [
        {
            "source": _as_source(curve_svg(trained, histories), "image/svg+xml"),
            "alt": f"Learning curves of {trained}: training and validation loss over step, {len(histories)} fold(s)",
        }
        for trained, histories in read_histories(run_dir).items()
    ]


def _fragments(output_dir: Path, named: list[str]) -> list[dict[str, Any]]:
    """Each fragment, those of the score first, with its pictures in the order of their names."""
    with_pictures = sorted(path.parent.name for path in output_dir.glob("*/pictures") if path.is_dir())
    names = list(dict.fromkeys([*named, *with_pictures]))
    paths = {name: sorted((output_dir / name / "pictures").glob("*.png"), key=_in_name_order) for name in names}
    sources = _within_budget([path for of_fragment in paths.values() for path in of_fragment])
    return [
        {
            "name": name,
            "pictures": [
                {"source": sources[path], "caption": caption(path), "is_errors": "errors" in path.stem}
                for path in paths[name]
            ],
        }
        for name in names
    ]


def caption(path: Path) -> str:
    """What a picture's file name says of it.

    >>> caption(Path("pictures/1_ct_layer_32.png"))
    'ct layer 32'
    """
    return re.sub(r"^\d+[_-]", "", path.stem).replace("_", " ")


def _in_name_order(path: Path) -> list[tuple[int, str]]:
    """So that 2 comes before 10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", path.name)]


def _within_budget(paths: list[Path]) -> dict[Path, str]:
    """Pictures as data URLs; all are made narrower by the same steps until together they fit the page."""
    width, pictures = MAX_WIDTH_PX, {path: path.read_bytes() for path in paths}
    while sum(map(len, pictures.values())) > PICTURE_BUDGET_BYTES and width > 100:
        width = width * 3 // 4
        pictures = {path: _narrowed(path, width) for path in paths}
    return {path: _as_source(picture, "image/png") for path, picture in pictures.items()}


def _narrowed(path: Path, width: int) -> bytes:
    from PIL import Image

    shrunk = io.BytesIO()
    with Image.open(path) as picture:
        size = (width, max(1, round(picture.height * width / picture.width)))
        (picture.resize(size, Image.Resampling.BOX) if picture.width > width else picture).save(shrunk, format="PNG")
    return shrunk.getvalue()


def _as_source(content: bytes, media_type: str) -> str:
    return f"data:{media_type};base64,{base64.b64encode(content).decode('ascii')}"

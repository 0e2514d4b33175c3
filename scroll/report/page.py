"""One self-contained HTML page out of a run folder and its predictions: what came out, how, and what it looks like."""

import base64
import hashlib
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scroll.report.charts import reliability_svg, sweep_svg
from scroll.report.curves import curve_svg, read_histories
from scroll.report.pictures import FOUND, INVENTED, LEGEND, MAX_WIDTH_PX, MISSED, NOT_SCORED, SHEET_COLOURS
from scroll.report.score_record import NAME, REMEDY, InkScores, OutOfFold, Scores, read_scores
from scroll.report.tables import bought, figure, fold_table, held_out_table, made_with, receipts, score_table, signed
from scroll.report.tiles import LABEL_COLOUR, PROB_COLOUR
from scroll.runtime.bounded import plain_file
from scroll.runtime.files import read_mapping, write_text
from scroll.runtime.reading import reading

PICTURE_BUDGET_BYTES = 5_000_000  # as base64 a third more, beside the viewer's 8 million: the page stays below 20 MB
PAGE_BUDGET_BYTES = 20_000_000
HERE = Path(__file__).parent
TEMPLATE, STYLE = "page.html.j2", "page.css"
AUDIT = "audit.html"
SCRIPTS = {"flat": "flat_viewer.js", "volume": "volume_viewer.js"}
SWEPT = {
    "f05": "F0.5", "score": "score", "precision": "precision", "recall": "recall", "topo": "topology", "surface_dice": "surface Dice",
    "voi_score": "VOI score",
}  # fmt: skip


def write_report(run_dir: Path, output_dir: Path) -> Path:
    """Write `<output_dir>/report.html` and return its path.

    The page takes title, note, tables, curves, patches and commands from `<output_dir>/score.json`, the learning curves from
    every `history.jsonl` below `run_dir`, what its viewer shows from `<output_dir>/<fragment>/view.json`, and every
    `<output_dir>/<fragment>/pictures/*.png` in the order of the names; a link to audit.html,
    where that is there. It needs nothing from elsewhere: pictures are inside
    it, shrunk if all together they are too many. What is missing is said on it.

    Raises:
        InputError: score.json or a history is there but cannot be read.
    """
    from jinja2 import TemplateError

    expected = "scores and views as this version writes them"
    with reading(output_dir, expected, "delete what is damaged and write it again", also=(TemplateError,)):
        html = rendered(TEMPLATE, _content(run_dir, output_dir))
    write_text(output_dir / "report.html", html)
    return output_dir / "report.html"


def rendered(template: str, content: Mapping[str, Any]) -> str:
    """A page by its template; all that it shows is escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    page = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    page.filters |= {"signed": signed, "figure": figure}
    return page.get_template(template).render(**content)


def style_and_script(styles: Sequence[str], scripts: Sequence[str]) -> dict[str, str]:
    """The style and the script of a page by the names of their files, and the hash by which a browser knows the script."""
    style, script = ("\n".join((HERE / name).read_text("utf-8") for name in names) for names in (styles, scripts))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return {"style": style, "script": script, "script_hash": digest}


def _content(run_dir: Path, output_dir: Path) -> dict[str, Any]:
    """All that the template shows."""
    score_path, settings = output_dir / NAME, run_dir / "settings.yaml"
    scores = read_scores(output_dir) or InkScores()
    with reading(score_path, "a score as ensemble/predict.py writes it", REMEDY):
        views = _views(output_dir, scores.fragments)
        scored = _about(scores, run_dir) | _for_page(output_dir, scores)
    kind = next((view["kind"] for view in views.values()), "")
    scripts = ("viewer.js", SCRIPTS[kind], "page.js") if kind else ()
    return (
        scored
        | style_and_script([STYLE], scripts)
        | {
            "viewer": kind,
            "views": {"names": list(views), "views": views, "colours": _colours()},
            "curves": [
                (trained, curve_svg(trained, histories)) for trained, histories in read_histories(run_dir).items()
            ],
            "receipts": receipts([run_dir, output_dir]),
            "made_with": made_with([run_dir, output_dir]),
            "settings": plain_file(settings).read_text(encoding="utf-8", errors="replace") if settings.exists() else "",
            "score_path": score_path,
            "run_dir": run_dir,
            "output_dir": output_dir,
        }
    )


def _about(scores: Scores, run_dir: Path) -> dict[str, Any]:
    """Title, tables, curves and commands of a score, or what stands for them."""
    return {
        "title": scores.title or f"Report of {run_dir.name}",
        "note": scores.note,
        "bought": bought(scores),
        "columns": scores.columns,
        "rows": score_table(scores),
        "folds": fold_table(scores.out_of_fold),
        "held_out": held_out_table(scores.held_out),
        "charts": _charts(scores.out_of_fold, scores.thing),
        "blocks": scores.blocks,
        "commands": scores.commands,
        "thing": scores.thing,
        "piece": scores.piece,
        "atlas": scores.atlas,
        "hint": scores.hint,
        "legend": {name.replace("ink", scores.thing): f"rgb{colour}" for name, colour in LEGEND.items()},
        "colours": {name: f"rgb{colour}" for name, colour in (("label", LABEL_COLOUR), ("prediction", PROB_COLOUR))},
    }


def _for_page(output_dir: Path, scores: Scores) -> dict[str, Any]:
    """Still pictures of every fragment, and the patches, all within the budget."""
    names, paths = _pictures(output_dir, scores.fragments)
    of_patches = [output_dir / path for one in scores.patches for cuts in one.cuts.values() for path in cuts.values()]
    of_all = (path for of_fragment in paths.values() for path in of_fragment)
    sources = within_budget([*of_patches, *of_all])
    inside = [
        {axis: {name: sources[output_dir / path] for name, path in cuts.items()} for axis, cuts in one.cuts.items()}
        for one in scores.patches
    ]
    patches = [one.model_copy(update={"cuts": cuts}) for one, cuts in zip(scores.patches, inside, strict=True)]
    fragments = [
        {
            "name": name,
            "pictures": [
                {"source": sources[path], "caption": caption(path), "is_errors": "errors" in path.stem}
                for path in paths[name]
            ],
        }
        for name in names
    ]
    return {"patches": patches, "fragments": fragments, "audit": AUDIT if (output_dir / AUDIT).exists() else ""}


def _charts(out_of_fold: OutOfFold, thing: str) -> list[dict[str, str]]:
    """Sweep and reliability of every predictor that has them, the one that is shown first of all first."""
    found = []
    for name in sorted(out_of_fold.curves, key=lambda name: name != out_of_fold.shown):
        one = out_of_fold.curves[name]
        labels = {key: label for key, label in SWEPT.items() if getattr(one.sweep, key)}
        found.append(
            {
                "name": name,
                "sweep": sweep_svg(name, dict(one.sweep), labels, one.threshold, out_of_fold.swept),
                "reliability": reliability_svg(
                    name, one.reliability, thing, "voxels" if thing == "surface" else "pixels"
                ),
            }
        )
    return found


def _views(output_dir: Path, named: Sequence[str]) -> dict[str, Any]:
    """What the viewer holds, in the order of the score, as long as the page stays within its size."""
    views: dict[str, Any] = {}
    left = PAGE_BUDGET_BYTES - PICTURE_BUDGET_BYTES * 3 // 2
    for name in named:
        path = output_dir / name / "view.json"
        if path.exists() and path.stat().st_size <= left:
            views[name] = read_mapping(path, kind=str)
            left -= path.stat().st_size
    return views


def _colours() -> dict[str, Any]:
    """The colours that a script lays over the CT."""
    return {
        "sheets": SHEET_COLOURS, "label": LABEL_COLOUR, "found": FOUND, "invented": INVENTED, "missed": MISSED, "unknown": NOT_SCORED,
    }  # fmt: skip


def _pictures(output_dir: Path, named: Sequence[str]) -> tuple[list[str], dict[str, list[Path]]]:
    """Fragments, those of the score first, and the pictures of each in the order of their names."""
    with_pictures = sorted(path.parent.name for path in output_dir.glob("*/pictures") if path.is_dir())
    names = list(dict.fromkeys([*named, *with_pictures]))
    return names, {name: sorted((output_dir / name / "pictures").glob("*.png"), key=_in_name_order) for name in names}


def caption(path: Path) -> str:
    """What a picture's file name says of it.

    >>> caption(Path("pictures/1_ct_layer_32.png"))
    'ct layer 32'
    """
    return re.sub(r"^\d+[_-]", "", path.stem).replace("_", " ")


def _in_name_order(path: Path) -> list[tuple[int, str]]:
    """So that 2 comes before 10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", path.name)]


def within_budget(paths: list[Path]) -> dict[Path, str]:
    """Pictures as data URLs; all are made narrower by the same steps until together they fit the page."""
    width, pictures = MAX_WIDTH_PX, {path: plain_file(path).read_bytes() for path in paths}
    while sum(map(len, pictures.values())) > PICTURE_BUDGET_BYTES and width > 100:
        width = width * 3 // 4
        pictures = {path: _narrowed(path, width) for path in paths}
    return {path: _as_source(picture, "image/png") for path, picture in pictures.items()}


def _narrowed(path: Path, width: int) -> bytes:
    from PIL import Image

    shrunk = io.BytesIO()
    with Image.open(path, formats=["PNG"]) as picture:
        size = (width, max(1, round(picture.height * width / picture.width)))
        (picture.resize(size, Image.Resampling.BOX) if picture.width > width else picture).save(shrunk, format="PNG")
    return shrunk.getvalue()


def _as_source(content: bytes, media_type: str) -> str:
    return f"data:{media_type};base64,{base64.b64encode(content).decode('ascii')}"

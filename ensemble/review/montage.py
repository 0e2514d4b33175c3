"""What a finished run predicted, as the rows of a montage: CT, probability, and what is right and wrong where there is a label."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensemble.ink.inputs import input_sheets
from ensemble.score import read_truth
from ensemble.surface.predict import CubeRun
from ensemble.surface.predictors import Blended, as_pairs
from scroll.config.schema import Settings
from scroll.data.cubes import find_cubes, read_cube_label, tiff_named
from scroll.data.fragments import Fragment
from scroll.data.labels import SURFACE_IGNORE
from scroll.errors import MissingInputError
from scroll.report.cube_pictures import AXES, coloured
from scroll.report.cube_volume import sheet_colours
from scroll.report.montage import Montage, Panel, Row
from scroll.report.pictures import FOUND, LEGEND, NEITHER, error_colours
from scroll.report.score_record import NAME, REMEDY, CubesScores, Scores, read_scores
from scroll.runtime.files import read_mapping
from scroll.runtime.reading import reading
from scroll.runtime.receipt import NAME as RECEIPT
from scroll.runtime.receipt import read_receipt
from scroll.volumes import open_volume
from scroll.volumes.flat_picture import read_image
from scroll.volumes.masks import INK, files_beside, read_mask_png

HINT = "predict with this run first: python ensemble/predict.py"
PREDICTED = {"predicted": FOUND, "not predicted": NEITHER}
SURFACE_LEGEND = {name.replace("ink", "surface"): colour for name, colour in LEGEND.items()}
SCALE = (0.0, 1.0)
SHEETS = "submitted, each sheet in a colour"


def predicted_names(settings: Settings, predicted: Path) -> list[str]:
    """Ids of the fragments or cubes that are predicted in `predicted`, sorted.

    Raises:
        MissingInputError: there are none.
    """
    if settings.data.kind == "cubes":
        names = [path.stem for path in (predicted / "masks").glob("*.json") if path.with_suffix(".tif").exists()]
    else:
        names = [path.parents[1].name for path in predicted.glob("*/ensemble/ink_mask.png")]
    if not names:
        raise MissingInputError(f"{predicted}: holds no prediction; {HINT}")
    return sorted(names)


def montage_of(settings: Settings, predicted: Path, names: Sequence[str], truth: Path | None) -> Montage:
    """The montage of the fragments or cubes called `names` in `predicted`; `truth` holds their labels, if there are any.

    Raises:
        MissingInputError: one of them, its label, or the CT that it was predicted from is not there.
    """
    is_of_cubes = settings.data.kind == "cubes"
    rows_of = _rows_of_cube if is_of_cubes else _rows_of_sheet
    rows = [row for name in names for row in rows_of(settings, predicted, name, truth)]
    scores = read_scores(predicted)
    legend = (SURFACE_LEGEND if is_of_cubes else LEGEND) if truth else PREDICTED
    with reading(predicted / NAME, "a score as ensemble/predict.py writes it", REMEDY):
        heading = f"{settings.run_dir.name}: {_scored(settings, scores) if scores else 'prediction'}"
    return Montage(heading, rows, scores.note if scores else "", dict(legend))


def _scored(settings: Settings, scores: Scores) -> str:
    """The score of what is submitted, in a few words."""
    if isinstance(scores, CubesScores):
        route = CubeRun(settings, settings.run_dir).fit.route
        row = {row.name: row for row in scores.rows}.get(route, scores.rows[-1])
        return _with_interval("surface score", row.score, row.score_low, row.score_high)
    blend = {row.name: row for row in scores.rows}["ensemble"]
    return _with_interval("ink, F0.5", blend.f05, blend.f05_low, blend.f05_high)


def _with_interval(what: str, score: float, low: float | None, high: float | None) -> str:
    known = "" if low is None or high is None else f" (95 % interval {low:.3f} to {high:.3f})"
    return f"{what} {score:.3f}{known}"


def _rows_of_sheet(settings: Settings, predicted: Path, name: str, truth: Path | None) -> list[Row]:
    folder = predicted / name
    receipt = read_receipt(folder / "stage2", HINT)
    with reading(folder / "stage2" / RECEIPT, "where its input lies", HINT):
        (sheet,) = input_sheets(settings, Path(receipt["source"]))
    if isinstance(sheet, Fragment):
        sheet = replace(sheet, is_flipped=receipt["is_flipped"], shift_layers=receipt["shift_layers"])
    mask = read_mask_png(folder / "ensemble" / "ink_mask.png", sheet.shape_yx)
    prob = read_image(folder / "ensemble" / "ink_prob.tif")
    panels = [Panel("CT at the sheet's centre", sheet.picture()), Panel("probability of ink", prob, (0.0, 255.0))]
    if truth is None:
        panels.append(Panel("what is submitted", mask.astype(np.uint8), SCALE))
    else:
        label = read_truth(sheet, truth / sheet.id)
        panels.append(Panel("label", label.target.astype(np.uint8), SCALE))
        panels.append(Panel("what is submitted, against the label", error_colours(mask, label.target, ~label.ignore)))
    return [Row(f"fragment {sheet.id}", panels, sheet.pixel_um)]


def _rows_of_cube(settings: Settings, predicted: Path, cube_id: str, truth: Path | None) -> list[Row]:
    """Two rows: a cut across z and one across x, each where most is labelled (or predicted)."""
    note = predicted / "masks" / f"{cube_id}.json"
    views = read_mapping(note, HINT, views={str: int})["views"]
    receipt = read_receipt(predicted / next(iter(views)) / cube_id, HINT)
    with reading(note, "a note of where its input lies", HINT):
        (cube,) = find_cubes(Path(receipt["source"]), settings.data, [cube_id], part="test")
    cube_run = CubeRun(settings, predicted)
    weights = {name: cube_run.weights.get(name, 0.0) for name in views}
    weights = weights if any(weights.values()) else dict.fromkeys(weights, 1.0)
    mask = np.asarray(open_volume(str(note.with_suffix(".tif")))[...]) > 0
    label = None if truth is None else read_cube_label(truth, cube_id)
    volumes = {
        "CT": np.asarray(open_volume(str(cube.image))[...]),
        "probability of the surface": Blended(cube_run.where, as_pairs(weights), cube_id)(),
        SHEETS: sheet_colours(mask),
        "mask": mask,
    }
    return [_cut(f"cube {cube_id}", volumes, label, axis, cube.pixel_um) for axis in (0, 2)]


def _cut(name: str, volumes: dict[str, NDArray[Any]], label: NDArray[Any] | None, axis: int, voxel_um: float) -> Row:
    surface = volumes["mask"] if label is None else label == 1
    place = int(np.argmax(surface.sum(axis=tuple(other for other in range(3) if other != axis))))
    cuts = {title: np.take(volume, place, axis) for title, volume in volumes.items()}
    mask = cuts.pop("mask")
    panels = []
    for title, cut in cuts.items():
        is_sheets = title == SHEETS
        panels.append(Panel(title, coloured(cut) if is_sheets else cut, SCALE if cut.dtype.kind == "f" else None))
    if label is not None:
        drawn = np.take(label, place, axis)
        errors = error_colours(mask, drawn == 1, drawn != SURFACE_IGNORE)
        panels.append(Panel("what is submitted, against the label", errors))
    return Row(f"{name}, {AXES[axis]} = {place}", panels, voxel_um)


def labels_beside(settings: Settings, names: Sequence[str]) -> Path | None:
    """The folder `heldout` of a phantom's data, where it holds the label of every one of `names`."""
    folder = settings.data.root / "heldout"
    if settings.data.kind == "cubes":
        is_there = [tiff_named(folder, name).is_file() for name in names]
    else:
        is_there = [bool(files_beside([folder / name], name, INK)) for name in names]
    return folder if is_there and all(is_there) else None

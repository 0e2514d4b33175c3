"""The rows of a montage of cubes: cuts across z and x of CT, probability, submitted sheets, and what is right and wrong."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensemble.surface.predict import CubeRun
from ensemble.surface.predictors import Blended, as_pairs
from scroll.config.schema import Settings
from scroll.data.cubes import find_cubes, read_cube_label, tiff_named
from scroll.data.labels import SURFACE_IGNORE
from scroll.report.cube_pictures import AXES, coloured
from scroll.report.cube_volume import sheet_colours
from scroll.report.montage import SCALE, Panel, Row, with_interval
from scroll.report.pictures import LEGEND as OF_INK
from scroll.report.pictures import error_colours
from scroll.report.score_record import CubesScores
from scroll.runtime.files import read_mapping
from scroll.runtime.reading import reading
from scroll.runtime.receipt import read_receipt
from scroll.volumes import open_volume

HINT = "predict with this run first: python ensemble/predict.py"
COUNT = 1
LEGEND = {name.replace("ink", "surface"): colour for name, colour in OF_INK.items()}
SHEETS = "submitted, each sheet in a colour"


def names_in(predicted: Path) -> list[str]:
    """Ids of the cubes that are predicted in `predicted`."""
    return [path.stem for path in (predicted / "masks").glob("*.json") if path.with_suffix(".tif").exists()]


def mask_of(predicted: Path, name: str) -> Path:
    """Where the mask of a cube is."""
    return predicted / "masks" / f"{name}.tif"


def has_labels(folder: Path, names: Sequence[str]) -> bool:
    """Whether `folder` holds the label of every one of these cubes."""
    return all(tiff_named(folder, name).is_file() for name in names)


def scored(settings: Settings, score: CubesScores) -> str:
    """The score of the route that is submitted, in a few words."""
    route = CubeRun(settings, settings.run_dir).fit.route
    row = {row.name: row for row in score.rows}.get(route, score.rows[-1])
    return with_interval("surface score", row.score, row.score_low, row.score_high)


def rows_of(settings: Settings, predicted: Path, cube_id: str, truth: Path | None) -> list[Row]:
    """Two rows: a cut across z and one across x, each where most is labelled (or predicted)."""
    note = predicted / "masks" / f"{cube_id}.json"
    views = read_mapping(note, HINT, views={str: int})["views"]
    receipt = read_receipt(predicted / next(iter(views)) / cube_id, HINT)
    with reading(note, "a note of where its input is", HINT):
        (cube,) = find_cubes(Path(str(receipt["source"])), settings.data, [cube_id], part="test")
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

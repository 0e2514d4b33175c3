"""The rows of a montage of fragments and segments: CT, probability, and what is right and wrong where there is a label."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ensemble.ink.score import read_truth
from ensemble.request import input_sheets
from scroll.config.schema import Settings
from scroll.data.fragments import Fragment
from scroll.report.montage import PROBABILITY, SCALE, Panel, Row, with_interval
from scroll.report.pictures import LEGEND, error_colours
from scroll.report.score_record import InkScores
from scroll.runtime.reading import reading
from scroll.runtime.receipt import NAME as RECEIPT
from scroll.runtime.receipt import read_receipt
from scroll.volumes.flat_picture import read_image
from scroll.volumes.masks import INK, files_beside, read_mask_png

HINT = "predict with this run first: python ensemble/predict.py"
COUNT = 2
__all__ = ["COUNT", "LEGEND", "has_labels", "mask_of", "names_in", "rows_of", "scored"]


def names_in(predicted: Path) -> list[str]:
    """Ids of the sheets that are predicted in `predicted`."""
    return [path.parents[1].name for path in predicted.glob("*/ensemble/ink_mask.png")]


def mask_of(predicted: Path, name: str) -> Path:
    """Where the mask of a sheet is."""
    return predicted / name / "ensemble" / "ink_mask.png"


def has_labels(folder: Path, names: Sequence[str]) -> bool:
    """Whether `folder` holds the ink label of every one of these sheets."""
    return all(files_beside([folder / name], name, INK) for name in names)


def scored(settings: Settings, score: InkScores) -> str:
    """The ensemble's score, in a few words."""
    row = {row.name: row for row in score.rows}["ensemble"]
    return with_interval("ink, F0.5", row.f05, row.f05_low, row.f05_high)


def rows_of(settings: Settings, predicted: Path, name: str, truth: Path | None) -> list[Row]:
    """One row; its label is read from `truth`, where that is given."""
    folder = predicted / name
    receipt = read_receipt(folder / "stage2", HINT)
    with reading(folder / "stage2" / RECEIPT, "where its input is", HINT):
        (sheet,) = input_sheets(settings, Path(str(receipt["source"])))
    if isinstance(sheet, Fragment):
        sheet = replace(sheet, is_flipped=receipt["is_flipped"], shift_layers=receipt["shift_layers"])
    mask = read_mask_png(mask_of(predicted, name), sheet.shape_yx)
    prob = read_image(folder / "ensemble" / "ink_prob.tif")
    panels = [Panel("CT at the sheet's centre", sheet.picture()), Panel("probability of ink", prob, PROBABILITY)]
    if truth is None:
        panels.append(Panel("what is submitted", mask.astype(np.uint8), SCALE))
    else:
        label = read_truth(sheet, truth / sheet.id)
        panels.append(Panel("label", label.target.astype(np.uint8), SCALE))
        panels.append(Panel("what is submitted, against the label", error_colours(mask, label.target, ~label.ignore)))
    return [Row(f"{settings.data.kind.removesuffix('s')} {sheet.id}", panels, sheet.pixel_um)]

"""Patches of a prediction in three orthogonal cuts, one small picture for each cut of each thing that is shown."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from scroll.report.pictures import BRIGHTEST_PERCENT, DARKEST_PERCENT, colour_png, remove_pictures
from scroll.runtime.record import Record

AXES = "zyx"
LEAST_PX, MOST_PX = 96, 192  # smaller cuts are enlarged by a whole number, larger ones made smaller
OURS, PICTURE = re.compile(r"(worst|best)-\d+"), re.compile(r"[zyx]_\d+\.png")  # folders and files of earlier calls
LINE = (240, 228, 66)  # Okabe and Ito's yellow: where the other two cuts go
Cuts = Mapping[str, npt.NDArray[Any]]  # axis -> picture: uint8 (Y, X) grey or (Y, X, 3), or a probability (Y, X)


@dataclass(frozen=True)
class Patch:
    """A patch worth looking at.

    Attributes:
        piece: the fragment or cube; `kind`: "worst" or "best"; `score`: its own, 0 to 1.
        where: the voxel (z, y, x) of the piece that all three cuts go through.
        corner, size: its first voxel, and voxels along z, y, x.
        columns: column of the table -> its cuts by axis.
    """

    piece: str
    kind: str
    score: float
    where: tuple[int, int, int]
    corner: tuple[int, int, int]
    size: tuple[int, int, int]
    columns: Mapping[str, Cuts]


class PatchRecord(Record):
    """The same for score.json; `cuts`: axis -> column -> path of the picture, relative to where score.json is."""

    piece: str
    kind: str
    score: float
    where: tuple[int, int, int]
    corner: tuple[int, int, int]
    size: tuple[int, int, int]
    columns: tuple[str, ...]
    cuts: dict[str, dict[str, str]]


def save_patches(folder: Path, patches: Iterable[Patch]) -> list[PatchRecord]:
    """Write <folder>/<kind>-1/<axis>_<number>.png and so on; a record a patch."""
    for before in folder.glob("*-*"):
        if OURS.fullmatch(before.name):
            remove_pictures(before, PICTURE)
    records = []
    for number, patch in enumerate(patches, start=1):
        name = f"{patch.kind}-{number}"
        cuts: dict[str, dict[str, str]] = {axis: {} for axis in AXES}
        for column, (title, of_column) in enumerate(patch.columns.items()):
            for axis, picture in of_column.items():
                path = colour_png(folder / name / f"{axis}_{column}.png", _sized(_as_bytes(picture)))
                cuts[axis][title] = path.relative_to(folder.parent).as_posix()
        fields = {name: getattr(patch, name) for name in ("piece", "kind", "score", "where", "corner", "size")}
        records.append(PatchRecord(**fields, columns=tuple(patch.columns), cuts=cuts))
    return records


def grey(ct: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """A block of CT of any number type in grey, stretched so that all but the outermost half percents show."""
    low, high = np.percentile(ct, (DARKEST_PERCENT, BRIGHTEST_PERCENT))
    scaled = (ct.astype(np.float32) - low) * (255 / max(high - low, 1e-6))
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)


def marked(picture: npt.NDArray[np.uint8], row: int, column: int) -> npt.NDArray[np.uint8]:
    """The picture (Y, X) in colour with short lines at its edges where the other two cuts go through, (Y, X, 3)."""
    marked_picture = np.repeat(picture[..., None], 3, axis=-1)
    thick = max(1, min(picture.shape) // MOST_PX + 1)  # so that it is still seen when the picture is made smaller
    for place, length, lines in (
        (row, picture.shape[1], marked_picture),
        (column, picture.shape[0], marked_picture.swapaxes(0, 1)),
    ):
        band, tick = slice(max(0, place - thick // 2), place + (thick + 1) // 2), max(2, length // 10)
        lines[band, :tick] = lines[band, length - tick :] = LINE
    return marked_picture


def _as_bytes(picture: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    if picture.dtype == np.uint8:
        return picture
    return np.clip(np.rint(255 * picture.astype(np.float32)), 0, 255).astype(np.uint8)


def _sized(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    from PIL import Image

    longest = max(picture.shape[:2])
    if longest > MOST_PX:
        height, width = (max(1, round(n * MOST_PX / longest)) for n in picture.shape[:2])
        return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BOX))
    times = max(1, LEAST_PX // longest)
    return np.repeat(np.repeat(picture, times, axis=0), times, axis=1)

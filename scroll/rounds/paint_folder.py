"""A folder to paint a sheet's label in: what any paint program opens as layers, all at full size, and one file to change.

A folder that holds something a person made is never replaced: export again only where its label is as it was exported.
"""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from scroll.data.labels import Label
from scroll.errors import InputError, MissingInputError
from scroll.rounds.painting import (
    HELD_OUT,
    INK,
    NO_INK,
    OFF,
    UNKNOWN,
    Grey,
    as_label,
    canvas,
    painted_grey,
    save_canvas,
)
from scroll.rounds.to_paint import ASKED, LABEL, ToPaint, pictures
from scroll.runtime.bounded import plain_file
from scroll.runtime.files import read_sealed, write_text, written_aside
from scroll.runtime.output_folder import TRIFLES
from scroll.runtime.record import Versioned, as_record, write_record
from scroll.volumes.flat_picture import read_grey

RECORD, EXPORTED, LAYERS, README = "sheet.json", ".exported.png", "layers.tif", "README.txt"
LABEL_FILE = "label.png"
LABELS = (LABEL_FILE, "label.tif", "label.tiff")  # what may be read back
LARGEST_TIFF = 2**32 - 2**25
EXPORT_AGAIN = "move the folder away and export it again"
WORDS = """What to do with the files of this folder

Sheet {sheet}, round {round}. All pictures have the same size ({height} rows, {width} columns); a pixel is {pixel_um:g} micrometres.

label.png       The one file to change. Save it under the same name.
ct_*.png        The scan at several depths.
probability.png What the ensemble says: white is ink.
disagreement.png White is where its networks contradict each other most.
{proposed}asked.png       Frames and numbers of the patches that are asked for.
layers.tif      All of them in one file, to look at.

The greys of label.png
{greys[0]:3} ink (white)
{greys[1]:3} no ink
{greys[2]:3} not known
{greys[3]:3} no papyrus: leave it
{greys[4]:3} held out for the score: leave it

How to paint
- Open label.png, and put the other pictures over it or under it as layers.
- Use a hard brush or a pencil, without smooth edges, in these greys alone.
- To take something back, paint {greys[2]}. Do not erase: nothing may be transparent.
- Do not scale, crop, turn or move the picture.
- Save label.png alone, as 8-bit grey PNG. A TIFF called label.tif instead of it is taken as well. Never JPEG.
"""


class PaintedSheet(Versioned):
    """sheet.json: what was exported. `layers`: of the CT; `pages`: of layers.tif in order; `files`: all that was written."""

    sheet: str
    round: int
    pixel_um: float
    layers: list[int]
    pages: list[str]
    files: list[str]
    exported_sha256: str


def write_paint_folder(paint: Path, sheet: ToPaint) -> Path:
    """Write `<paint>/<sheet>/` as a whole, and return it.

    One picture is in memory at a time, as bytes; CT and maps are read in strips of rows.

    Raises:
        InputError: it is there and its label was changed, or it holds something that was not exported; nothing is changed then.
    """
    folder = paint / sheet.sheet
    _check_replaceable(folder)
    with written_aside(folder) as aside:
        aside.mkdir()
        grey = canvas(sheet.label, sheet.papyrus, sheet.held_out)
        save_canvas(aside / LABEL_FILE, grey)
        (aside / EXPORTED).write_bytes((aside / LABEL_FILE).read_bytes())
        pages = _write_pictures(aside, sheet, grey)
        write_text(aside / README, _words(sheet))
        record = PaintedSheet(
            version=1, sheet=sheet.sheet, round=sheet.round, pixel_um=sheet.pixel_um, layers=list(map(int, sheet.layers)),
            pages=pages, files=sorted([RECORD, *(path.name for path in aside.iterdir())]), exported_sha256=_sha256(aside / EXPORTED),
        )  # fmt: skip
        write_record(aside / RECORD, record)
    return folder


def read_sheet(folder: Path) -> PaintedSheet:
    """What was exported to a folder.

    Raises:
        MissingInputError: nothing was.
        InputError: its sheet.json is damaged, or was changed.
    """
    hint = f"expected a folder that a round exported to paint in: give that, or {EXPORT_AGAIN}"
    path = folder / RECORD
    return as_record(path, read_sealed(path, hint, sheet=str, exported_sha256=str), PaintedSheet, EXPORT_AGAIN)


def read_exported(folder: Path) -> Grey:
    """The label as it was exported, (Y, X).

    Raises:
        InputError: its copy is gone, or was changed.
    """
    path, record = folder / EXPORTED, read_sheet(folder)
    if not path.is_file():
        raise MissingInputError(
            f"{path}: not there; expected the label as it was exported (its name begins with a dot, and some programs do not copy "
            "such files): copy it from the folder of the round"
        )
    if _sha256(path) != record.exported_sha256:
        raise InputError(
            f"{path}: was changed since it was exported; expected it as it was: copy it from the folder of the round"
        )
    return np.asarray(read_grey(path), np.uint8)


def label_file(folder: Path) -> Path:
    """The label that a person painted: label.png, or label.tif instead of it.

    Raises:
        InputError: both are there.
        MissingInputError: none is.
    """
    found = [folder / name for name in LABELS if (folder / name).exists()]
    if len(found) > 1:
        raise InputError(
            f"{folder}: holds {found[0].name} and {found[1].name}; expected one label: delete the one that is not meant"
        )
    if not found:
        others = sorted(path.name for path in folder.glob("label*") if path.is_file())
        hint = f" ({others[0]} is)" if others else ""
        raise MissingInputError(
            f"{folder / LABEL_FILE}: not there{hint}; expected the painted label as label.png or label.tif: save it under that name"
        )
    return found[0]


def read_back(folder: Path) -> Label | None:
    """What a person painted in an exported folder, (Y, X); None where nothing was changed.

    Raises:
        MissingInputError: nothing was exported there, or the label is gone.
        InputError: the label is not the exported picture painted on (`painted_grey`), or the folder is not as it was exported.
    """
    exported = read_exported(folder)
    painted = painted_grey(label_file(folder), exported)
    return None if np.array_equal(painted, exported) else as_label(painted)


def _check_replaceable(folder: Path) -> None:
    if not folder.exists():
        return
    if not folder.is_dir():
        raise InputError(f"{folder}: is a file; expected a place for a folder to paint in: move it away")
    there = {path.name for path in folder.iterdir() if path.name not in TRIFLES}
    if not there:
        return
    record = read_sheet(folder)
    if others := sorted(there - {*record.files, *LABELS}):
        raise InputError(f"{folder}: holds {others[0]}, which was not exported; nothing was changed: {EXPORT_AGAIN}")
    label = folder / LABEL_FILE
    if not label.is_file() or _sha256(label) != record.exported_sha256 or label_file(folder) != label:
        raise InputError(
            f"{folder}: its label was saved since it was exported; nothing was changed: read it back, or {EXPORT_AGAIN}"
        )


def _write_pictures(folder: Path, sheet: ToPaint, label: Grey) -> list[str]:
    """Each as PNG and as a page of layers.tif; their names in order."""
    import tifffile
    from PIL import Image

    names = []
    most = (len(sheet.layers) + 5) * label.size
    with tifffile.TiffWriter(folder / LAYERS, bigtiff=most > LARGEST_TIFF) as tiff:
        for name, grey in pictures(sheet, label):
            page_name = [(285, "s", 0, name, True)]  # what programs call the layer
            tiff.write(grey, photometric="minisblack", compression="zlib", metadata=None, extratags=page_name,
                       rowsperstrip=max(1, 2**20 // label.shape[1]))  # fmt: skip
            names.append(name)
            if name != LABEL:
                clear: dict[str, Any] = {"transparency": 0} if name == ASKED else {}
                Image.fromarray(grey).save(folder / f"{name}.png", compress_level=3, **clear)
    return names


def _words(sheet: ToPaint) -> str:
    height, width = sheet.papyrus.shape
    proposed = (
        "proposed.png    What the ensemble proposes, in the greys of label.png: parts of it may be copied there.\n"
    )
    return WORDS.format(
        sheet=sheet.sheet, round=sheet.round, pixel_um=sheet.pixel_um, height=height, width=width,
        proposed="" if sheet.proposed is None else proposed, greys=(INK, NO_INK, UNKNOWN, OFF, HELD_OUT),
    )  # fmt: skip


def _sha256(path: Path) -> str:
    with plain_file(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

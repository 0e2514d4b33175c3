"""The page of a round that says what to label next: one patch large at a time, keys to mark it, a clock, and where it is."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scroll.errors import InputError
from scroll.report.label_picture import BARE, INK, NO_PAPYRUS, UNKNOWN
from scroll.report.label_picture import HELD_OUT as HELD_OUT_COLOUR
from scroll.report.page import STYLE, rendered, style_and_script
from scroll.report.tiles import as_webp
from scroll.rounds import painting
from scroll.rounds.ranking import Asked
from scroll.runtime.files import write_text
from scroll.volumes.binning import block_mean

PICTURES_BUDGET_BYTES = 10_000_000  # of all patches; as text a third more: the page stays below 20 MB
LARGEST_PX, LEAST_PX = 1024, 64  # edge of a patch's picture
BYTES_A_PIXEL = 0.3  # to begin with: the true size is looked at
THUMBNAIL_PX = 512
CT_QUALITY, MAP_QUALITY = 70, 60
COLOURS = {
    painting.INK: INK,
    painting.NO_INK: BARE,
    painting.UNKNOWN: UNKNOWN,
    painting.HELD_OUT: HELD_OUT_COLOUR,
    painting.OFF: NO_PAPYRUS,
}
LEGEND = {"ink": INK, "no ink": BARE, "not known": UNKNOWN, "held out": HELD_OUT_COLOUR, "no papyrus": NO_PAPYRUS}
Map = NDArray[np.float32]
Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class AskedSheet:
    """A sheet that patches are of: its thumbnail, (h, w) uint8 of the whole sheet, its (Y, X) size and the edge of a pixel."""

    thumbnail: Bytes
    shape_yx: tuple[int, int]
    pixel_um: float


@dataclass(frozen=True)
class AskedPatch:
    """What a person sees of a patch; all pictures are (h, w), of that part of it that is on the sheet, at any resolution.

    Attributes:
        asked: in full-size pixels.
        ct: (n, h, w) uint8, of the `layers` of the sheet's stack.
        maps: by name, probabilities from 0 to 1; `disagreement` in nats. NaN shows black.
        known: what is known already, in the greys of `scroll.rounds.painting`. What is held out is shown nowhere.
    """

    asked: Asked
    ct: Bytes
    layers: Sequence[int]
    maps: Mapping[str, Map]
    disagreement: Map
    known: Bytes

    def __post_init__(self) -> None:
        """Refuse parts that do not belong together."""
        shapes = {"disagreement": self.disagreement.shape, **{name: one.shape for name, one in self.maps.items()}}
        wrong = [f"{name} is {shape}" for name, shape in shapes.items() if shape != self.known.shape]
        if wrong or self.ct.shape != (len(self.layers), *self.known.shape) or 0 in self.ct.shape:
            problem = wrong[0] if wrong else f"CT is {self.ct.shape} of {len(self.layers)} layers"
            raise InputError(
                f"patch of {self.asked.sheet} at y {self.asked.y}, x {self.asked.x}: {problem}, what is known {self.known.shape}; expected "
                "one (h, w): cut all of them alike"
            )


@dataclass(frozen=True)
class AskPage:
    """All of it: patches, the best first, their sheets by name, and the mean seconds that one took last time."""

    round: int
    patches: Sequence[AskedPatch]
    sheets: Mapping[str, AskedSheet]
    seconds_each: float | None = None


def write_ask_page(path: Path, page: AskPage) -> Path:
    """Write the page as one file that needs nothing else; pictures are shrunk where all together are too many.

    Raises:
        InputError: a patch is of a sheet that is not given, or begins beyond it.
    """
    for one in page.patches:
        _check_place(one.asked, page.sheets)
    used = {one.asked.sheet for one in page.patches}
    patches = _patches(page.patches)
    asked = [list(one.asked[:4]) for one in page.patches]
    content = {
        "round": page.round,
        "key": hashlib.sha256(json.dumps([page.round, asked]).encode()).hexdigest()[:16],
        "seconds_each": page.seconds_each,
        "sheets": {name: _sheet(one) for name, one in page.sheets.items() if name in used},
        "patches": patches,
    }
    parts = style_and_script([STYLE, "ask_page.css"], ["viewer.js", "ask_page.js"] if patches else [])
    legend = {name: f"rgb{colour}" for name, colour in LEGEND.items()}
    write_text(path, rendered("ask_page.html.j2", parts | {"held": content, "legend": legend}))
    return path


def _check_place(asked: Asked, sheets: Mapping[str, AskedSheet]) -> None:
    sheet = sheets.get(asked.sheet)
    if sheet is None or not (0 <= asked.y < sheet.shape_yx[0] and 0 <= asked.x < sheet.shape_yx[1]):
        there = "none is given" if sheet is None else f"it is {sheet.shape_yx} (y, x)"
        raise InputError(
            f"patch of sheet {asked.sheet} at y {asked.y}, x {asked.x}: {there}; expected a sheet that it is on, in full-size pixels"
        )


def _sheet(sheet: AskedSheet) -> dict[str, Any]:
    return {
        "thumbnail": as_webp(_shrunk(sheet.thumbnail, THUMBNAIL_PX), CT_QUALITY),
        "size_yx": list(sheet.shape_yx),
        "pixel_um": sheet.pixel_um,
    }


def _patches(patches: Sequence[AskedPatch]) -> list[dict[str, Any]]:
    """For JSON, as large as fits the page."""
    disagreements = [np.nan_to_num(one.disagreement[one.known != painting.HELD_OUT]) for one in patches]
    most_nats = max((float(one.max(initial=0)) for one in disagreements), default=0.0)
    pixels = [(max(one.known.shape), one.ct.size + (len(one.maps) + 2) * one.known.size) for one in patches]
    edge = LARGEST_PX
    while edge > LEAST_PX and _expected_bytes(pixels, edge) > PICTURES_BUDGET_BYTES:
        edge = edge * 3 // 4
    while True:
        found = [_patch(one, edge, most_nats) for one in patches]
        size = sum(
            len(source) * 3 // 4 for one in found for source in [*one["ct"], *(source for _, source in one["maps"])]
        )
        if size <= PICTURES_BUDGET_BYTES or edge <= LEAST_PX:
            return found
        edge = edge * 3 // 4


def _expected_bytes(pixels: Sequence[tuple[int, int]], edge: int) -> float:
    return sum(count * BYTES_A_PIXEL / math.ceil(longer / edge) ** 2 for longer, count in pixels)


def _patch(patch: AskedPatch, edge: int, most_nats: float) -> dict[str, Any]:
    """Pictures as WebP in base64; disagreement on one scale for all patches, so that they compare."""
    is_shown = patch.known != painting.HELD_OUT
    drawn = [*patch.maps.items(), ("disagreement", patch.disagreement / max(most_nats, 1e-9))]
    maps = [(name, as_webp(_shrunk(_grey(one) * is_shown, edge), MAP_QUALITY)) for name, one in drawn]
    colours = np.zeros((256, 3), np.uint8)
    for grey, colour in COLOURS.items():
        colours[grey] = colour
    step = math.ceil(max(patch.known.shape) / edge)
    return patch.asked._asdict() | {
        "layers": list(map(int, patch.layers)),
        "ct": [as_webp(_shrunk(layer * is_shown, edge), CT_QUALITY) for layer in patch.ct],
        "maps": [*maps, ("known already", as_webp(colours[patch.known[::step, ::step]], None))],
    }


def _grey(values: Map) -> Bytes:
    return np.clip(np.rint(255 * np.nan_to_num(values)), 0, 255).astype(np.uint8)


def _shrunk(picture: Bytes, edge: int) -> Bytes:
    step = math.ceil(max(picture.shape) / edge)
    return np.asarray(block_mean(picture, (step, step)))

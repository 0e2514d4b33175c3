"""A picture of what is written on a sheet: where papyrus is known to be bare or inked, what is proposed, held out, or not known."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scroll.data.labels import Label, SheetLabels, share_in_blocks
from scroll.runtime.files import written_aside
from scroll.runtime.output_folder import DRAWN_BY

MOST_PX = 1024  # along the longer side, the legend with it
STRIP_BLOCKS = 32  # rows of the picture that are made at once
LINE_PX, SQUARE_PX, LEAST_WIDTH_PX = 18, 10, 440
Colour = tuple[int, int, int]

NO_PAPYRUS: Colour = (0, 0, 0)
UNKNOWN: Colour = (110, 110, 110)
BARE: Colour = (235, 235, 235)
INK: Colour = (213, 94, 0)
HELD_OUT: Colour = (86, 180, 233)  # with the others of Okabe and Ito's, apart for every common kind of colour blindness
HELD_OUT_INK: Colour = (0, 80, 140)
PROPOSED: Colour = (204, 235, 197)
PROPOSED_INK: Colour = (0, 158, 115)
LEGEND: dict[str, Colour] = {
    "known, no ink": BARE, "ink": INK, "not known": UNKNOWN, "held out, no ink": HELD_OUT, "held out, ink": HELD_OUT_INK,
    "no papyrus": NO_PAPYRUS,
}  # fmt: skip


OF_PROPOSED: dict[str, Colour] = {"proposed, no ink": PROPOSED, "proposed, ink": PROPOSED_INK}


def label_picture(path: Path, papyrus: NDArray[np.bool_], labels: SheetLabels) -> Path:
    """Write a PNG of at most 1024 pixels a side; `papyrus` is (Y, X), as the labels. Greys of soft labels are shades.

    Memory: a strip of the sheet at a time beside what is given.
    """
    from PIL import Image, ImageDraw
    from PIL.PngImagePlugin import PngInfo

    shape = (papyrus.shape[0], papyrus.shape[1])
    legend = LEGEND if labels.training.proposed is None else LEGEND | OF_PROPOSED
    lines_px = -(-len(legend) // 3) * LINE_PX
    room = MOST_PX - lines_px
    colours = label_colours(papyrus, labels, max(1, -(-max(shape) // room)))
    height, width = colours.shape[:2]
    picture = Image.new("RGB", (max(width, LEAST_WIDTH_PX), height + lines_px), (255, 255, 255))
    picture.paste(Image.fromarray(colours), (0, 0))
    draw, step = ImageDraw.Draw(picture), max(width, LEAST_WIDTH_PX) // 3
    for number, (name, colour) in enumerate(legend.items()):
        x, y = number % 3 * step + 4, height + number // 3 * LINE_PX + 4
        draw.rectangle((x, y, x + SQUARE_PX, y + SQUARE_PX), fill=colour, outline=(0, 0, 0))
        draw.text((x + SQUARE_PX + 5, y - 1), name, fill=(0, 0, 0))
    about = PngInfo()
    for key, text in DRAWN_BY.items():
        about.add_text(key, text)
    with written_aside(path) as aside:
        picture.save(aside, format="PNG", pnginfo=about)
    return path


def label_colours(papyrus: NDArray[np.bool_], labels: SheetLabels, step: int) -> NDArray[np.uint8]:
    """The sheet in the colours of `LEGEND` and `OF_PROPOSED`, (ceil(Y / step), ceil(X / step), 3): each pixel the mean of a block."""
    found = []
    for row in range(0, papyrus.shape[0], step * STRIP_BLOCKS):
        rows = slice(row, row + step * STRIP_BLOCKS)
        strip = np.where(papyrus[rows, :, None], _values(UNKNOWN), _values(NO_PAPYRUS))
        training = labels.training.at((rows,))
        _paint(strip, training, (BARE, INK))
        if training.proposed is not None:
            proposed = Label(training.target, training.ignore | ~training.proposed)
            _paint(strip, proposed, (PROPOSED, PROPOSED_INK))
        if labels.held_out is not None:
            _paint(strip, labels.held_out.at((rows,)), (HELD_OUT, HELD_OUT_INK))
        found.append(np.stack([share_in_blocks(strip[..., channel], step) for channel in range(3)], axis=-1))
    return np.rint(np.concatenate(found)).astype(np.uint8)


def _paint(strip: NDArray[np.float32], label: Label, colours: tuple[Colour, Colour]) -> None:
    """Where a label is known: the first colour, and the second as far as there is ink."""
    known = ~label.ignore
    ink = label.target[known].astype(np.float32)[:, None]
    strip[known] = _values(colours[0]) * (1 - ink) + _values(colours[1]) * ink


def _values(colour: Colour) -> NDArray[np.float32]:
    return np.array(colour, np.float32)

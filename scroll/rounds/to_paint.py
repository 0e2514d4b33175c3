"""What is drawn of a sheet whose label is to be painted: pictures of one size, one after the other, read in strips of rows."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scroll.data.labels import Label
from scroll.errors import InputError
from scroll.rounds.painting import Grey, Mask, canvas, looked_up
from scroll.rounds.ranking import Asked
from scroll.runtime.names import checked_name

PROBABILITY, DISAGREEMENT, PROPOSED, ASKED, LABEL = "probability", "disagreement", "proposed", "asked", "label"
DARKEST_PERCENT, BRIGHTEST_PERCENT = 0.5, 99.5
STRIP_PX = 2**22  # read at once
SAMPLED_STRIPS, SAMPLED_ROWS = 16, 4  # of a layer, for its range of greys
LINE_SHARE, TEXT_SHARE, LEAST_TEXT_PX = 80, 6, 10  # of a patch's edge: the width of its frame, the height of its number


@dataclass(frozen=True)
class ToPaint:
    """What is exported of a sheet; everything is (Y, X) at full size.

    Attributes:
        label: what people said so far; `held_out`, `papyrus`: bool.
        ct: slices to (Z, Y, X); only `layers` of it are read.
        probability: slices by rows to (n, X) float, 0 to 1; `disagreement` in nats. NaN shows black.
        asked: all patches of the round, in full-size pixels; those of this sheet are drawn, with their number in the list from 1 on.
        proposed: what the ensemble says that may be taken for a label, in the greys of the label.
    """

    sheet: str
    round: int
    pixel_um: float
    label: Label
    papyrus: Mask
    held_out: Mask
    ct: Any
    layers: Sequence[int]
    probability: Any
    disagreement: Any
    asked: Sequence[Asked] = ()
    proposed: Label | None = None

    def __post_init__(self) -> None:
        """Refuse parts that do not belong together."""
        checked_name(self.sheet, "the sheet to paint")
        shape = self.papyrus.shape
        others = {"label": self.label.target.shape, "held out": self.held_out.shape, "CT": tuple(self.ct.shape[1:])}
        others |= {} if self.proposed is None else {"proposed": self.proposed.target.shape}
        wrong = [f"{name} is {found}" for name, found in others.items() if found != shape]
        if wrong:
            raise InputError(f"sheet {self.sheet}: {wrong[0]}, papyrus {shape} (y, x); expected one size: scale them")
        depth = int(self.ct.shape[0])
        rising = sorted({z for z in self.layers if 0 <= z < depth})
        if not rising or list(self.layers) != rising:
            raise InputError(
                f"sheet {self.sheet}: layers {list(self.layers)} of {depth}; expected some from 0 to {depth - 1}, each once and rising"
            )
        if beyond := [one for one in self.numbered.values() if not (0 <= one.y < shape[0] and 0 <= one.x < shape[1])]:
            raise InputError(
                f"sheet {self.sheet}: the patch at y {beyond[0].y}, x {beyond[0].x} begins beyond {shape} (y, x); give full-size pixels"
            )

    @property
    def numbered(self) -> dict[int, Asked]:
        """The patches of this sheet by their number among those of the round."""
        return {number: one for number, one in enumerate(self.asked, 1) if one.sheet == self.sheet}


def pictures(sheet: ToPaint, label: Grey) -> Iterator[tuple[str, Grey]]:
    """Name and picture (Y, X) of each: layers of the CT, maps, what is asked, and at last the label, which is given.

    Raises:
        InputError: a map is of another size.
    """
    shape, digits = label.shape, len(str(int(sheet.ct.shape[0]) - 1))
    scale = _window(sheet)
    for z in sheet.layers:
        yield f"ct_{z:0{digits}d}", _drawn(partial(_ct_rows, sheet, z), shape, scale)
    yield PROBABILITY, _drawn(lambda rows: sheet.probability[rows], shape, (0.0, 1.0))
    nats = _drawn(lambda rows: sheet.disagreement[rows], shape, (0.0, float(np.log(2))))
    stretched = np.arange(256) * (255 / max(1, int(nats.max())))
    yield DISAGREEMENT, looked_up(np.clip(np.rint(stretched), 0, 255).astype(np.uint8), nats)
    if sheet.proposed is not None:
        yield PROPOSED, canvas(sheet.proposed, sheet.papyrus, sheet.held_out)
    yield ASKED, asked_picture(sheet.numbered, shape)
    yield LABEL, label


def _drawn(read: Callable[[slice], Any], shape: tuple[int, ...], scale: tuple[float, float]) -> Grey:
    """A picture (Y, X) of values that are read in strips of rows; not finite: black."""
    height, width = shape
    low, high = scale
    found = np.empty((height, width), np.uint8)
    step = max(1, STRIP_PX // width)
    for row in range(0, height, step):
        rows = slice(row, min(row + step, height))
        values = np.asarray(read(rows)).astype(np.float32)
        if values.shape != found[rows].shape:
            raise InputError(
                f"rows {rows.start} to {rows.stop} of a map are {values.shape}; expected {found[rows].shape}: scale it to the sheet"
            )
        values = np.nan_to_num(values, nan=low, posinf=high, neginf=low)
        found[rows] = np.clip(np.rint((values - low) * (255 / (high - low))), 0, 255)
    return found


def _ct_rows(sheet: ToPaint, z: int, rows: slice) -> NDArray[np.float32]:
    read = sheet.ct[z : z + 1, rows, 0 : sheet.papyrus.shape[1]]
    return np.asarray(read, np.float32)[0]


def _window(sheet: ToPaint) -> tuple[float, float]:
    """Black and white of all layers, so that they compare: percentiles of some rows' papyrus."""
    height = sheet.papyrus.shape[0]
    seen: list[NDArray[np.float32]] = []
    for row in sorted({round(at) for at in np.linspace(0, max(0, height - SAMPLED_ROWS), SAMPLED_STRIPS)}):
        rows = slice(row, row + SAMPLED_ROWS)
        for z in sheet.layers:
            values = _ct_rows(sheet, z, rows)
            seen.append(values[sheet.papyrus[rows] & np.isfinite(values)])
    values = np.concatenate(seen)
    low, high = np.percentile(values, (DARKEST_PERCENT, BRIGHTEST_PERCENT)) if values.size else (0.0, 1.0)
    return float(low), float(max(high, low + 1e-6))


def asked_picture(asked: Mapping[int, Asked], shape_yx: tuple[int, ...]) -> NDArray[np.uint8]:
    """(Y, X) of the patches by their number, in pixels of the picture; a frame is within its patch, and within the sheet."""
    from PIL import Image, ImageDraw, ImageFont

    height, width = shape_yx
    picture = Image.new("L", (width, height), 0)
    draw = ImageDraw.Draw(picture)
    for number, one in asked.items():
        line = max(1, one.edge_px // LINE_SHARE)
        last_y, last_x = min(one.y + one.edge_px, height) - 1, min(one.x + one.edge_px, width) - 1
        draw.rectangle((one.x, one.y, last_x, last_y), outline=255, width=line)
        font = ImageFont.load_default(size=max(LEAST_TEXT_PX, one.edge_px // TEXT_SHARE))
        draw.text((one.x + 3 * line, one.y + 2 * line), str(number), fill=255, font=font)
    return np.array(picture)

"""The folder to paint in as layers of napari, the label one that can be painted on; knows nothing of napari itself.

Its label has a number for each meaning. Only ink and no ink count when it is saved: whatever else is painted means "not known", and
what may not be changed is put back.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scroll.errors import InputError
from scroll.rounds.paint_folder import LAYERS, PaintedSheet, label_file, read_exported, read_sheet
from scroll.rounds.painting import (
    FIXED,
    HELD_OUT,
    INK,
    NO_INK,
    OFF,
    UNKNOWN,
    Grey,
    looked_up,
    painted_grey,
    save_canvas,
)
from scroll.rounds.to_paint import ASKED, DISAGREEMENT, LABEL, PROBABILITY, PROPOSED
from scroll.runtime.content import as_it_is
from scroll.viewing.napari_layers import ORANGE, Layer, Lazy
from scroll.volumes.tiff import cube
from scroll.volumes.volume import Volume

MEANINGS = {0: UNKNOWN, 1: INK, 2: NO_INK, 3: HELD_OUT, 4: OFF}  # 0 is what napari's eraser leaves
COLOURS: dict[int | None, tuple[float, float, float, float]] = {
    None: (0, 0, 0, 0), 0: (0, 0, 0, 0), 1: (0.84, 0.37, 0, 1), 2: (0.34, 0.71, 0.91, 1), 3: (0.8, 0.47, 0.65, 1), 4: (0.2, 0.2, 0.2, 1),
}  # fmt: skip
WORDS = "paint with 1 ink, 2 no ink, 0 not known; Ctrl-S saves, and so does closing the window"
DRAWN = {  # how a picture that is laid over the CT is shown
    PROBABILITY: ({"name": "probability", "colors": ORANGE}, True),
    DISAGREEMENT: ("magenta", False),
    PROPOSED: ("gray", False),
    ASKED: ("yellow", True),
}


@dataclass(frozen=True)
class Plane:
    """One page of a volume as (Y, X), read piece by piece."""

    volume: Volume
    page: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Pixels along y, x."""
        return self.volume.shape[1:]

    @property
    def dtype(self) -> np.dtype[Any]:
        """The numpy type of a pixel."""
        return self.volume.dtype

    def __getitem__(self, key: Any) -> Any:
        """The pixels of a basic index."""
        return self.volume[(self.page, *(key if isinstance(key, tuple) else (key,)))]


@dataclass(frozen=True)
class Leading:
    """The first pages of a volume, as another volume's array."""

    volume: Volume
    count: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Voxels along z, y, x."""
        return (self.count, *self.volume.shape[1:])

    @property
    def dtype(self) -> np.dtype[Any]:
        """The numpy type of a voxel."""
        return self.volume.dtype

    def __getitem__(self, key: Any) -> Any:
        """The voxels of three slices inside the shape."""
        return self.volume[key]


class LabelOnDisk:
    """The label of a folder, and what was seen of its file: what another program saves meanwhile is not written over."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.exported = folder, read_exported(folder)
        self.path = label_file(folder)
        self._seen = as_it_is(self.path)
        self._saved = painted_grey(self.path, self.exported)

    def numbers(self) -> NDArray[np.uint8]:
        """What is painted, (Y, X), in the numbers of `MEANINGS`."""
        return as_numbers(self._saved)

    def save(self, numbers: NDArray[np.integer]) -> Path:
        """Write the label in its greys, where it differs from what is saved; returns its file.

        Raises:
            InputError: another program has saved the label meanwhile; ours is then beside it, as label_napari.png.
        """
        grey = as_grey(numbers, self.exported)
        if np.array_equal(grey, self._saved):
            return self.path
        if not self.path.exists() or as_it_is(self.path) != self._seen:
            beside = self.folder / "label_napari.png"
            save_canvas(beside, grey)
            raise InputError(
                f"{self.path}: was changed by another program while napari was open; what napari shows is in {beside}: keep one of "
                f"them, as {self.path.name}"
            )
        save_canvas(self.path, grey)
        self._seen, self._saved = as_it_is(self.path), grey
        return self.path


def as_numbers(grey: Grey) -> NDArray[np.uint8]:
    """A picture (Y, X) of the five greys in the numbers of `MEANINGS`.

    >>> as_numbers(np.array([[INK, NO_INK, UNKNOWN, HELD_OUT, OFF]], np.uint8)).tolist()
    [[1, 2, 0, 3, 4]]
    """
    table = np.zeros(256, np.uint8)
    for number, meant in MEANINGS.items():
        table[meant] = number
    return looked_up(table, grey)


def as_grey(numbers: NDArray[np.integer], exported: Grey) -> Grey:
    """The picture of such numbers: what is fixed as it was exported, and elsewhere ink, no ink, or not known."""
    grey = np.full(exported.shape, UNKNOWN, np.uint8)
    grey[numbers == 1], grey[numbers == 2] = INK, NO_INK
    return np.where(np.isin(exported, FIXED), exported, grey)


def paint_layers(folder: Path, label: NDArray[np.uint8]) -> list[Layer]:
    """CT below, maps and frames over it, the label on top; in micrometres, and read piece by piece but for the label.

    Raises:
        InputError: layers.tif is gone, damaged, or not as it was exported.
    """
    sheet = read_sheet(folder)
    volume = cube.open(folder / LAYERS, sheet.pixel_um)
    if volume.shape != (len(sheet.pages), *label.shape):
        raise InputError(
            f"{folder / LAYERS}: is {volume.shape}; expected {(len(sheet.pages), *label.shape)}: copy it from the folder of the round"
        )
    layers = [_ct(volume, sheet)]
    for page, name in enumerate(sheet.pages):
        if name in DRAWN:
            colours, is_visible = DRAWN[name]
            over = {"colormap": colours, "blending": "additive" if name == ASKED else "translucent_no_depth"}
            layers.append(Layer(False, _options(Plane(volume, page), name, sheet) | over | {"visible": is_visible}))
    place = {
        name: value for name, value in _options(Plane(volume, 0), LABEL, sheet).items() if name != "contrast_limits"
    }
    return [*layers, Layer(True, place | {"data": label, "colormap": dict(COLOURS), "opacity": 0.5})]


def _ct(volume: Volume, sheet: PaintedSheet) -> Layer:
    """The layers of the CT, in the order of their depth as far as they were exported so, as one that a slider goes through."""
    stack = Volume(Leading(volume, len(sheet.layers)), volume.path, sheet.pixel_um)
    steps = np.abs(np.diff(sheet.layers))
    step_um = sheet.pixel_um * (float(steps.mean()) if len(steps) else 1.0)
    options = _options(stack, "CT", sheet) | {"colormap": "gray"}
    first_um = (sheet.layers[0] + 0.5) * sheet.pixel_um
    pixel_um, half = sheet.pixel_um, sheet.pixel_um / 2
    return Layer(False, options | {"scale": (step_um, pixel_um, pixel_um), "translate": (first_um, half, half)})


def _options(data: Plane | Volume, name: str, sheet: PaintedSheet) -> dict[str, object]:
    axes = len(data.shape)
    return {
        "data": Lazy(data, False),
        "multiscale": False,
        "name": name,
        "scale": (sheet.pixel_um,) * axes,
        "units": ("um",) * axes,
        "translate": (sheet.pixel_um / 2,) * axes,
        "contrast_limits": (0.0, 255.0),
    }

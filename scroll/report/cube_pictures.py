"""Cuts through a cube where most of it is labelled: the CT, every sheet in a colour of its own, and what is right and wrong."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from scroll.data.labels import SURFACE_IGNORE
from scroll.report.cube_volume import sheet_colours
from scroll.report.pictures import NEITHER, SHEET_COLOURS, colour_png, errors_png, grey_png

LARGER = 3  # pixels to a voxel: a sheet is two voxels thick
AXES = "zyx"


def save_cube_pictures(
    folder: Path, ct: npt.NDArray[Any], mask: npt.NDArray[np.bool_], label: npt.NDArray[Any]
) -> None:
    """Write <folder>/1_ct_cut_z.png and so on: a cut across z and one across x, where most is labelled; all (Z, Y, X) alike."""
    sheets = sheet_colours(mask)
    number = 0
    for axis in (0, 2):
        for name, picture in _cuts(ct, mask, label, sheets, axis).items():
            number += 1
            path = folder / f"{number}_{name}_cut_{AXES[axis]}.png"
            if name == "errors":
                errors_png(path, picture[0], picture[1], picture[2])
            elif name == "sheets":
                colour_png(path, picture)
            else:
                grey_png(path, picture)


def _cuts(
    ct: npt.NDArray[Any], mask: npt.NDArray[np.bool_], label: npt.NDArray[Any], sheets: npt.NDArray[Any], axis: int
) -> dict[str, Any]:
    others = tuple(other for other in range(3) if other != axis)
    place = int(np.argmax((label == 1).sum(axis=others)))

    def cut(volume: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return np.repeat(np.repeat(np.take(volume, place, axis), LARGER, 0), LARGER, 1)

    return {
        "ct": cut(ct),
        "sheets": coloured(cut(sheets)),
        "errors": (cut(mask), cut(label) == 1, cut(label) != SURFACE_IGNORE),
    }


def coloured(sheets: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """(Y, X) numbers of colours, as `sheet_colours` gives them -> (Y, X, 3); 0 is the colour of what is neither."""
    return np.array([NEITHER, *SHEET_COLOURS], np.uint8)[sheets]

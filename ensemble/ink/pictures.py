"""What people open: the probability as TIFF and PNG, the mask as PNG, and the report's row of pictures."""

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ensemble.ink.predictors import FullSize, predictor_names
from scroll.config.schema import Settings
from scroll.data.sheets import Sheet
from scroll.report.pictures import errors_png, grey_png, prob_png, remove_pictures
from scroll.runtime.file_record import Contents, png_info, record_text
from scroll.runtime.files import written_aside

NUMBERED = re.compile(r"\d+_.+\.png")  # as this module calls its pictures


def save_probability(prob: NDArray[np.float32], folder: Path, pixel_um: float, record: Contents) -> None:
    """Write a (Y, X) probability as ink_prob.tif (uint8 0-255, tiled LZW BigTIFF with its resolution) and ink_prob.png.

    `record` says in both what they were made from (`scroll.runtime.file_record`).
    """
    import tifffile

    grey = (prob * 255).astype(np.uint8)  # truncated, as the segment folders' predictions are
    with written_aside(folder / "ink_prob.tif") as aside:
        per_cm = 1e4 / pixel_um
        tifffile.imwrite(
            aside,
            grey,
            bigtiff=True,
            tile=(256, 256),
            compression="lzw",
            resolution=(per_cm, per_cm),
            resolutionunit="CENTIMETER",
            description=record_text(record),
            metadata=None,  # tifffile's own description, which says the shape, would be a second one
        )
    prob_png(folder / "ink_prob.png", prob, record)


def write_mask_png(path: Path, mask: NDArray[np.bool_], record: Contents) -> None:
    """Write a (Y, X) bool mask as an 8-bit PNG of 0 and 255, at full size, with a record of what it was made from."""
    from PIL import Image

    with written_aside(path) as aside:
        Image.fromarray(mask.astype(np.uint8) * 255).save(aside, format="PNG", pnginfo=png_info(record))


def save_report_pictures(
    settings: Settings,
    fragment: Sheet,
    folder: Path,
    maps: Mapping[str, FullSize],
    mask: NDArray[np.bool_],
    truth: NDArray[np.bool_],
) -> None:
    """CT, label, every predictor, the ensemble and its errors as numbered PNGs in <folder>/pictures.

    `maps` holds, by name, what slices to a full-resolution (Y, X) probability.
    """
    pictures = folder / "pictures"
    remove_pictures(pictures, NUMBERED)
    grey_png(pictures / "1_ct_at_the_centre.png", fragment.picture())
    prob_png(pictures / "2_label.png", truth.astype(np.float32))
    for number, name in enumerate([*predictor_names(settings), "ensemble"], start=3):
        prob_png(pictures / f"{number}_{name}.png", maps[name][:])
    errors_png(pictures / f"{len(maps) + 3}_errors_of_the_ensemble.png", mask, truth, fragment.full_mask)

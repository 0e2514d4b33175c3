"""Pictures of maps and masks as PNG, at most 1400 pixels wide."""

import re
from pathlib import Path

import numpy as np
import numpy.typing as npt

from scroll.errors import InputError
from scroll.runtime.file_record import NOTHING, Contents, png_info
from scroll.runtime.files import written_aside

MAX_WIDTH_PX = 1400
DARKEST_PERCENT, BRIGHTEST_PERCENT = 0.5, 99.5

# Okabe and Ito's orange and sky blue against white: apart for every common kind of colour blindness, and in grey
FOUND = (255, 255, 255)  # ink, and predicted
INVENTED = (230, 159, 0)  # predicted, but no ink
MISSED = (86, 180, 233)  # ink, but not predicted
NEITHER = (0, 0, 0)
NOT_SCORED = (64, 64, 64)
LEGEND = {
    "ink, found": FOUND,
    "no ink, but predicted": INVENTED,
    "ink, but missed": MISSED,
    "no ink, none predicted": NEITHER,
    "not scored": NOT_SCORED,
}

# out of the schemes of Okabe and Ito and of Tol the six that are furthest apart for the three kinds of colour blindness, and
# bright enough to be seen on black
SHEET_COLOURS = (
    (86, 180, 233), (240, 228, 66), (170, 51, 119), (17, 119, 51), (255, 170, 187), (153, 153, 51),
)  # fmt: skip


def remove_pictures(folder: Path, ours: re.Pattern[str]) -> None:
    """Delete the files of `folder` that are called as `ours` are, then the folder if nothing else is in it; of a link the link alone."""
    if folder.is_symlink():
        folder.unlink()
        return
    for path in folder.glob("*.png"):
        if ours.fullmatch(path.name) and path.is_file():
            path.unlink()
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def grey_png(path: Path, array: npt.NDArray[np.number]) -> Path:
    """Write a (Y, X) array of any number type in grey, stretched so that all but the outermost half percents show.

    Raises:
        InputError: not two axes, nothing in it, or NaN.
    """
    _check(path, array)
    # a sample is enough for percentiles, and a fragment has 50 million pixels
    sample = array[:: max(1, array.shape[0] // 1000), :: max(1, array.shape[1] // 1000)]
    low, high = np.percentile(sample, (DARKEST_PERCENT, BRIGHTEST_PERCENT))
    if high <= low:
        low, high = float(array.min()), max(float(array.max()), float(array.min()) + 1)
    return _write(path, _as_bytes(array, float(low), float(high)))


def prob_png(path: Path, prob: npt.NDArray[np.number], record: Contents = NOTHING) -> Path:
    """Write a (Y, X) probability map in grey: 0 black, 1 white, the same for every map so that they compare.

    `record` says in it what it was made from.

    Raises:
        InputError: not two axes, nothing in it, or NaN.
    """
    _check(path, prob)
    return _write(path, _as_bytes(prob, 0.0, 1.0), record)


def colour_png(path: Path, image: npt.NDArray[np.uint8]) -> Path:
    """Write a (Y, X, 3) uint8 picture as it is."""
    return _write(path, image)


def errors_png(
    path: Path, pred: npt.NDArray[np.bool_], truth: npt.NDArray[np.bool_], valid: npt.NDArray[np.bool_]
) -> Path:
    """Write where a predicted mask is right and wrong, in the colours of `LEGEND`; all three are (Y, X) bool.

    Raises:
        InputError: the shapes differ, or not two axes.
    """
    if not pred.shape == truth.shape == valid.shape:
        raise InputError(f"{path}: masks of shapes {pred.shape}, {truth.shape} and {valid.shape}; expected one shape")
    _check(path, pred)
    return _write(path, error_colours(pred, truth, valid))


def error_colours(
    pred: npt.NDArray[np.bool_], truth: npt.NDArray[np.bool_], valid: npt.NDArray[np.bool_]
) -> npt.NDArray[np.uint8]:
    """Where a predicted mask is right and wrong, in the colours of `LEGEND`: (..., 3) of three bool arrays of one shape."""
    colours = np.array([NEITHER, INVENTED, MISSED, FOUND, NOT_SCORED], np.uint8)
    kind = (pred != 0).astype(np.uint8) + 2 * (truth != 0).astype(np.uint8)
    return np.asarray(colours[np.where(valid != 0, kind, 4)])


def _check(path: Path, array: npt.NDArray[np.generic]) -> None:
    if array.ndim != 2 or not array.size:
        raise InputError(f"{path}: cannot draw an array of shape {array.shape}, expected (Y, X) with something in it")
    if np.issubdtype(array.dtype, np.floating) and np.isnan(array).any():
        raise InputError(f"{path}: NaN in the array to draw; see whether tiles cover the whole fragment")


def _as_bytes(array: npt.NDArray[np.number], low: float, high: float) -> npt.NDArray[np.uint8]:
    scaled = (array.astype(np.float32) - np.float32(low)) * np.float32(255 / (high - low))
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)


def _write(path: Path, image: npt.NDArray[np.uint8], record: Contents = NOTHING) -> Path:
    """(Y, X) grey or (Y, X, 3) colour; wider pictures are shrunk by averaging, so that no stroke falls through."""
    from PIL import Image

    picture = Image.fromarray(image)
    if picture.width > MAX_WIDTH_PX:
        height = max(1, round(picture.height * MAX_WIDTH_PX / picture.width))
        picture = picture.resize((MAX_WIDTH_PX, height), Image.Resampling.BOX)
    with written_aside(path) as aside:
        picture.save(aside, format="PNG", pnginfo=png_info(record))
    return path

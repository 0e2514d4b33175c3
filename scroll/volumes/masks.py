"""Masks and labels as pictures: read, found beside the data under every usual name, compared; what is passed over is said."""

import filecmp
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scroll.errors import InputError, MissingInputError
from scroll.runtime.links import refuse_dead_link
from scroll.volumes.flat_picture import read_grey

MASK, INK, SUPERVISION = "mask", "inklabels", "supervision_mask"
READ = (MASK, INK, SUPERVISION)
CANVAS_SLACK = 1  # of a traced surface: programs round the canvas of its grid up or down
ENDINGS = (".png", ".tif", ".tiff")
OF_PICTURES = {*ENDINGS, ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".npy", ".zarr", ".eps", ".pgm"}
LIKE_ONE = ("mask", "inklabel", "ink_label")


def read_mask_png(path: Path, shape_yx: tuple[int, int] | None = None, slack: int = 0) -> NDArray[np.bool_]:
    """Read a 0/255 (or 0/1) picture, PNG or TIFF, as (Y, X) bool; what is transparent is false.

    It may be up to `slack` pixels higher or wider than `shape_yx`.

    Raises:
        MissingInputError: no such file.
        InputError: it has another size than `shape_yx`, colours, or values other than 0 and 1, 255 or the type's highest.
    """
    if not refuse_dead_link(path).exists():
        raise MissingInputError(
            f"{path}: not there; labels and masks lie beside the layers, or in the segment's folder: copy it there"
        )
    image = read_grey(path, shape_yx, slack)
    values = np.unique(image)
    white = np.iinfo(image.dtype).max if image.dtype.kind == "u" else 255
    if not any(set(values.tolist()) <= {0, high} for high in (1, 255, white)):
        raise InputError(f"{path}: holds values {values[:6].tolist()}, expected only 0 and 255; threshold it first")
    return np.asarray(image > 0)


def files_beside(folders: Sequence[Path], sheet_id: str, name: str, reserved: Sequence[str] = ()) -> list[Path]:
    """Files called <sheet_id>_<name> or <name>, letters of either case, PNG or TIFF; those with the sheet's own name first.

    `reserved` are names in small letters that mean something else there.

    Raises:
        MissingInputError: one of them is a link that leads nowhere.
    """
    stems = [f"{sheet_id}_{name}".lower(), name]
    found = [
        path
        for path in _inside(folders)
        if path.suffix.lower() in ENDINGS and path.stem.lower() in stems and path.name.lower() not in reserved
    ]
    found.sort(key=lambda path: (stems.index(path.stem.lower()), ENDINGS.index(path.suffix.lower()), path.name))
    return [refuse_dead_link(path) for path in found]


def read_beside(paths: Sequence[Path], shape_yx: tuple[int, int], slack: int = 0) -> NDArray[np.bool_]:
    """The (Y, X) bool picture that these files agree on; one up to `slack` pixels too high or wide is trimmed, and that is said.

    Raises:
        InputError: not readable as 0 and one other value, of another size, or two that differ.
    """
    first, *others = paths
    picture = _trimmed(first, shape_yx, slack)
    for other in others:
        if not filecmp.cmp(first, other, shallow=False) and (_trimmed(other, shape_yx, slack) != picture).any():
            raise InputError(
                f"{first} and {other} differ; expected one of the two: move away the one that is not meant"
            )
    return picture


def _trimmed(path: Path, shape_yx: tuple[int, int], slack: int) -> NDArray[np.bool_]:
    picture = read_mask_png(path, shape_yx, slack)
    if picture.shape != shape_yx:
        warnings.warn(
            f"{path}: is {picture.shape} (y, x) for a canvas of {shape_yx}; trimmed at the far edge: check that it is right",
            stacklevel=2,
        )
    return picture[: shape_yx[0], : shape_yx[1]]


def missing(folder: Path, name: str) -> MissingInputError:
    """The error for a picture that must be there; names what looks like it."""
    strange = ", ".join(path.name for path in _inside([folder]) if _is_like_one(path) and name in path.name.lower())
    there = f" (there is {strange}, which is not read)" if strange else ""
    return MissingInputError(
        f"{folder / name}.png: not there{there}; labels and masks lie beside the layers, or in the segment's folder: copy it there"
    )


def say_what_is_passed_over(folders: Sequence[Path], sheet_id: str, reserved: Sequence[str] = ()) -> None:
    """Warn of files that look like a mask or a label and are read as neither.

    Warns:
        UserWarning: there are some.
    """
    if not folders:
        return
    known = {f"{start}{name}" for name in READ for start in ("", f"{sheet_id}_".lower())}
    strange = [
        path.name
        for path in _inside(folders)
        if _is_like_one(path)
        and path.name.lower() not in reserved
        and not (path.stem.lower() in known and path.suffix.lower() in ENDINGS)
    ]
    if strange:
        expected = f"{MASK}.png, {sheet_id}_{MASK}.png, {INK}.png or {sheet_id}_{INK}.png"
        warnings.warn(
            f"{folders[0]}: {', '.join(strange[:4])} {'is' if len(strange) == 1 else 'are'} passed over; "
            f"expected {expected} (or .tif): rename what is meant, move the rest away",
            stacklevel=3,
        )


def _is_like_one(path: Path) -> bool:
    return path.suffix.lower() in OF_PICTURES and any(part in path.stem.lower() for part in LIKE_ONE)


def _inside(folders: Sequence[Path]) -> Iterator[Path]:
    for folder in folders:
        if folder.is_dir():
            yield from sorted(path for path in folder.iterdir() if not path.name.startswith("."))

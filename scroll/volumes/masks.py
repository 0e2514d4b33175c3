"""Masks and labels as pictures: read, found beside the data under every usual name, compared; what is passed over is said."""

import filecmp
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from scroll.errors import InputError, MissingInputError
from scroll.runtime.links import refuse_dead_link
from scroll.volumes.flat_picture import read_grey

MASK, INK, SUPERVISION, VALIDATION = "mask", "inklabels", "supervision_mask", "validation_mask"
PROPOSED = "proposed_mask"
NUMBERED = (INK, SUPERVISION, VALIDATION, PROPOSED)  # may end in _v<N>, and be a zarr
CANVAS_SLACK = 1  # programs round the canvas of a surface up or down
ENDINGS = (".png", ".tif", ".tiff")
ZARR = ".zarr"
OF_PICTURES = {*ENDINGS, ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".npy", ZARR, ".eps", ".pgm"}
LIKE_ONE = ("mask", "inklabel", "ink_label")
FULL_SCALE = 255  # of 8 bits: what a threshold of grey is counted in
Greys = int | Literal["refuse", "soft"]
MEND_GREY = (
    "set data.grey_labels to a number from 1 to 255, from which on a pixel is ink, or to soft, or threshold it first"
)


@dataclass(frozen=True)
class Picture:
    """What files say of a canvas: `values` (Y, X), bool, or float32 from 0 to 1; `known` (Y, X) is false where they were too small."""

    values: NDArray[Any]
    known: NDArray[np.bool_]


def read_mask_png(path: Path, shape_yx: tuple[int, int] | None = None, slack: int = 0) -> NDArray[np.bool_]:
    """Read a 0/255 (or 0/1) picture, PNG, TIFF or zarr, as (Y, X) bool; what is transparent is false.

    It may be `slack` pixels off `shape_yx` along either axis.

    Raises:
        MissingInputError: no such file.
        InputError: it has another size than `shape_yx`, colours, or values other than 0 and 1, 255 or the type's highest.
    """
    image = _read(path, shape_yx, slack)
    if not _is_hard(image):
        raise InputError(f"{path}: holds values {_values(image)}, expected only 0 and 255; threshold it first")
    return np.asarray(image > 0)


def read_ink(path: Path, shape_yx: tuple[int, int] | None, slack: int, greys: Greys) -> NDArray[Any]:
    """Read an ink label as (Y, X) bool, or, where `greys` is "soft", as float32 from 0 to 1: the share of the type's highest value.

    `greys`: "refuse" takes 0 and 255 alone; a number is the grey, of 255, from which on a pixel is ink.

    Raises:
        MissingInputError: no such file.
        InputError: as `read_mask_png`, greys where they are refused, or numbers without a highest value.
    """
    image = _read(path, shape_yx, slack)
    if _is_hard(image):
        return np.asarray(image > 0, np.float32 if greys == "soft" else bool)
    if greys == "refuse":
        raise InputError(f"{path}: holds values {_values(image)}, expected only 0 and 255; {MEND_GREY}")
    if image.dtype.kind != "u":
        raise InputError(
            f"{path}: holds {image.dtype}, expected grey of 8 or 16 bits; save it as 8-bit grey, 255 is surely ink"
        )
    white = int(np.iinfo(image.dtype).max)
    if greys == "soft":
        return np.asarray(image.astype(np.float64) / white, np.float32)
    return np.asarray(image >= -(-greys * white // FULL_SCALE))


def _read(path: Path, shape_yx: tuple[int, int] | None, slack: int) -> NDArray[Any]:
    if not refuse_dead_link(path).exists():
        raise MissingInputError(
            f"{path}: not there; labels and masks lie beside the layers, or in the segment's folder: copy it there"
        )
    if path.suffix.lower() == ZARR:
        from scroll.volumes.label_zarr import read_label_zarr

        return read_label_zarr(path, shape_yx, slack)
    return read_grey(path, shape_yx, slack)


def _is_hard(image: NDArray[Any]) -> bool:
    """Whether it holds 0 and at most one other value: 1, 255 or the type's highest."""
    white = int(np.iinfo(image.dtype).max) if image.dtype.kind == "u" else FULL_SCALE
    values = set(np.unique(image).tolist())
    return any(values <= {0, high} for high in (1, FULL_SCALE, white))


def _values(image: NDArray[Any]) -> list[Any]:
    return list(np.unique(image)[:6].tolist())


def files_beside(
    folders: Sequence[Path], sheet_id: str, name: str, reserved: Sequence[str] = (), version: int | None = None
) -> list[Path]:
    """Files called <sheet_id>_<name> or <name>, letters of either case, PNG or TIFF; those with the sheet's own name first.

    Labels may also be zarrs, and end in _v<N>, without which they are version 0: of `version`, or of the greatest number.
    `reserved` are names in small letters that mean something else there.

    Raises:
        MissingInputError: one of them is a link that leads nowhere, or there is no such version.
    """
    found: list[tuple[int, int, Path]] = []
    for path in _inside(folders):
        named = _named(path, sheet_id, name)
        if named is not None and path.name.lower() not in reserved:
            found.append((*named, path))
    versions = sorted({number for number, _, _ in found})
    if version is not None and version not in versions:
        there = ", ".join(f"version {number}" for number in versions) or "none"
        raise MissingInputError(
            f"{folders[0] / name}: data.label_versions asks for version {version}, there is {there}; ask for one that is there"
        )
    newest = max(versions, default=0) if version is None else version
    ranked = [(rank, path) for number, rank, path in found if number == newest]
    ranked.sort(key=lambda one: (one[0], (*ENDINGS, ZARR).index(one[1].suffix.lower()), one[1].name))
    return [refuse_dead_link(path) for _, path in ranked]


def all_beside(folders: Sequence[Path], sheet_id: str) -> list[Path]:
    """The masks and labels of a sheet of every kind, format and version."""
    return [path for path in _inside(folders) if any(_named(path, sheet_id, name) for name in (MASK, *NUMBERED))]


def newest_version(folders: Sequence[Path], sheet_id: str) -> int:
    """The greatest number that a label or mask of a sheet bears; 0 where none bears one."""
    named = [_named(path, sheet_id, name) for path in _inside(folders) for name in NUMBERED]
    return max((found[0] for found in named if found is not None), default=0)


def _named(path: Path, sheet_id: str, name: str) -> tuple[int, int] | None:
    """The version that a file of this kind is, and 0 where it bears the sheet's own name, else 1; None where it is no such file."""
    is_label = name in NUMBERED
    if path.suffix.lower() not in ((*ENDINGS, ZARR) if is_label else ENDINGS):
        return None
    pattern = rf"({re.escape(sheet_id)}_)?{name}" + (r"(?:_v(\d{1,9}))?" if is_label else "()")
    match = re.fullmatch(pattern, path.stem, re.IGNORECASE | re.ASCII)
    return None if match is None else (int(match[2] or 0), 0 if match[1] else 1)


def read_beside(paths: Sequence[Path], shape_yx: tuple[int, int], slack: int = 0) -> NDArray[np.bool_]:
    """The (Y, X) bool picture that these files agree on; see `read_picture`, what is filled up is false."""
    return read_picture(paths, shape_yx, slack).values


def read_picture(
    paths: Sequence[Path], shape_yx: tuple[int, int], slack: int = CANVAS_SLACK, greys: Greys | None = None
) -> Picture:
    """What these files agree on. One up to `slack` pixels too large is trimmed, one too small filled up, and that is said.

    `greys`: of an ink label, see `read_ink`; None: a mask.

    Raises:
        InputError: not readable as what it is, of another size, or two that differ.
    """
    first, *others = paths
    picture = _fitted(first, shape_yx, slack, greys)
    for other in others:
        if filecmp.cmp(first, other, shallow=False):
            continue
        also = _fitted(other, shape_yx, slack, greys)
        known = picture.known & also.known
        if ((picture.values != also.values) & known).any():
            raise InputError(
                f"{first} and {other} differ; expected one of the two: move away the one that is not meant"
            )
        picture = Picture(picture.values, known)
    return picture


def _fitted(path: Path, shape_yx: tuple[int, int], slack: int, greys: Greys | None) -> Picture:
    read = read_mask_png(path, shape_yx, slack) if greys is None else read_ink(path, shape_yx, slack, greys)
    if read.shape == shape_yx:
        return Picture(read, np.ones(shape_yx, bool))
    how = [
        *(["trimmed"] if any(n > size for n, size in zip(read.shape, shape_yx, strict=True)) else []),
        *(["filled up with unknown"] if any(n < size for n, size in zip(read.shape, shape_yx, strict=True)) else []),
    ]
    warnings.warn(
        f"{path}: is {read.shape} (y, x) for a canvas of {shape_yx}; {' and '.join(how)} at the far edge: check that it is right",
        stacklevel=2,
    )
    read = read[: shape_yx[0], : shape_yx[1]]
    beyond = [(0, size - n) for n, size in zip(read.shape, shape_yx, strict=True)]
    return Picture(np.pad(read, beyond), np.pad(np.ones(read.shape, bool), beyond))


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
    strange = [
        path.name
        for path in _inside(folders)
        if _is_like_one(path)
        and path.name.lower() not in reserved
        and all(_named(path, sheet_id, name) is None for name in (MASK, *NUMBERED))
    ]
    if strange:
        expected = (
            f"{MASK}.png, {sheet_id}_{MASK}.png, {INK}.png or {sheet_id}_{INK}.png (labels also {INK}_v2.png or .zarr)"
        )
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

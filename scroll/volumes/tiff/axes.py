"""Which axis the pages of a TIFF file go along: slices are read, channels and times taken for slices are not."""

import html
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scroll.errors import InputError

SLICES = {"Z", "I", "Q"}  # I and Q: pages that nobody named
NAMES = {"C": "channels", "T": "times", "S": "samples", "Z": "slices"}
OME_SIZES = re.compile(r"\bSize([ZCT])\s*=\s*[\"'](\d{1,9})[\"']")
OME_IMAGE = re.compile(r"<(?:\w+:)?Pixels\b[^>]{0,4000}>")
TIFF_DATA = re.compile(r"<(?:\w+:)?TiffData\b([^>]{0,1000}?)(?:/>|>(.{0,2000}?)</(?:\w+:)?TiffData>)", re.DOTALL)
BLOCK = re.compile(r"\b(FirstZ|IFD)\s*=\s*[\"'](\d{1,9})[\"']")
FILE_NAME = re.compile(r"\bFileName\s*=\s*[\"']([^\"']{1,1000})[\"']")
OTHER_KINDS = ("is_shaped", "is_lsm", "is_stk", "is_micromanager", "is_fluoview", "is_scanimage", "is_nih", "is_sis")


def slice_count(path: Path, tiff: Any, pages: int) -> int:
    """How many slices an open file of `pages` headers holds: more than one behind a single header where ImageJ wrote it.

    Raises:
        InputError: the pages go along channels or times, along several axes, or there are fewer than the file says.
    """
    first = tiff.pages[0]
    if first.is_ome:
        return _by_ome(path, first.description, pages)
    fit = _slices_that_fit(path, first)
    if max(pages, fit) < 2:
        return pages  # a page that was split off, whatever is said of the whole
    if first.is_imagej:
        header = tiff.imagej_metadata or {}
        _check(path, "ImageJ", {"C": _number(header.get("channels")), "T": _number(header.get("frames"))}, pages)
        return _behind_one_header(path, _number(header.get("images")), fit) if pages == 1 else pages
    if any(getattr(tiff, kind) for kind in OTHER_KINDS):
        return _by_series(path, tiff, pages, fit)
    return pages


def _slices_that_fit(path: Path, page: Any) -> int:
    """How many raw slices may lie one after the other from the first one's place to the end of the file."""
    if not page.is_final or not page.nbytes:
        return 1
    return max(1, int((path.stat().st_size - page.dataoffsets[0]) // page.nbytes))


def _behind_one_header(path: Path, count: int, fit: int) -> int:
    if count > fit:
        raise InputError(
            f"{path}: one header for {count} slices, but the file ends after {fit}; expected them raw, one after the other: "
            "copy or download the file again"
        )
    return count


def _number(value: Any) -> int:
    return value if isinstance(value, int) and value > 0 else 1


def _by_ome(path: Path, description: str, pages: int) -> int:
    images = OME_IMAGE.findall(description)
    if pages > 1:
        _check_order(path, description)
    for image in images:
        sizes = {axis: int(size) for axis, size in OME_SIZES.findall(image)}
        _check(path, "OME", {axis: sizes.get(axis, 1) for axis in "CT"}, pages)
        if 1 < pages != sizes.get("Z", pages):
            raise InputError(
                f"{path}: holds {pages} pages, but its OME header says {sizes['Z']} slices; expected all in one file: "
                "export the volume as one TIFF"
            )
    if len(images) > 1 < pages:
        raise InputError(
            f"{path}: holds {len(images)} images, as its OME header says; expected one volume: export it alone"
        )
    return pages


def _check_order(path: Path, description: str) -> None:
    """Refuse pages that are said to lie in several files, or in another order than they are read in."""
    blocks = TIFF_DATA.findall(description)
    files = sorted({name for _, content in blocks for name in FILE_NAME.findall(content)})
    if len(files) > 1:
        raise InputError(
            f"{path}: its OME header lays slices into {len(files)} files, such as {html.unescape(files[-1])!s:.80}; expected all in one: "
            "export the volume as one TIFF"
        )
    for block in (dict(BLOCK.findall(attributes)) for attributes, _ in blocks):
        if block.get("FirstZ", block.get("IFD")) != block.get("IFD", block.get("FirstZ")):
            raise InputError(
                f"{path}: its OME header says that page {block['IFD']} is slice {block['FirstZ']}; expected pages in the order of slices: "
                "export the volume again"
            )


def _by_series(path: Path, tiff: Any, pages: int, fit: int) -> int:
    """By what tifffile makes of the other programs' headers."""
    series, *others = tiff.series
    if others and any(len(one.pages) > 1 for one in (series, *others)):
        raise InputError(f"{path}: holds {1 + len(others)} series of pages; expected one volume: export it alone")
    sizes = dict.fromkeys(series.axes, 1)
    unnamed = []
    for axis, size in zip(series.axes, series.shape, strict=True):
        if axis in SLICES and size > 1:
            unnamed.append(size)
        sizes[axis] *= size
    if len(unnamed) > 1:
        shape = " x ".join(map(str, series.shape))
        raise InputError(f"{path}: its header says {shape}; expected one axis of slices: export one volume alone")
    _check(path, "own", {axis: n for axis, n in sizes.items() if axis not in {*SLICES, "Y", "X", "S"}}, pages)
    slices = math.prod(sizes.get(axis, 1) for axis in SLICES)
    return _behind_one_header(path, slices, fit) if pages == 1 else pages


def _check(path: Path, whose: str, sizes: Mapping[str, int], pages: int) -> None:
    """Refuse a file whose other axes are longer than one."""
    more = {axis: size for axis, size in sizes.items() if size > 1}
    if not more:
        return
    found = " and ".join(f"{size} {NAMES.get(axis, f'along axis {axis}')}" for axis, size in more.items())
    raise InputError(
        f"{path}: holds {found} ({pages} pages), as its {whose} header says; expected slices alone: export one channel "
        "of one time, or name the axis Z if it is slices that are meant"
    )

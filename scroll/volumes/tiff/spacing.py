"""The size of a voxel that a TIFF file of many pages tells: ImageJ's spacing, or the physical size of an OME-TIFF."""

import html
import re
import warnings
from pathlib import Path
from typing import Any

from scroll.volumes.place import words
from scroll.volumes.tiff.pages import opened_tiff
from scroll.volumes.voxel_size import Stated, is_same, length_um, scale_um

OME_SIZE = re.compile(r"""PhysicalSize([XYZ])\s*=\s*["']([^"']+)["']""")
OME_UNIT = re.compile(r"""PhysicalSize([XYZ])Unit\s*=\s*["']([^"']+)["']""")


def stated_in_tiff(path: Path) -> list[Stated]:
    """The size along z, where its unit is stated and pixels are as wide as slices are apart; else nothing.

    Raises:
        InputError: no readable TIFF.

    Warns:
        UserWarning: the voxels are no cubes; then no size is believed.
    """
    with opened_tiff(path) as tiff:
        imagej = tiff.imagej_metadata
        ome = tiff.ome_metadata
        who, found = (
            ("its ImageJ spacing", _of_imagej(imagej, tiff.pages[0])) if imagej else ("its OME-XML", _of_ome(ome))
        )
    if found is None:
        return []
    sizes = scale_um(*found)
    if sizes is None:
        return []
    if not all(is_same(size, sizes[0]) for size in sizes):
        warnings.warn(
            f"{path}: {who} says voxels of {words(sizes)} um (z, y, x); expected cubes, so it is not believed",
            stacklevel=4,
        )
        return []
    return [Stated(who, sizes[0])]


Found = tuple[list[float], list[str]]  # steps and their units along z, and y and x where they are given


def _of_imagej(metadata: dict[str, object], page: Any) -> Found | None:
    spacing = length_um(metadata.get("spacing"))
    if spacing is None:
        return None
    steps = [spacing]
    for name in ("YResolution", "XResolution"):
        tag = page.tags.get(name)
        count, length = tag.value if tag is not None else (0, 1)
        if count and length and count != length:  # 1 pixel to a unit is what stands there where nobody set it
            steps.append(length / count)
    return steps, [str(metadata.get("unit", ""))] * len(steps)


def _of_ome(text: str | None) -> Found | None:
    sizes, units = dict(OME_SIZE.findall(text or "")), dict(OME_UNIT.findall(text or ""))
    steps = {axis: length_um(sizes.get(axis)) for axis in "ZYX"}
    if steps["Z"] is None:
        return None
    there = [axis for axis, step in steps.items() if step is not None]
    return [steps[axis] or 0.0 for axis in there], [
        html.unescape(units.get(axis, "um")) for axis in there
    ]  # OME's own unit is the micrometre

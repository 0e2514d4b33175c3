"""What is written down about the size of a voxel: in JSON beside the data, in its own scale, or in the name."""

import math
import re
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from scroll.errors import InputError
from scroll.runtime.files import read_json
from scroll.volumes.place import SAME
from scroll.volumes.url import Url

# "20230210143520-2.400um-0.2m-78keV.zarr", "54keV_7.91um_Scroll1A.zarr"; in "7_91um" a point may be meant, so it says nothing
IN_NAME = re.compile(r"(?:^|[-_])(\d+(?:\.\d+)?)[uµμ]m(?=[-_.]|$)")
SPLIT_IN_NAME = re.compile(r"(?:^|[^\d.])\d{1,3}[-_,p]\d+[uµμ]m(?=[-_.]|$)")
COARSE_IN_NAME = re.compile(r"(?:^|[-_])L[1-9]\d*(?=[-_.]|$)")  # a prediction "-L2-" was made at level 2
WITH_UNIT = re.compile(r"([\d.eE+-]{1,40})\s*([^\W\d_]\w*)")
PIXEL_MM = ("scan", "tomo", "acquisition", "detector", "samplePixelSize")
IN_JSON = (  # file, keys, micrometres to its unit
    ("meta.json", ("voxelsize",), 1.0),
    ("metadata.json", ("scan", "voxelsize"), 1.0),
    ("metadata.json", PIXEL_MM, 1e3),
)
OF_SOURCE = ("metadata.json", ("source", "metadata", *PIXEL_MM), 1e3)  # of the volume that it was made from
UM = {
    "angstrom": 1e-4, "ångström": 1e-4, "ångstrom": 1e-4, "å": 1e-4,
    "picometer": 1e-6, "picometre": 1e-6, "pm": 1e-6,
    "nanometer": 1e-3, "nanometre": 1e-3, "nm": 1e-3,
    "micrometer": 1.0, "micrometre": 1.0, "micron": 1.0, "um": 1.0, "μm": 1.0,
    "millimeter": 1e3, "millimetre": 1e3, "mm": 1e3,
    "centimeter": 1e4, "centimetre": 1e4, "cm": 1e4,
    "meter": 1e6, "metre": 1e6, "m": 1e6,
    "inch": 25400.0, "in": 25400.0,
}  # fmt: skip
CAPITALS = {"Mm", "MM", "NM", "PM", "UM", "CM", "M", "IN"}  # of short units, which mean something else or nothing
LEAST_UM, MOST_UM = 0.01, 1000.0  # of a voxel of a CT; outside, a scale is no size but a number that had to be written


class Stated(NamedTuple):
    """A size in micrometres and who says so; not `is_own` where it is that of the volume it was made from."""

    who: str
    um: float
    is_own: bool = True


def unit_um(unit: str) -> float | None:
    """Micrometres to a unit of length in any spelling; None of what is none, such as "pixel" or "".

    >>> unit_um("nanometre"), unit_um("\\u00b5m"), unit_um("\\u03bcm"), unit_um("microns"), unit_um("pixel")
    (0.001, 1.0, 1.0, 1.0, None)
    """
    text = unit.strip().replace("\\u00B5", "µ").replace("µ", "μ")
    if text in CAPITALS:
        return None
    text = text.lower().rstrip(".")
    return UM.get(text, UM.get(text.removesuffix("s")) if len(text) > 4 else None)


def in_um(value: float, unit: float) -> float:
    """A length in micrometres, without the last digits that a change of unit leaves: 0.002403 mm is 2.403."""
    return float(f"{value * unit:.12g}")


def scale_um(scale: Sequence[float], units: Sequence[str]) -> tuple[float, ...] | None:
    """A scale as micrometres along its axes; None where it is no size.

    That is: without a unit of length, with 1 for all axes, which is written where nobody knows, or out of the range of any CT.
    """
    found = [unit_um(unit) for unit in units]
    if len(found) != len(scale) or all(step == 1 for step in scale):
        return None
    sizes = tuple(in_um(step, um) for step, um in zip(scale, found, strict=True) if um is not None)
    is_size = len(sizes) == len(scale) and all(LEAST_UM <= size <= MOST_UM for size in sizes)
    return sizes if is_size else None


def read_beside(folder: Path | Url, name: str) -> Any:
    """The JSON `name` in `folder`, None where there is none.

    Raises:
        InputError: it is there but is not JSON.
    """
    file = Path(folder) / name
    return read_json(file) if file.is_file() else None


def settled_um(
    where: Path | Url | str, stated: Iterable[Stated], name: str, expected_um: float | None = None
) -> float | None:
    """One size of what the metadata of `where` say, and of its name, which gives way to them.

    `expected_um` decides between metadata that contradict each other.

    Raises:
        InputError: metadata differ by more than 1 %, and none of them is `expected_um`; names both.

    Warns:
        UserWarning: the name says something else than the metadata.
    """
    found = list(stated)
    found = [one for one in found if one.is_own] or found[:1]
    named = in_name_um(name)
    if not found:
        return named
    if not all(is_same(one.um, found[0].um) for one in found):
        fitting = [one for one in found if expected_um is not None and is_same(one.um, expected_um)]
        if not fitting:
            sizes = ", ".join(f"{one.who} says voxels of {one.um:g} um" for one in found)
            raise InputError(
                f"{where}: {sizes}; expected one size: mend the wrong one, or set voxel_um to the right one"
            )
        found = fitting
    if named is not None and not is_same(named, found[0].um):
        warnings.warn(
            f"{where}: its name says voxels of {named:g} um, {found[0].who} {found[0].um:g} um, which is used",
            stacklevel=4,
        )
    return found[0].um


def is_same(one: float, other: float) -> bool:
    """Whether two lengths differ by no more than 1 %."""
    return math.isclose(one, other, rel_tol=SAME)


def recorded_voxel_um(
    folders: Sequence[Path | Url], name: str, read: Callable[[Path | Url, str], Any] = read_beside
) -> float | None:
    """Edge of a level-0 voxel in micrometres, from `meta.json` or `metadata.json` in `folders`, else from `name`.

    `read` gives a folder's JSON of a given name; None where there is none. The size is None where nothing tells it, or
    where the name tells two different sizes.

    Raises:
        InputError: one of the files is there but is not JSON, or two of them contradict each other.
    """
    return settled_um(folders[0] if folders else name, stated_beside(folders, read, name), name)


def stated_beside(
    folders: Iterable[Path | Url], read: Callable[[Path | Url, str], Any] = read_beside, name: str = ""
) -> list[Stated]:
    """All that JSON in the folders says. What it says of a source is left out where `name` is of a coarser level.

    Raises:
        InputError: one of the files is there but is not JSON.
    """
    found: dict[tuple[str, ...], Stated] = {}
    for folder in folders:
        contents = {file: read(folder, file) for file in ("meta.json", "metadata.json")}
        for file, keys, unit in IN_JSON:
            size = written_um(_dig(contents[file], keys), unit)
            if size is not None:  # the nearest folder that says it counts
                found.setdefault((file, *keys), Stated(f"{file} ({'.'.join(keys)})", size))
        source, path, unit = OF_SOURCE
        size = None if COARSE_IN_NAME.search(name) else written_um(_dig(contents[source], path), unit)
        if size is not None:
            found.setdefault((source, *path), Stated(f"{source} ({'.'.join(path)})", size, is_own=False))
    return list(found.values())


def in_name_um(name: str) -> float | None:
    """What the name says, where it says one thing."""
    sizes = {float(found) for found in IN_NAME.findall(name)}
    return length_um(sizes.pop()) if len(sizes) == 1 and not SPLIT_IN_NAME.search(name) else None


def _dig(content: Any, keys: tuple[str, ...]) -> Any:
    for key in keys:
        content = content.get(key) if isinstance(content, dict) else None
    return content


def written_um(value: Any, unit: float = 1.0) -> float | None:
    """A size as JSON has it, in micrometres: a number of `unit`, a text with a unit of its own, or one for each axis, all the same.

    >>> written_um(7.91), written_um("3.24 um"), written_um(0.00324, 1e3), written_um([7.91, 7.91, 7.91]), written_um([1, 2, 2])
    (7.91, 3.24, 3.24, 7.91, None)
    """
    if isinstance(value, list):
        each = {None if isinstance(one, list) else written_um(one, unit) for one in value} if len(value) < 4 else {None}
        return each.pop() if len(each) == 1 else None
    found = WITH_UNIT.fullmatch(value.strip()) if isinstance(value, str) else None
    own_unit = unit_um(found[2]) if found else None
    size = length_um(value) if found is None or own_unit is None else length_um(found[1])
    return None if size is None else in_um(size, own_unit or unit)


def length_um(value: Any) -> float | None:
    """A written number as micrometres, also where it is written as text; None where it is no length."""
    try:
        size = float(value)
    except (TypeError, ValueError):
        return None
    return size if 0 < size < float("inf") else None

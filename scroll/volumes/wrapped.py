"""An image inside of what a microscope's converter wrote: one folder down, or with time and channels of which there is one."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from scroll.errors import InputError
from scroll.volumes.multiscales import SPACE, Multiscales, entries_of

LAYOUT = "bioformats2raw.layout"


def image_in(where: Any, group: Any) -> Any:
    """The group itself where it holds an image or arrays; else the one image among the groups in it.

    Raises:
        InputError: there are several images; names them.
    """
    attributes = group.attrs.asdict()
    if entries_of(attributes) or (group.store.supports_listing and any(True for _ in group.array_keys())):
        return group
    ome = attributes.get("ome")
    is_layout = LAYOUT in attributes or (isinstance(ome, dict) and LAYOUT in ome)
    if not is_layout and not group.store.supports_listing:
        return group
    names = [name for name in _children(group) if _is_image(group.get(name))]
    if len(names) > 1:
        raise InputError(
            f"{where}: holds the images {', '.join(names)}; expected one: point at the one that you mean, such as {where}/{names[0]}"
        )
    return group[names[0]] if names else group


def _children(group: Any) -> Sequence[str]:
    """Groups in a group; where a server cannot list them, those that its series names, or those called 0, 1, 2, ... without a gap."""
    if group.store.supports_listing:
        return sorted(group.group_keys(), key=natural)
    series = group.get("OME")
    listed = series.attrs.asdict().get("series") if series is not None else None
    if isinstance(listed, list):
        return [str(name) for name in listed]
    return list(itertools.takewhile(lambda name: group.get(name) is not None, map(str, itertools.count())))


def _is_image(child: Any) -> bool:
    return child is not None and not hasattr(child, "shape") and bool(entries_of(child.attrs.asdict()))


def natural(name: str) -> tuple[bool, int, str]:
    """Numbers as numbers, before all other names: 2 comes before 10."""
    return (False, int(name), name) if name.isdecimal() else (True, 0, name)


def axes_of(where: Any, array: Any, image: Multiscales | None) -> tuple[str, ...]:
    """The axes of an array, z before y before x; () where neither its image nor the array itself names them.

    Raises:
        InputError: another order, as many names as it has no axes, or two lists of names that contradict each other.
    """
    own = _own_names(array)
    axes = image.axes if image is not None else ()
    if axes and len(axes) != len(array.shape):
        raise InputError(
            f"{where}: names {len(axes)} axes ({', '.join(axes)}), but its array has {len(array.shape)}; mend its axes"
        )
    pairs = zip(axes, own, strict=False)
    if axes and any(name in "tczyx" and name not in ("", axis) for axis, name in pairs):
        raise InputError(
            f"{where}: axes are {', '.join(axes)}, but the array names its dimensions {', '.join(own)}; expected the same twice: mend the "
            "wrong one"
        )
    axes = axes or own
    space = [name for name in axes if name in [*SPACE]]
    if space != sorted(space, key=SPACE.index):
        raise InputError(f"{where}: axes are {', '.join(axes)}; expected z, y, x: transpose the data, or mend its axes")
    return axes if any(name in "tczyx" and name for name in axes) else ()


def _own_names(array: Any) -> tuple[str, ...]:
    """What an array calls its dimensions: zarr 3 in its metadata, zarr 2 as xarray does."""
    names = getattr(array.metadata, "dimension_names", None) or array.attrs.asdict().get("_ARRAY_DIMENSIONS")
    is_list = isinstance(names, list | tuple) and len(names) == len(array.shape)
    return tuple("" if name is None else str(name).lower() for name in names) if is_list else ()


def spatial(where: Any, array: Any, axes: Sequence[str], labels: Sequence[str] = ()) -> Any:
    """An array without its axes of time and channel, of which there must be one each; itself where it has three axes.

    Our own maps (channel, y, x) are taken as they are: the viewers show their channels as layers.

    Raises:
        InputError: there are several; names them.
    """
    is_own_map = "made_with" in array.attrs.asdict()
    if not axes or is_own_map or (all(axis in axes for axis in SPACE) and len(axes) == 3):
        return array
    for axis, length in zip(axes, array.shape, strict=True):
        if axis not in [*SPACE] and length != 1:
            kind = {"t": "times", "c": "channels"}.get(axis, f"places along {axis or 'an axis without a name'}")
            named = f" ({', '.join(labels)})" if axis == "c" and labels else ""
            raise InputError(
                f"{where}: holds {length} {kind}{named}; expected one: write the one that you mean as a volume of its own"
            )
    if len(array.shape) == 3:
        return array
    return OneOfEach(array, tuple(number for number, axis in enumerate(axes) if axis in [*SPACE]))


class OneOfEach:
    """A lazy (Z, Y, X) array over one of more axes, those not in `kept` of length 1."""

    def __init__(self, array: Any, kept: tuple[int, ...]) -> None:
        self.array, self.kept = array, kept
        self.shape = tuple(int(array.shape[axis]) for axis in kept)
        self.dtype = np.dtype(array.dtype)
        self.chunks = tuple(int(array.chunks[axis]) for axis in kept)
        self.shards = None if array.shards is None else tuple(int(array.shards[axis]) for axis in kept)

    @property
    def store(self) -> Any:
        """Where the array is stored."""
        return self.array.store

    def __getitem__(self, box: tuple[slice, ...]) -> Any:
        """The block of three slices."""
        full: list[Any] = [0] * len(self.array.shape)
        for axis, part in zip(self.kept, box, strict=True):
            full[axis] = part
        return self.array[tuple(full)]

    def __reduce__(self) -> Any:
        return OneOfEach, (self.array, self.kept)

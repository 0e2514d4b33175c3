"""What the metadata of an opened zarr say of its place, its channels and the size of its voxels."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scroll.volumes.levels import level_place
from scroll.volumes.multiscales import SPACE, Multiscales
from scroll.volumes.place import Place, words
from scroll.volumes.url import Url
from scroll.volumes.voxel_size import Stated, is_same, scale_um, settled_um, stated_beside, written_um


def place_at(
    path: Path | Url, arrays: tuple[Any, Any], image: Multiscales | None, level: int, axes: Sequence[str]
) -> Place:
    """Where a level is; `arrays` are its own and that of level 0, None where that is not there.

    Raises:
        InputError: its scale and its shape contradict each other, or neither tells its steps.
    """
    array, finest = arrays
    return level_place(
        path, image, level, _space_shape(array, axes), None if finest is None else _space_shape(finest, axes)
    )


def _space_shape(array: Any, axes: Sequence[str]) -> Sequence[int]:
    if not axes or not all(axis in axes for axis in SPACE):
        return tuple(array.shape)[-3:]
    return [array.shape[axes.index(axis)] for axis in SPACE]


def channel_names(group: Any) -> list[str]:
    """What an image calls its channels."""
    attributes = {} if group is None else group.attrs.asdict()
    ome = attributes.get("ome")
    omero = attributes.get("omero") or (ome.get("omero") if isinstance(ome, dict) else None)
    listed = omero.get("channels") if isinstance(omero, dict) else None
    labelled = [one for one in listed if isinstance(one, dict) and one.get("label")] if isinstance(listed, list) else []
    return [str(one["label"]) for one in labelled]


def level_0_um(
    path: Path | Url, opened: tuple[Any, Any], image: Multiscales | None, expected_um: float | None
) -> float | None:
    """Edge along z of a voxel of level 0."""
    group, array = opened
    attributes = {} if group is None else group.attrs.asdict()
    own = written_um(attributes.get("voxelsize"))
    stated = [] if own is None else [Stated("its attribute voxelsize", own)]
    stated += _written_beside(path, array)
    sizes = um_of_scale(image)
    is_even = sizes is not None and all(is_same(size, sizes[0]) for size in sizes)
    if sizes is not None and is_even:
        stated.append(Stated("its scale", sizes[0]))
    found = settled_um(path, stated, path.name, expected_um)
    if found is None:
        uneven = f"its scale is uneven, {words(sizes)} um along z, y, x" if sizes else "a scale of 1, 2, 4, ... is none"
        warnings.warn(
            f"{path}: nothing tells the voxel size ({uneven}); lengths will be in voxels: "
            "give voxel_um, or write meta.json with 'voxelsize' into the folder",
            stacklevel=3,
        )
    return found


def _written_beside(path: Path | Url, array: Any) -> list[Stated]:
    """The sizes in the JSON beside the data."""
    if not isinstance(path, Url):
        return stated_beside((path,), name=path.name)
    from scroll.volumes.remote import RemoteStore, json_at

    store = RemoteStore(path, array.store.settings)
    return stated_beside((path,), lambda _, name: json_at(store, name), path.name)


def um_of_scale(image: Multiscales | None) -> tuple[float, ...] | None:
    """Edges of a voxel of level 0 along z, y, x in micrometres, where its scale tells them."""
    scale = None if image is None else image.scale(0)
    return None if image is None or scale is None else scale_um(scale, image.space(image.units, ""))

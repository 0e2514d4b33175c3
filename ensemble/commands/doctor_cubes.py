"""What the doctor looks at in cubes of the surface competition: files, labels, folds, disk."""

import shutil
from typing import TYPE_CHECKING

import numpy as np

from scroll.data.labels import surface_label
from scroll.errors import InputError
from scroll.volumes.tiff import cube as tiff_cube
from scroll.volumes.voxel_size import is_same

if TYPE_CHECKING:
    from scroll.config.schema import Settings
    from scroll.data.cubes import Cube

SPARE_GIB = 1.0
MAPS_A_CUBE = 2  # float16 bytes a voxel of each member's out-of-fold map, before compression


def described(cube: "Cube") -> str:
    """One line about a cube, as far as it can be read."""
    try:
        volume = tiff_cube.open(cube.image)
        return f"cube '{cube.id}' of scroll '{cube.volume_name}': {volume.shape} {volume.dtype}"
    except InputError:
        return f"cube '{cube.id}'"


def check_cube(cube: "Cube") -> None:
    """Both files, that they belong together, and that there is something to learn from; reads the label.

    Raises:
        InputError: the first thing that is wrong.
    """
    volume = tiff_cube.open(cube.image)
    if volume.voxel_um is not None and not is_same(volume.voxel_um, cube.data.voxel_um):
        raise InputError(
            f"{cube.image}: its header says voxels of {volume.voxel_um:g} um, data.voxel_um is {cube.data.voxel_um:g}; set the right one"
        )
    if cube.label_path is None:
        return
    drawn = tiff_cube.open(cube.label_path)
    if drawn.shape != volume.shape:
        raise InputError(
            f"{cube.label_path}: is {drawn.shape} (z, y, x) but {cube.image} is {volume.shape}; label and cube must match voxel for voxel"
        )
    label = surface_label(np.asarray(drawn[...]), str(cube.label_path))
    if not label.target.any():
        raise InputError(f"{cube.label_path}: no voxel is labelled 1, a surface; take the cube out of data.train")


def check_folds(settings: "Settings", cubes: "list[Cube]") -> None:
    """That the scrolls can be split as the settings say.

    Raises:
        InputError: too few scrolls for so many folds.
    """
    from scroll.data.folds import fold_numbers

    fold_numbers(cubes, settings.folds)


def check_disk(settings: "Settings", cubes: "list[Cube]") -> None:
    """That working copies and out-of-fold maps of all members find room.

    Raises:
        InputError: too little room, with what is needed and what there is.
    """
    voxels = sum(int(np.prod(tiff_cube.open(cube.image).shape, dtype=np.int64)) for cube in cubes)
    needed = voxels * (2 + MAPS_A_CUBE * len(settings.stage1.members)) / 2**30 + SPARE_GIB
    folder = settings.data.cache_dir.absolute()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free / 2**30
    if free < needed:
        raise InputError(
            f"{folder}: {free:.1f} GiB free, but working copies and out-of-fold maps take up to {needed:.1f} GiB; make room, or set "
            "data.cache_dir and run_dir elsewhere"
        )

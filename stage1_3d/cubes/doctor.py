"""What the doctor looks at in cubes of the surface competition: files, labels, folds, disk."""

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from scroll.config.schema import Settings
from scroll.data.cubes import Cube, training_cubes
from scroll.data.folds import fold_numbers
from scroll.data.labels import surface_label
from scroll.errors import InputError
from scroll.volumes.tiff import cube as tiff_cube
from scroll.volumes.voxel_size import is_same
from stage1_3d.doctor_checks import check_room

COPIES_A_CUBE = 2  # bytes a voxel of CT and label
MAPS_A_CUBE = 2  # float16 bytes a voxel of each member's out-of-fold map, before compression


def items_of(settings: Settings) -> list[Cube]:
    """The training cubes.

    Raises:
        MissingInputError: the list of them, or one of `data.train`, is not there.
    """
    return training_cubes(settings.data)


def checks_of_all(settings: Settings, cubes: list[Cube]) -> Iterator[tuple[str, Callable[[], object]]]:
    """What is looked at in all of them together: a name, and a check that raises InputError."""
    yield f"folds: {settings.folds.count} by {settings.folds.by}", partial(fold_numbers, cubes, settings.folds)
    yield "disk", partial(check_disk, settings, cubes)


def described(cube: Cube) -> str:
    """One line about a cube that is sound."""
    volume = tiff_cube.open(cube.image)
    return f"cube '{cube.id}' of scroll '{cube.volume_name}': {volume.shape} {volume.dtype}"


def check(cube: Cube) -> None:
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


def check_disk(settings: Settings, cubes: list[Cube]) -> None:
    """That working copies and out-of-fold maps of all members find room.

    Raises:
        InputError: too little room.
    """
    voxels = sum(int(np.prod(tiff_cube.open(cube.image).shape, dtype=np.int64)) for cube in cubes)
    check_room(settings, COPIES_A_CUBE * voxels, MAPS_A_CUBE * voxels * len(settings.stage1.members))

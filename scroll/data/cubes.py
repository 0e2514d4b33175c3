"""Cubes of CT in the surface competition's layout, with the labelled recto faces of the sheets in them."""

import csv
import filecmp
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from scroll.config.schema import DataSettings
from scroll.data.boxes import Size, box_inside, filled_up
from scroll.data.cube_index import CubeIndex, cube_index, cut_box, index_path
from scroll.data.intensity import AsStored, Intensity, robust_z_score
from scroll.data.labels import SURFACE_IGNORE, Label, surface_label
from scroll.errors import InputError, MissingInputError
from scroll.runtime.bounded import read_text
from scroll.runtime.links import refuse_dead_link
from scroll.runtime.names import checked_name
from scroll.runtime.processes import in_order, usable_cores
from scroll.runtime.progress import progress
from scroll.runtime.receipt import fingerprint, key_of
from scroll.volumes import open_volume

TIFF_ENDINGS = (".tif", ".tiff", ".TIF", ".TIFF", ".Tif", ".Tiff")
MOST_LIST_BYTES = 2**24
CUBES_A_PROCESS = 8  # to start a process takes as long as to read one or two
LAYOUT = "expected train.csv (id, scroll_id), train_images/<id>.tif and train_labels/<id>.tif"


@dataclass(frozen=True)
class Cube:
    """Where a cube is; everything is read when first asked for, and the voxels a patch at a time.

    `volume_name` is the scroll it was cut from: cubes of one scroll may be neighbours. A test cube has no `label_path`.
    """

    id: str
    volume_name: str
    image: Path
    label_path: Path | None
    data: DataSettings

    @cached_property
    def index(self) -> CubeIndex:
        """What is known of it; checks and copies both files when it is first asked for.

        Raises:
            InputError: a file is damaged, or the label does not belong to the cube.
        """
        return cube_index(self.image, self.label_path, self.data.cache_dir)

    @property
    def shape(self) -> Size:
        """Voxels along z, y, x."""
        return self.index.shape

    @property
    def rows(self) -> int:
        """Voxels along y, the axis that folds speak of and predictions are written along."""
        return self.shape[1]

    @property
    def folder(self) -> Path:
        """Where its files lie."""
        return self.image.parent.parent

    @property
    def pixel_um(self) -> float:
        """Edge of a voxel in micrometres."""
        return self.data.voxel_um

    @property
    def seen_um(self) -> float:
        """The same: networks see every voxel."""
        return self.pixel_um

    @property
    def grey_scale(self) -> tuple[float, float]:
        """Median and robust spread (half the 16-84 % range) of its grey values."""
        return self.index.grey_scale

    def patch(self, corner: Size, size: Size, seen_as: Intensity | AsStored | None = None) -> NDArray[Any]:
        """CT as robust z-scores, (Z, Y, X) float32 of `size`; beyond the cube its edge is repeated.

        `seen_as`: another scaling, with the figures of this cube in it.
        """
        raw = cut_box(self.index.ct, corner, size)
        return filled_up(robust_z_score(raw, self.grey_scale) if seen_as is None else seen_as.scaled(raw), size)

    @property
    def grey_sample(self) -> NDArray[Any]:
        """Its grey values, all of them."""
        return cut_box(self.index.ct, (0, 0, 0), self.shape)

    def label(self, corner: Size, size: Size) -> Label:
        """The surface, (Z, Y, X) of `size`; unknown where nobody labelled, and beyond the cube.

        Raises:
            MissingInputError: a test cube, which has none.
        """
        if self.index.label is None:
            raise MissingInputError(f"{self.image}: this cube has no label; train on those in train_images")
        values = filled_up(cut_box(self.index.label, corner, size), size, beyond=SURFACE_IGNORE)
        return Label(values == 1, values == SURFACE_IGNORE)

    def inside(self, corner: Sequence[float], size: Size) -> Size:
        """The corner of a box of that size, moved so that the box is inside the cube where it can."""
        return box_inside(self.shape, corner, size)

    @cached_property
    def key(self) -> str:
        """Hash of its files and of how they are looked at; reads no voxel."""
        files = [fingerprint(file) for file in (self.image, self.label_path) if file is not None]
        return key_of([files, self.data.voxel_um])


def find_cubes(
    root: Path, data: DataSettings, ids: Sequence[str] = (), part: Literal["train", "test"] = "train"
) -> list[Cube]:
    """The cubes of <root>/<part>.csv in order of their ids; `ids` picks some. Test cubes have no labels.

    The competition's list names cubes that it does not hold: those are left out, and how many is printed.

    Raises:
        MissingInputError: the list, a cube of `ids`, every cube, or a training cube's label is not there.
        InputError: the list is not one.
    """
    images = root / f"{part}_images"
    scrolls = _read_list(root / f"{part}.csv")
    files = {cube_id: tiff_named(images, cube_id) for cube_id in ids or scrolls}
    there = {cube_id for cube_id in scrolls if any((images / f"{cube_id}{end}").is_file() for end in TIFF_ENDINGS)}
    for item in ids:
        if item not in there:
            why = f"{root / part}.csv does not name it" if item not in scrolls else "there is no such file"
            raise MissingInputError(f"{images / item}.tif: {why}; take it out of data.train, or download it")
    if not there:
        raise MissingInputError(f"{images}: holds none of the {len(scrolls)} cubes of {part}.csv; {LAYOUT}")
    if len(there) < len(scrolls):
        print(
            f"{root / part}.csv: {len(scrolls) - len(there)} of {len(scrolls)} cubes are not in {images.name}, left out"
        )
    labels = root / "train_labels" if part == "train" else None
    cubes = [
        Cube(cube_id, scrolls[cube_id], files[cube_id], labels and tiff_named(labels, cube_id), data)
        for cube_id in sorted({*ids} or there)
    ]
    without = [cube.label_path for cube in cubes if cube.label_path and not cube.label_path.is_file()]
    if without:
        raise MissingInputError(
            f"{without[0]}: not there ({len(without)} of {len(cubes)} cubes have no label); download the labels, or name in "
            "data.train the cubes that have one"
        )
    return cubes


def tiff_named(folder: Path, cube_id: str) -> Path:
    """<folder>/<cube_id>.tif, or the same with another spelling of the ending where that is what is there.

    Raises:
        MissingInputError: a link that leads nowhere.
        InputError: two of them, which differ.
    """
    spelled = [refuse_dead_link(folder / f"{cube_id}{ending}") for ending in TIFF_ENDINGS]
    first, *others = [path for path in spelled if path.is_file()] or spelled[:1]
    for other in others:
        if not (first.samefile(other) or filecmp.cmp(first, other, shallow=False)):
            raise InputError(
                f"{first} and {other.name} differ; expected one of them: move away the one that is not meant"
            )
    return first


def read_cube_label(folder: Path, cube_id: str) -> NDArray[np.uint8]:
    """The (Z, Y, X) label of a cube in a folder of them: 0 background, 1 surface, 2 unlabelled.

    Raises:
        MissingInputError: it is not there.
        InputError: it is no volume, or holds other values.
    """
    path = tiff_named(folder, cube_id)
    values = np.asarray(open_volume(path)[...])
    surface_label(values, str(path))
    return values


def training_cubes(data: DataSettings) -> list[Cube]:
    """The labelled cubes of a run."""
    return find_cubes(data.root, data, data.train)


def _read_list(path: Path) -> dict[str, str]:
    """Scroll by id of a train.csv or test.csv."""
    if not refuse_dead_link(path).is_file():
        raise MissingInputError(f"{path}: not there; {LAYOUT}")
    try:
        table = csv.DictReader(read_text(path, MOST_LIST_BYTES).splitlines(), skipinitialspace=True)
        rows = list(table)
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: not readable as CSV ({error}); download it again") from None
    scrolls: dict[str, str] = {}
    if any((table.fieldnames or ()).count(name) > 1 for name in ("id", "scroll_id")):
        raise InputError(f"{path}: names a column twice in its first row; {LAYOUT}")
    for number, row in enumerate(rows, start=2):
        cube_id, scroll = ((row.get(name) or "").strip() for name in ("id", "scroll_id"))
        if not cube_id or not scroll:
            raise InputError(f"{path}: row {number} has no id or no scroll_id; {LAYOUT}")
        checked_name(cube_id, f"{path}: row {number}: cube id")
        if cube_id in scrolls:
            raise InputError(f"{path}: row {number} names cube '{cube_id}' again; take one of the two out")
        scrolls[cube_id] = scroll
    if not scrolls:
        raise InputError(f"{path}: names no cube; {LAYOUT}")
    return scrolls


def prepare(cubes: Sequence[Cube]) -> list[Cube]:
    """The cubes with their index: every file is checked and copied once, before the first step of a training.

    Raises:
        InputError: a file is damaged, or a label does not belong to its cube.
    """
    new = sum(not index_path(cube.image, cube.label_path, cube.data.cache_dir).exists() for cube in cubes)
    processes = min(usable_cores(), new // CUBES_A_PROCESS)
    with progress("look at cubes", len(cubes), "cube") as advance:
        prepared = []
        for cube in in_order(_looked_at, cubes, processes):
            prepared.append(cube)
            advance()
    return prepared


def _looked_at(cube: Cube) -> Cube:
    _ = cube.index  # travels back with the cube
    return cube

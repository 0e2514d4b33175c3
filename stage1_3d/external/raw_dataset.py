"""Items as an nnU-Net raw data set, so that others train on what we do: CT, labels 0, 1 and 2 (ignored), our folds, and new items."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from scroll.config.schema import Settings
from scroll.data.cubes import Cube
from scroll.data.folds import make_folds
from scroll.data.kinds import kind_of, training_items
from scroll.data.sheets import Sheet
from scroll.errors import InputError
from scroll.runtime.files import write_json, written_aside
from scroll.volumes import open_volume

IGNORE = 2
SPACING = {"spacing": [1.0, 1.0, 1.0]}  # in voxels; beside each TIFF, as nnU-Net's reader of 3D TIFFs wants it
Layers = Iterator[NDArray[Any]]


def export_raw(settings: Settings, output: Path, ink_layers: tuple[int, int]) -> int:
    """Write <output>/imagesTr/<id>_0000.tif, labelsTr/<id>.tif, dataset.json and splits_final.json; returns how many items.

    Cubes as they are. Of fragments and segments the layers of `data.depth` about the sheet, at full resolution; ink is labelled in the
    layers [first, end) of `ink_layers` about it, the others are background there, and what no person labelled is 2 in all of them:
    such a data set has no weights for what is only proposed.
    Memory: a layer; of a cube, all of it.

    Raises:
        InputError: `ink_layers` leaves `data.depth`.
    """
    first, end = settings.data.depth
    if not first <= ink_layers[0] < ink_layers[1] <= end:
        raise InputError(
            f"--ink-layers {ink_layers[0]} {ink_layers[1]}: expected two of the layers of data.depth {settings.data.depth}, rising"
        )
    items = training_items(settings.data)
    for item in items:
        count, ct, label = pages_of(item, settings, ink_layers)
        _write(output / "imagesTr", f"{item.id}_0000.tif", item.id, count, ct)
        _write(output / "labelsTr", f"{item.id}.tif", item.id, count, label)
    thing = "ink" if kind_of(settings.data).has_sheets else "surface"
    write_json(output / "dataset.json", dataset_of(thing, len(items)))
    if splits := _splits(settings, items):
        write_json(output / "splits_final.json", splits)
    return len(items)


def dataset_of(thing: str, count: int) -> dict[str, object]:
    """A dataset.json of 3D TIFFs of CT with one class, of which so many are trained on."""
    return {
        "channel_names": {"0": "CT"}, "labels": {"background": 0, thing: 1, "ignore": IGNORE}, "numTraining": count,
        "file_ending": ".tif", "overwrite_image_reader_writer": "Tiff3DIO",
    }  # fmt: skip


def export_new(settings: Settings, items: Sequence[Any], output: Path) -> int:
    """Write <output>/imagesTs/<id>_0000.tif, the CT of items without labels, as `export_raw` writes that of others; returns how many.

    Raises:
        InputError: one is trained on.
    """
    if known := {item.id for item in items} & {item.id for item in training_items(settings.data)}:
        raise InputError(f"--input: '{min(known)}' is one of the training items; give those that are to be predicted")
    for item in items:
        count, ct, _ = pages_of(item, settings, settings.data.depth)
        _write(output / "imagesTs", f"{item.id}_0000.tif", item.id, count, ct)
    return len(items)


def pages_of(
    item: Any, settings: Settings, ink_layers: tuple[int, int]
) -> tuple[int, Callable[[], Layers], Callable[[], Layers]]:
    """How many layers of an item are written, those of its CT, and those of its label."""
    if isinstance(item, Cube):
        volume = open_volume(item.image)
        return volume.shape[0], lambda: iter(np.asarray(volume[...])), lambda: iter(_cube_label(item))
    first, end = settings.data.depth
    return end - first, lambda: sheet_layers(item, (first, end)), lambda: _sheet_label(item, (first, end), ink_layers)


def _cube_label(cube: Cube) -> NDArray[np.uint8]:
    if cube.label_path is None:
        raise InputError(f"{cube.image}: this cube has no label; name in data.train the cubes that have one")
    return np.asarray(open_volume(cube.label_path)[...], np.uint8)


def sheet_layers(sheet: Sheet, depth: tuple[int, int]) -> Layers:
    """Its CT's layers [first, end) about the sheet, (Y, X) each, as they are stored or sampled."""
    stack = sheet.stack
    for layer in range(sheet.middle_layer + depth[0], sheet.middle_layer + depth[1]):
        yield np.asarray(stack[layer : layer + 1, :, :])[0]


def _sheet_label(sheet: Sheet, depth: tuple[int, int], ink_layers: tuple[int, int]) -> Layers:
    label = sheet.full_human_label
    bare = np.where(label.ignore, IGNORE, 0).astype(np.uint8)
    inked = np.where(label.ignore, IGNORE, label.ink).astype(np.uint8)
    for layer in range(*depth):
        yield inked if ink_layers[0] <= layer < ink_layers[1] else bare


def _write(folder: Path, name: str, item: str, count: int, pages: Callable[[], Layers]) -> None:
    """A TIFF, a page a layer, and the size of its voxels beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    with written_aside(folder / name) as aside, tifffile.TiffWriter(aside, bigtiff=True) as file:
        first = next(pages())
        file.write(pages(), shape=(count, *first.shape), dtype=first.dtype, compression="zlib")
    write_json(folder / f"{item}.json", SPACING)


def _splits(settings: Settings, items: Sequence[Any]) -> list[dict[str, list[str]]]:
    """Our folds as nnU-Net has them; none where an item is in both halves."""
    splits = []
    for fold in make_folds(items, settings.folds):
        val = [item.id for item in items if item.id in fold.held_out]
        if any(fold.held_out[item.id] != (0, item.rows) for item in items if item.id in fold.held_out):
            print(
                f"folds by {settings.folds.by} cut items apart, which nnU-Net's do not: no splits_final.json is written"
            )
            return []
        splits.append({"train": [item.id for item in items if item.id not in val], "val": val})
    return splits

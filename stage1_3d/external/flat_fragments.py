"""Training sheets laid out as fragments of the ink competition, so that networks of flattened papyrus train on traced segments too."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from scroll.config.schema import Settings
from scroll.data.kinds import kind_of, training_items
from scroll.data.sheets import Sheet
from scroll.errors import InputError
from scroll.runtime.files import write_json, written_aside
from scroll.runtime.receipt import FETCHED
from stage1_3d.external.raw_dataset import sheet_layers


def export_fragments(settings: Settings, output: Path) -> int:
    """Write <output>/train/<id>/ for every training sheet: surface_volume/, mask.png, inklabels.png, what is known of them, and of
    which scroll it is; returns how many.

    Layers, at full resolution, lie as far before the sheet as behind it, as far as `data.depth` reaches, so that the sheet is in the
    middle, where a fragment's is. Where no scroll is known a segment's is the volume that it was traced in: `folds.by: scroll` then
    holds out whole volumes, as `folds.by: volume` does there.
    Memory: a layer.

    Raises:
        InputError: cubes, which have no sheet.
    """
    if not kind_of(settings.data).has_sheets:
        raise InputError(
            "--layout fragments: cubes have no traced sheet to lie along; give a configuration of fragments or segments"
        )
    reach = max(-settings.data.depth[0], settings.data.depth[1])
    sheets: Sequence[Sheet] = training_items(settings.data)
    for sheet in sheets:
        _write(sheet, output / "train" / sheet.id, reach)
    return len(sheets)


def _write(sheet: Sheet, folder: Path, reach: int) -> None:
    (folder / "surface_volume").mkdir(parents=True, exist_ok=True)
    stored = sheet.grey_sample.dtype
    for number, layer in enumerate(sheet_layers(sheet, (-reach, reach))):
        with written_aside(folder / "surface_volume" / f"{number:02d}.tif") as aside:
            tifffile.imwrite(aside, _rounded(layer, stored), compression="zlib")
    label, mask = sheet.full_human_label, sheet.full_mask
    pictures = {"mask": mask, "inklabels": label.ink}
    if (label.ignore & mask).any():
        pictures["supervision_mask"] = ~label.ignore
    for name, picture in pictures.items():
        _write_picture(folder / f"{name}.png", picture)
    write_json(folder / FETCHED, {"scroll": sheet.scroll or f"volume-{sheet.volume_name}"})


def _rounded(layer: NDArray[Any], stored: np.dtype[Any]) -> NDArray[Any]:
    """Grey values that were sampled between voxels as whole numbers again, where the scan has such."""
    if layer.dtype == stored or stored.kind not in "ui":
        return layer
    bounds = np.iinfo(stored)
    return np.rint(np.nan_to_num(layer)).clip(bounds.min, bounds.max).astype(stored)


def _write_picture(path: Path, picture: NDArray[np.bool_]) -> None:
    with written_aside(path) as aside:
        Image.fromarray(picture.astype(np.uint8) * 255).save(aside, format="PNG")

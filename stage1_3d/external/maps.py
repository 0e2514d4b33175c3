"""Members that give a map of the sheet: from layers about it straight to an image, window by window; resumes row by row."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scroll.config.schema import Settings, WindowSettings
from scroll.data.boxes import filled_up
from scroll.data.depth_windows import map_layers
from scroll.data.intensity import AsStored
from scroll.data.members.card import Card
from scroll.data.members.others import MemberOfOthers, of_others
from scroll.data.members.suits import check_voxels
from scroll.data.sheets import Sheet, provenance_of
from scroll.geometry import Size
from scroll.inference.depth_mean import over_depth_windows
from scroll.inference.fold_ensemble import mean_of
from scroll.inference.grey_values import sent
from scroll.inference.prediction_store import RowWriter
from scroll.inference.sliding_window import Forward, Prediction, Sweep
from scroll.runtime.progress import progress
from scroll.runtime.receipt import is_current, key_of, write_receipt
from scroll.volumes.binning import block_mean
from stage1_3d.external import ready
from stage1_3d.external.member import networks_of
from stage1_3d.external.view import map_view


def predict_map(settings: Settings, name: str, sheet: Sheet, folds: Sequence[int], folder: Path) -> None:
    """Write flat.zarr (1, Y, X) float16 at working resolution and a receipt into `folder`, by these folds together.

    Raises:
        InputError: the sheet's voxels, or the layers about it, are not what the member was trained on.
    """
    other = of_others(settings)[name]
    check_voxels(other, sheet.pixel_um)
    card, files, window = other.card, other.files(folds), settings.stage1.window
    key = key_of([sheet.key, [*files.values()], list(folds), window.model_dump()])
    if is_current(folder, key) and (folder / "flat.zarr").exists():
        return
    shape, bin_yx = (1, *sheet.mask.shape), settings.data.bin_yx
    writer = RowWriter(folder / "flat.zarr", key, shape, sheet.pixel_um, "cyx", bin_yx)
    if card.ready:
        found = ready.map_of(other.folder, card, sheet.id, sheet.shape_yx, bin_yx)[None]
        writer.write(writer.done_rows, found[:, writer.done_rows :])
    else:
        prediction = prediction_of(settings, name, sheet, folds)
        binned = _Binned(writer, bin_yx, sheet.shape_yx[0])
        first = writer.done_rows * bin_yx
        with progress(f"predict {name}, {sheet.id}", prediction.count(first), "window") as advance:
            prediction.run(binned.write, first, advance)
    writer.finish()
    write_receipt(
        folder, key, fragment=sheet.id, member=name, folds=list(folds), voxel_um=sheet.pixel_um, bin_yx=bin_yx, axes="cyx",
        **provenance_of(sheet), window=window.model_dump(mode="json"), card=card.model_dump(mode="json", exclude={"ready"}), weights=files,
        **other.resampled(sheet.pixel_um),
    )  # fmt: skip


def prediction_of(settings: Settings, name: str, sheet: Sheet, folds: Sequence[int]) -> Prediction:
    """A member's folds over a sheet, (1, Y, X) at full resolution."""
    other = of_others(settings)[name]
    card, view = other.card, map_view(other, sheet)
    layers, patch = map_layers(other, sheet, settings.stage1.window.depth_offsets), view.size[1:]
    shifts = settings.stage1.window.depth_shifts
    how, coarse, bin_yx = card.intensity.fixed_for(sheet), sheet.mask, settings.data.bin_yx
    stack = sheet.stack
    where = f"{sheet.folder}: NaN or infinity in the CT"

    def read(corner: tuple[int, ...]) -> NDArray[Any]:
        return np.concatenate([read_shifted(corner, shift) for shift in shifts])  # (K * layers, *patch)

    def read_shifted(corner: tuple[int, ...], shift: int) -> NDArray[Any]:
        y, x = corner
        raw = np.asarray(stack[layers.start + shift : layers.stop + shift, y : y + patch[0], x : x + patch[1]])
        turned = raw if card.direction == "inwards" else raw[::-1]

        def there(size: Size, seen_as: AsStored) -> NDArray[Any]:
            return filled_up(seen_as.scaled(turned, f"{where} near row {y}, column {x}"), size)

        return view.read(there, how)

    def is_needed(corner: tuple[int, ...]) -> bool:
        rows, columns = (slice(c // bin_yx, -(-(c + p) // bin_yx)) for c, p in zip(corner, patch, strict=True))
        return bool(coarse[rows, columns].any())

    height, width = sheet.shape_yx
    window = window_settings(settings.stage1.window, card)
    sweep = Sweep((max(height, patch[0]), max(width, patch[1])), patch, window, (0, height), is_needed)
    return Prediction(
        sweep,
        read,
        lambda: over_depth_windows(view.forward(_forward(settings, other, folds)), len(shifts)),
        (height, width),
        partial(sent, how=how),
        lambda maps: maps.mean(axis=0, keepdims=True),
    )


def window_settings(window: WindowSettings, card: Card) -> WindowSettings:
    """The run's way of windows, with the overlap that the member's card asks for."""
    return window.model_copy(update={"overlap": card.overlap})


def _forward(settings: Settings, other: MemberOfOthers, folds: Sequence[int]) -> Forward:
    """(B, layers, h, w) -> (B, 1, h, w) logits; a coarser map is interpolated."""
    networks = mean_of(
        networks_of(other, folds),
        settings.stage1.members[other.name].training.precision,
        settings.stage1.window,
    )

    def forward(windows: Tensor) -> Tensor:
        logits = networks(windows[:, None])
        if logits.shape[-2:] == windows.shape[-2:]:
            return logits
        size = (int(windows.shape[-2]), int(windows.shape[-1]))
        return torch.nn.functional.interpolate(logits, size, mode="bilinear")

    return forward


class _Binned:
    """Rows at full resolution, in order, written at working resolution as soon as a row of blocks is whole."""

    def __init__(self, writer: RowWriter, bin_yx: int, rows: int) -> None:
        self.writer, self.bin_yx, self.rows = writer, bin_yx, rows
        self._waiting: list[NDArray[np.float32]] = []

    def write(self, row: int, values: NDArray[np.float32]) -> None:
        """Take rows [row, row + n), (1, n, X)."""
        self._waiting.append(values)
        held = sum(part.shape[1] for part in self._waiting)
        end = row + values.shape[1]
        whole = held if end == self.rows else held - end % self.bin_yx
        if whole <= 0:
            return
        rows = np.concatenate(self._waiting, axis=1)
        binned = block_mean(rows[0, :whole], (self.bin_yx, self.bin_yx))
        self._waiting = [rows[:, whole:]]
        self.writer.write((end - held) // self.bin_yx, binned[None])

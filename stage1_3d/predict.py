"""A member's networks over a fragment, window by window, and the result flattened; resumes row by row."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter

from scroll.config.schema import Settings
from scroll.data.boxes import filled_up
from scroll.data.depth_windows import with_room
from scroll.data.folds import Fold, Parts, Rows, held_out_parts
from scroll.data.fragments import Fragment
from scroll.data.intensity import AsStored
from scroll.data.members.others import of_others
from scroll.data.members.suits import check_voxels
from scroll.data.sheets import Sheet, provenance_of
from scroll.geometry import Size
from scroll.inference.depth_mean import depth_mean, over_depth_windows
from scroll.inference.fold_ensemble import mean_of
from scroll.inference.grey_values import sent
from scroll.inference.prediction_store import RowWriter, open_map
from scroll.inference.sliding_window import Forward, Prediction, Sweep
from scroll.runtime.progress import progress
from scroll.runtime.receipt import file_hash, is_current, key_of, write_receipt
from stage1_3d.external.maps import predict_map
from stage1_3d.external.member import all_folds, networks_of, seen_as
from stage1_3d.external.view import view_of
from stage1_3d.flatten import depth_window, flattened
from stage1_3d.weights import load_member, weights_path

STRIP_ROWS = 256


def predict_out_of_fold(settings: Settings, name: str, fragment: Fragment, folds: Sequence[Fold]) -> None:
    """Predict each row of a training fragment by the fold that held it out, and flatten it, into <member>/oof/<fragment>/."""
    folder, other = settings.folder.oof(name, fragment.id), of_others(settings).get(name)
    parts = held_out_parts(folds, fragment.id)
    if other:
        unseen = other.card.unseen(fragment.id, fragment.volume_name)
        parts = [((0, fragment.rows), unseen)] if unseen else []
    if parts:
        predict_fragment(settings, name, fragment, folder, parts, f"out of fold, {name}, {fragment.id}")


def predict_new(settings: Settings, name: str, fragment: Fragment, folder: Path) -> None:
    """Predict a fragment that no fold was trained on by all folds together (mean of their scores), and flatten it."""
    parts = [((0, fragment.rows), all_folds(settings, name))]
    predict_fragment(settings, name, fragment, folder, parts, f"predict {name}, {fragment.id}")


def predict_fragment(settings: Settings, name: str, fragment: Fragment, folder: Path, parts: Parts, label: str) -> None:
    """Write prob.zarr (Z, Y, X) and flat.zarr (C, Y, X), float16 at working resolution, and a receipt into `folder`.

    `parts` says which rows are predicted by which folds. Of a member that gives a map there is no prob.zarr.
    """
    other = of_others(settings).get(name)
    if other and other.gives_map:
        predict_map(settings, name, fragment, parts[0][1], folder)
        return
    if other:
        check_voxels(other, fragment.seen_um, settings.data.bin_yx)
    weights = weights_of(settings, name, [fold for _, folds in parts for fold in folds])
    how = [settings.stage1.window.model_dump(), settings.stage1.members[name].training.precision]
    prob_key = key_of([fragment.key, [*weights.values()], parts, how])
    key = key_of([prob_key, settings.stage1.flatten.model_dump(include={"reduce", "window"})])
    if is_current(folder, key) and (folder / "flat.zarr").exists():
        return
    depth = settings.data.depth
    writer = RowWriter(
        folder / "prob.zarr", prob_key, _shape(settings, fragment), fragment.pixel_um, "zyx", settings.data.bin_yx
    )
    for rows, folds in parts:
        prediction = prediction_of(settings, name, fragment, rows, folds)
        with progress(label, prediction.count(writer.done_rows), "window") as advance:
            prediction.run(lambda row, values: writer.write(row, values[0]), writer.done_rows, advance)
    writer.finish()
    flatten_volume(settings, folder, key, fragment)
    write_receipt(
        folder, key, fragment=fragment.id, member=name, parts=parts, voxel_um=fragment.pixel_um, bin_yx=settings.data.bin_yx, axes="zyx",
        depth=depth, window=settings.stage1.window.model_dump(mode="json"), **provenance_of(fragment),
        weights=weights, **(other.resampled(fragment.seen_um) if other else {}),
    )  # fmt: skip


def load_forward(settings: Settings, name: str, folds: Sequence[int]) -> Forward:
    """A member's folds as one function."""
    other = of_others(settings).get(name)
    networks = networks_of(other, folds) if other else [load_member(settings, name, fold) for fold in folds]
    return mean_of(networks, settings.stage1.members[name].training.precision, settings.stage1.window)


def weights_of(settings: Settings, name: str, folds: Sequence[int]) -> dict[str, str]:
    """Hash of the weights of each of these folds of a member (and of the card of one of others), by their place."""
    if other := of_others(settings).get(name):
        return other.files(folds)
    return {str(path): file_hash(path) for path in (weights_path(settings, name, fold) for fold in folds)}


def prediction_of(settings: Settings, name: str, fragment: Fragment, rows: Rows, folds: Sequence[int]) -> Prediction:
    """A member's folds over rows of a fragment, (1, Z, Y, X) over `data.depth`; a fragment may be smaller than a patch.

    Raises:
        InputError: the stack does not hold one of `stage1.window.depth_offsets`.
    """
    view, (depth, height, width) = view_of(settings, name, fragment.seen_um), _shape(settings, fragment)
    size = view.size
    window, member = settings.stage1.window, settings.stage1.members[name]
    shifts, fragment = window.depth_shifts, with_room(fragment, window.depth_offsets)
    how, before = seen_as(settings, name, fragment), fragment.kept[0]

    def read(corner: tuple[int, ...]) -> NDArray[Any]:
        z, y, x = corner

        def patch(layer: int, size: Size, seen_as: AsStored) -> NDArray[Any]:
            return filled_up(fragment.patch(layer, y, x, size, seen_as), size)

        return np.stack([view.read(partial(patch, z + before + shift), how) for shift in shifts])  # (K, *window)

    seen = looked_at(settings, fragment)

    def is_needed(corner: tuple[int, ...]) -> bool:
        _, y, x = corner
        return bool(seen[y : y + size[1], x : x + size[2]].any())

    padded = (max(depth, size[0]), max(height, size[1]), max(width, size[2]))
    sweep = Sweep(padded, size, window, rows, is_needed)
    return Prediction(
        sweep,
        read,
        lambda: over_depth_windows(view.forward(load_forward(settings, name, folds)), len(shifts)),
        (depth, height, width),
        partial(sent, how=how),
        partial(depth_mean, shifts=shifts, is_of_sheet=member.member is None and member.supervision == "depth_pool"),
    )


def looked_at(settings: Settings, fragment: Fragment) -> NDArray[np.bool_]:
    """(Y, X) papyrus at working resolution that is predicted: all of it, or what a patch of stage two about a label can see."""
    if not fragment.is_seen_about_labels:
        return fragment.mask
    size = tuple(2 * edge + 1 for edge in settings.stage2.patch_size)
    return np.asarray(fragment.mask & maximum_filter(fragment.labelled_mask, size))


def seen_mask(settings: Settings, sheet: Sheet) -> NDArray[np.bool_]:
    """(Y, X) papyrus at full resolution that is looked at at all; see `looked_at`."""
    if not isinstance(sheet, Fragment) or not sheet.is_seen_about_labels:
        return sheet.full_mask
    height, width = sheet.shape_yx
    return (
        sheet.full_mask
        & np.kron(looked_at(settings, sheet), np.ones((settings.data.bin_yx,) * 2, bool))[:height, :width]
    )


def _shape(settings: Settings, fragment: Fragment) -> tuple[int, int, int]:
    first, end = settings.data.depth
    height, width = fragment.mask.shape
    return end - first, height, width


def flatten_volume(settings: Settings, folder: Path, key: str, fragment: Fragment) -> None:
    """Flatten folder/prob.zarr into folder/flat.zarr, strip by strip."""
    volume = open_map(folder / "prob.zarr", "run stage one first")
    layers = depth_window(settings.stage1.flatten, settings.data.depth)
    how = settings.stage1.flatten.reduce
    channels = layers.stop - layers.start if how == "layers" else 1
    shape = (channels, *volume.shape[1:])
    writer = RowWriter(folder / "flat.zarr", key, shape, fragment.pixel_um, "cyx", settings.data.bin_yx)
    for row in range(writer.done_rows, volume.shape[1], STRIP_ROWS):
        strip = np.asarray(volume[layers, row : row + STRIP_ROWS])
        writer.write(row, flattened(strip, how))
    writer.finish()


def flatten_ct(settings: Settings, fragment: Fragment, folder: Path) -> None:
    """Flatten the CT itself, as robust z-scores of the fragment's grey values, into folder/flat.zarr (C, Y, X), with a receipt."""
    flatten = settings.stage1.flatten
    key = key_of([fragment.key, flatten.model_dump()])
    if flatten.ct == "none" or (is_current(folder, key) and (folder / "flat.zarr").exists()):
        return
    layers = depth_window(flatten, settings.data.depth)
    depth, (rows, columns) = layers.stop - layers.start, fragment.mask.shape
    shape = (depth if flatten.ct == "layers" else 1, rows, columns)
    writer = RowWriter(folder / "flat.zarr", key, shape, fragment.pixel_um, "cyx", settings.data.bin_yx)
    seen = looked_at(settings, fragment) if fragment.is_seen_about_labels else np.ones((rows, columns), bool)
    for row in range(writer.done_rows, rows, STRIP_ROWS):
        strip = np.zeros((depth, min(STRIP_ROWS, rows - row), columns), np.float32)
        down, across = (np.flatnonzero(seen[row : row + STRIP_ROWS].any(axis=axis)) for axis in (1, 0))
        if len(down):
            y, x = slice(down[0], down[-1] + 1), slice(across[0], across[-1] + 1)
            size = (depth, y.stop - y.start, x.stop - x.start)
            strip[:, y, x] = fragment.patch(layers.start + fragment.margin, row + y.start, x.start, size)
        writer.write(row, flattened(strip, flatten.ct))
    writer.finish()
    write_receipt(
        folder, key, fragment=fragment.id, voxel_um=fragment.pixel_um, bin_yx=settings.data.bin_yx, axes="cyx",
        **provenance_of(fragment), weights={},
    )  # fmt: skip

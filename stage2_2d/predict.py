"""Stage two, or what was trained end to end, over a sheet, window by window; resumes row by row."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from scroll.config.schema import Settings
from scroll.data.boxes import filled_up
from scroll.data.folds import Fold, Parts, Rows, held_out_parts
from scroll.data.sheets import Sheet, provenance_of
from scroll.inference.fold_ensemble import mean_of
from scroll.inference.prediction_store import RowWriter
from scroll.inference.sliding_window import Forward, Prediction, Read, Sweep
from scroll.runtime.progress import progress
from scroll.runtime.receipt import file_hash, is_current, key_of, write_receipt
from scroll.runtime.run_folder import STAGE2
from scroll.training.checkpoint import ready, trained_weights
from stage2_2d.network import about_network, build_network
from stage2_2d.stack import Stack


@dataclass(frozen=True)
class Predictor:
    """Trained networks, one a fold, on a sheet.

    Attributes:
        name: under which their predictions are kept, "stage2" or "joint".
        label: what the progress bar calls them.
        sheet: what they look at.
        key: hash of what the windows are cut from.
        patch: size of a window, (Y, X).
        read: upper left corner -> window (C, *patch); a sheet that is smaller than a patch is padded.
        weights: fold -> where its weights lie.
        load: fold -> its network, from (B, C, *patch) to logits (B, 1, *patch), ready to predict.
        precision: as in the training's settings.
    """

    name: str
    label: str
    sheet: Sheet
    key: str
    patch: tuple[int, int]
    read: Read
    weights: Callable[[int], Path]
    load: Callable[[int], nn.Module]
    precision: str


def stage2_predictor(settings: Settings, sheet: Sheet, stack: Stack) -> Predictor:
    """Stage two's networks on a sheet's stack."""
    patch = settings.stage2.patch_size
    padded = filled_up(stack.channels, patch)
    return Predictor(
        name=STAGE2,
        label="stage 2",
        sheet=sheet,
        key=stack.key,
        patch=patch,
        read=partial(window_of, padded, patch),
        weights=partial(weights_path, settings),
        load=partial(load_fold, settings, channels=padded.shape[0]),
        precision=settings.stage2.training.precision,
    )


def predict_out_of_fold(settings: Settings, predictor: Predictor, folds: Sequence[Fold]) -> None:
    """Predict each row of a training sheet by the fold that held it out, into <predictor>/oof/<sheet>/ink.zarr."""
    sheet = predictor.sheet
    folder, label = settings.folder.oof(predictor.name, sheet.id), f"out of fold, {predictor.label}, {sheet.id}"
    predict_parts(settings, predictor, folder, held_out_parts(folds, sheet.id), label)


def predict_new(settings: Settings, predictor: Predictor, folder: Path) -> None:
    """Predict a sheet that no fold was trained on by all folds together (mean of their scores)."""
    parts = [((0, predictor.sheet.rows), list(range(settings.folds.count)))]
    predict_parts(settings, predictor, folder, parts, f"predict {predictor.label}, {predictor.sheet.id}")


def predict_parts(settings: Settings, predictor: Predictor, folder: Path, parts: Parts, label: str) -> None:
    """Write ink.zarr, (1, Y, X) float16 at working resolution, and a receipt into `folder`; `parts`: which folds predict which rows."""
    window, sheet = settings.stage2.window, predictor.sheet
    weights = [predictor.weights(fold) for _, folds in parts for fold in folds]
    how = [window.model_dump(), predictor.patch, predictor.precision]
    key = key_of([predictor.key, [file_hash(w) for w in weights], parts, how])
    if is_current(folder, key) and (folder / "ink.zarr").exists():
        return
    shape = (1, *sheet.mask.shape)
    writer = RowWriter(folder / "ink.zarr", key, shape, sheet.pixel_um, "cyx", settings.data.bin_yx)
    for rows, folds in parts:
        prediction = prediction_of(settings, predictor, rows, folds)
        with progress(label, prediction.count(writer.done_rows), "window") as advance:
            prediction.run(writer.write, writer.done_rows, advance)
    writer.finish()
    write_receipt(
        folder, key, fragment=sheet.id, parts=parts, voxel_um=sheet.pixel_um, bin_yx=settings.data.bin_yx, axes="cyx",
        **provenance_of(sheet), window=window.model_dump(mode="json"), weights={str(w): file_hash(w) for w in weights},
    )  # fmt: skip


def prediction_of(settings: Settings, predictor: Predictor, rows: Rows, folds: Sequence[int]) -> Prediction:
    """Folds over rows of a sheet, (1, Y, X) at working resolution."""
    window, patch, mask = settings.stage2.window, predictor.patch, predictor.sheet.mask

    def is_needed(corner: tuple[int, ...]) -> bool:
        return bool(window_of(mask, patch, corner).any())

    def load() -> Forward:
        return mean_of([predictor.load(fold) for fold in folds], predictor.precision, window)

    padded = tuple(max(length, edge) for length, edge in zip(mask.shape, patch, strict=True))
    return Prediction(Sweep(padded, patch, window, rows, is_needed), predictor.read, load, mask.shape)


def window_of(array: NDArray[Any], patch: tuple[int, int], corner: tuple[int, ...]) -> NDArray[Any]:
    """What of (..., Y, X) is in the window at a corner (y, x)."""
    y, x = corner
    return np.ascontiguousarray(array[..., y : y + patch[0], x : x + patch[1]])


def load_fold(settings: Settings, fold: int, channels: int) -> nn.Module:
    """Stage two's network of one fold, ready to predict, on the GPU if there is one."""
    network, about = build_network(settings.stage2, channels), about_network(settings.stage2, channels)
    return ready(network, weights_path(settings, fold), about, _hint(settings))


def weights_path(settings: Settings, fold: int) -> Path:
    """Where stage two's weights of one fold lie.

    Raises:
        MissingInputError: they were not trained to the end.
    """
    return trained_weights(settings.folder.fold(STAGE2, fold), _hint(settings))


def _hint(settings: Settings) -> str:
    return f"run 'make stage2 CONFIG=...' for {settings.run_dir} first"

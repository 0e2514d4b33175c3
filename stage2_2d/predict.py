"""Stage two over a fragment's flattened stack, window by window; resumes row by row."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

from scroll.config.schema import Settings
from scroll.data.folds import Fold, Rows
from scroll.data.sheets import Sheet, provenance_of
from scroll.inference.fold_ensemble import device, mean_of
from scroll.inference.prediction_store import RowWriter
from scroll.inference.sliding_window import Forward, Prediction, Read, Sweep
from scroll.runtime.progress import progress
from scroll.runtime.receipt import file_hash, is_current, key_of, write_receipt
from scroll.runtime.run_folder import STAGE2
from scroll.training.checkpoint import load_weights, trained_weights
from stage2_2d.ink.stack import Stack
from stage2_2d.network import about_network, build_network


def predict_out_of_fold(settings: Settings, fragment: Sheet, stack: Stack, folds: Sequence[Fold]) -> None:
    """Predict each row of a training fragment by the fold that held it out, into stage2/oof/<fragment>/ink.zarr."""
    folder = settings.folder.oof(STAGE2, fragment.id)
    parts = [(fold.held_out[fragment.id], [fold.number]) for fold in folds if fragment.id in fold.held_out]
    predict_fragment(settings, fragment, stack, folder, parts, f"out of fold, stage 2, {fragment.id}")


def predict_new(settings: Settings, fragment: Sheet, stack: Stack, folder: Path) -> None:
    """Predict a fragment that no fold was trained on by all folds together (mean of their scores)."""
    parts = [((0, fragment.mask.shape[0]), list(range(settings.folds.count)))]
    predict_fragment(settings, fragment, stack, folder, parts, f"predict stage 2, {fragment.id}")


def predict_fragment(
    settings: Settings, fragment: Sheet, stack: Stack, folder: Path, parts: list[tuple[Rows, list[int]]], label: str
) -> None:
    """Predict a fragment from its stack, as `predict_sheet` does; `parts`: which folds predict which rows."""
    predict_sheet(settings, fragment, predictor_of(settings, stack, label), folder, parts)


def predictor_of(settings: Settings, stack: Stack, label: str) -> "Predictor":
    """Stage two's networks on a sheet's stack."""
    patch = settings.stage2.patch_size
    padded = pad_to(stack.channels, patch)

    def read(corner: tuple[int, ...]) -> NDArray[np.float32]:
        y, x = corner
        return np.ascontiguousarray(padded[:, y : y + patch[0], x : x + patch[1]])

    return Predictor(
        label=label,
        patch=patch,
        key=stack.key,
        read=read,
        weights=lambda fold: weights_path(settings, fold),
        load=lambda fold: load_fold(settings, fold, padded.shape[0]),
        precision=settings.stage2.training.precision,
    )


@dataclass(frozen=True)
class Predictor:
    """Trained networks, one a fold, and what they look at.

    Attributes:
        label: what the progress bar says.
        patch: size of a window, (Y, X).
        key: hash of what the windows are cut from.
        read: upper left corner -> window (C, *patch); a fragment that is smaller than a patch is padded.
        weights: fold -> where its weights lie.
        load: fold -> its network, from (B, C, *patch) to logits (B, 1, *patch), ready to predict.
        precision: as in the training's settings.
    """

    label: str
    patch: tuple[int, int]
    key: str
    read: Read
    weights: Callable[[int], Path]
    load: Callable[[int], nn.Module]
    precision: str


def predict_sheet(
    settings: Settings, fragment: Sheet, predictor: Predictor, folder: Path, parts: list[tuple[Rows, list[int]]]
) -> None:
    """Write ink.zarr, (1, Y, X) float16 at working resolution, and a receipt into `folder`; `parts`: which folds predict which rows."""
    window, patch = settings.stage2.window, predictor.patch
    weights = [predictor.weights(fold) for _, folds in parts for fold in folds]
    how = [window.model_dump(), patch, predictor.precision]
    key = key_of([predictor.key, [file_hash(w) for w in weights], parts, how])
    if is_current(folder, key) and (folder / "ink.zarr").exists():
        return
    shape = (1, *fragment.mask.shape)
    writer = RowWriter(folder / "ink.zarr", key, shape, fragment.pixel_um, "cyx", settings.data.bin_yx)
    for rows, folds in parts:
        prediction = prediction_of(settings, fragment, predictor, rows, folds)
        with progress(predictor.label, prediction.count(writer.done_rows), "window") as advance:
            prediction.run(writer.write, writer.done_rows, advance)
    writer.finish()
    write_receipt(
        folder, key, fragment=fragment.id, parts=parts, voxel_um=fragment.pixel_um, bin_yx=settings.data.bin_yx, axes="cyx",
        **provenance_of(fragment), window=window.model_dump(mode="json"), weights={str(w): file_hash(w) for w in weights},
    )  # fmt: skip


def prediction_of(
    settings: Settings, fragment: Sheet, predictor: Predictor, rows: Rows, folds: Sequence[int]
) -> Prediction:
    """Folds over rows of a sheet, (1, Y, X) at working resolution."""
    window, patch = settings.stage2.window, predictor.patch
    height, width = fragment.mask.shape

    def is_wanted(corner: tuple[int, ...]) -> bool:
        y, x = corner
        return bool(fragment.mask[y : y + patch[0], x : x + patch[1]].any())

    def load() -> Forward:
        return mean_of([predictor.load(fold) for fold in folds], predictor.precision, window.average)

    padded = (max(height, patch[0]), max(width, patch[1]))
    return Prediction(Sweep(padded, patch, window, rows, is_wanted), predictor.read, load, (height, width))


def pad_to(channels: NDArray[np.float32], patch: tuple[int, int]) -> NDArray[np.float32]:
    """(C, Y, X) with its edges repeated below and to the right until a patch fits; unchanged where one does."""
    short = [max(0, edge - length) for edge, length in zip(patch, channels.shape[1:], strict=True)]
    return np.pad(channels, ((0, 0), (0, short[0]), (0, short[1])), mode="edge") if any(short) else channels


def load_fold(settings: Settings, fold: int, channels: int) -> nn.Module:
    """Stage two's network of one fold, ready to predict, on the GPU if there is one."""
    network = build_network(settings.stage2, channels)
    load_weights(network, weights_path(settings, fold), about_network(settings.stage2, channels), _hint(settings))
    return network.to(device()).eval()


def weights_path(settings: Settings, fold: int) -> Path:
    """Where stage two's weights of one fold lie.

    Raises:
        MissingInputError: they were not trained to the end.
    """
    return trained_weights(settings.folder.fold(STAGE2, fold), _hint(settings))


def _hint(settings: Settings) -> str:
    return f"run 'make stage2 CONFIG=...' for {settings.run_dir} first"

"""The jointly trained networks over a fragment, window by window; resumes row by row as stage two does."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ensemble.end_to_end.network import load_fold, weights_path
from ensemble.end_to_end.settings import joint_of
from ensemble.ink.predictors import JOINT
from scroll.config.schema import Settings
from scroll.data.folds import Fold
from scroll.data.fragments import Fragment
from scroll.runtime.receipt import key_of
from stage2_2d.ink.stack import Stack
from stage2_2d.predict import Predictor, pad_to, predict_sheet


def predict_out_of_fold(settings: Settings, fragment: Fragment, stack: Stack, folds: Sequence[Fold]) -> None:
    """Predict each row of a training fragment by the fold that held it out, into joint/oof/<fragment>/ink.zarr."""
    parts = [(fold.held_out[fragment.id], [fold.number]) for fold in folds if fragment.id in fold.held_out]
    predictor = joint_predictor(settings, fragment, stack, f"out of fold, joint, {fragment.id}")
    predict_sheet(settings, fragment, predictor, settings.folder.oof(JOINT, fragment.id), parts)


def predict_new(settings: Settings, fragment: Fragment, stack: Stack, folder: Path) -> None:
    """Predict a fragment that no fold was trained on by all folds together (mean of their scores), from its CT and its stack."""
    parts = [((0, fragment.mask.shape[0]), list(range(settings.folds.count)))]
    predict_sheet(
        settings, fragment, joint_predictor(settings, fragment, stack, f"predict joint, {fragment.id}"), folder, parts
    )


def joint_predictor(settings: Settings, fragment: Fragment, stack: Stack, label: str) -> Predictor:
    """The jointly trained networks on a fragment's CT and its stack."""
    joint, (first, end) = joint_of(settings), settings.data.depth
    height, width = joint.patch_size_yx
    channels = pad_to(stack.channels, joint.patch_size_yx)

    def read(corner: tuple[int, ...]) -> NDArray[np.float32]:
        y, x = corner
        ct = fragment.patch(fragment.margin, y, x, (end - first, height, width))
        return np.concatenate([pad_to(ct, joint.patch_size_yx), channels[:, y : y + height, x : x + width]])

    return Predictor(
        label=label,
        patch=joint.patch_size_yx,
        key=key_of([fragment.key, stack.key]),
        read=read,
        weights=lambda fold: weights_path(settings, fold),
        load=lambda fold: load_fold(settings, fold, channels.shape[0]),
        precision=joint.training.precision,
    )

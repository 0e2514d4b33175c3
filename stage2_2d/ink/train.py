"""Stage two on flattened stacks: the 2D network learns ink from what stage one predicted out of fold."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from scroll.config.reader import save_run_settings
from scroll.config.schema import Settings, Stage2Settings
from scroll.data.folds import Fold, make_folds
from scroll.data.sheets import Sheet, training_sheets
from scroll.inference.fold_ensemble import is_main_process
from scroll.runtime.receipt import key_of
from scroll.runtime.run_folder import STAGE2
from scroll.training.loop import LossOf, Task, fit
from scroll.training.losses import loss_terms
from stage2_2d.ink.dataset import StackPatches
from stage2_2d.ink.stack import Stack, read_stack
from stage2_2d.network import about_network, build_network
from stage2_2d.predict import predict_out_of_fold


def train(settings: Settings) -> None:
    """Train every fold, and predict the rows of every sheet by the fold that held them out.

    Raises:
        MissingInputError: a member's out-of-fold prediction is not there; the line names `make stage1`.
    """
    fragments = training_sheets(settings.data)
    stacks = [
        read_stack(settings.stage1, fragment, oof_folders(settings, fragment.id), _hint(settings))
        for fragment in fragments
    ]
    folds = make_folds(fragments, settings.folds)
    save_run_settings(settings)
    for fold in folds:
        train_fold(settings, fragments, stacks, fold)
    if not is_main_process():  # several processes train together; one predicts
        return
    for fragment, stack in zip(fragments, stacks, strict=True):
        predict_out_of_fold(settings, fragment, stack, folds)


def train_fold(settings: Settings, fragments: Sequence[Sheet], stacks: list[Stack], fold: Fold) -> Path:
    """Train one fold; returns the path of its weights. Does nothing where that is already done."""
    stage2, channels = settings.stage2, stacks[0].channels.shape[0]
    seed = settings.seed * 1000 + stage2.seed * 100 + fold.number + 50
    torch.manual_seed(seed)
    arrays = [stack.channels for stack in stacks]
    deciding = stage2.model_dump(mode="json", exclude={"training", "window"}) | {"training": stage2.training.deciding()}
    made_from = {fragment.id: [fragment.key, stack.key] for fragment, stack in zip(fragments, stacks, strict=True)}
    task = Task(
        label=f"stage 2, fold {fold.number}",
        folder=settings.folder.fold(STAGE2, fold.number),
        key=key_of([seed, deciding, made_from, fold.held_out, fold.closed]),
        seed=seed,
        model=build_network(stage2, channels),
        loss_of=loss_of(stage2),
        train=StackPatches(fragments, arrays, fold, stage2, seed, is_training=True),
        validation=StackPatches(fragments, arrays, fold, stage2, seed, is_training=False),
        about=about_network(stage2, channels),
        made_with={
            "seed": seed,
            "depth": settings.data.depth,
            "fold": fold.number,
            "held_out": fold.held_out,
            "voxel_um": fragments[0].pixel_um,
            "axes": "yx",
            "channels": settings.stage1.sources,
            "settings": stage2.model_dump(mode="json"),
            "data": made_from,
        },
        trackers=settings.trackers,
    )
    return fit(task, stage2.training)


def loss_of(stage2: Stage2Settings) -> LossOf:
    """The loss of stage two, on logits (B, Y, X)."""

    def loss(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        return loss_terms(model(batch["stack"]).squeeze(1), batch, stage2.loss)

    return loss


def oof_folders(settings: Settings, fragment_id: str) -> dict[str, Path]:
    """Where stage one left each source's out-of-fold prediction of a fragment."""
    return {name: settings.folder.oof(name, fragment_id) for name in settings.stage1.sources}


def _hint(settings: Settings) -> str:
    return f"stage two trains on stage one's out-of-fold predictions: run 'make stage1 CONFIG=...' with run_dir {settings.run_dir} first"

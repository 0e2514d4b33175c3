"""Stage two on flattened stacks: the 2D network learns ink from what stage one predicted out of fold."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from torch import Tensor, nn

from scroll.config.schema import Settings, Stage2Settings
from scroll.data.folds import Fold, make_folds
from scroll.data.members.new_items import folds_of_new, lines_on_sharers, out_of_fold
from scroll.data.shares import shares_of
from scroll.data.sheets import Sheet, training_sheets
from scroll.inference.fold_ensemble import is_main_process
from scroll.training.loop import LossOf, Task
from scroll.training.losses import loss_terms
from stage2_2d.fold_training import stage2_task, train_folds
from stage2_2d.ink.dataset import StackPatches
from stage2_2d.network import about_network, build_network
from stage2_2d.predict import predict_out_of_fold, stage2_predictor
from stage2_2d.stack import Stack, read_stack


def train(settings: Settings) -> None:
    """Train every fold, and predict the rows of every sheet by the fold that held them out.

    Raises:
        MissingInputError: a member's out-of-fold prediction is not there; the line names `make stage1`.
    """
    everything = training_sheets(settings.data)
    settings, sheets = out_of_fold(settings, everything)
    for line in lines_on_sharers(settings):
        print(line)
    hint = f"stage two trains on stage one's out-of-fold predictions: run 'make stage1 CONFIG=...' with run_dir {settings.run_dir} first"
    stacks = oof_stacks(settings, sheets, hint)
    folds = folds_of_new(settings, make_folds(everything, settings.folds), sheets)
    train_folds(settings, folds, partial(_task, settings, sheets, stacks), settings.stage2.training)
    if is_main_process():  # several processes train together; one predicts
        for sheet, stack in zip(sheets, stacks, strict=True):
            predict_out_of_fold(settings, stage2_predictor(settings, sheet, stack), folds)


def _task(settings: Settings, sheets: Sequence[Sheet], stacks: Sequence[Stack], fold: Fold) -> Task:
    stage2, arrays = settings.stage2, [stack.channels for stack in stacks]
    channels = arrays[0].shape[0]
    made_with = {
        "depth": settings.data.depth,
        "voxel_um": sheets[0].pixel_um,
        "channels": settings.stage1.sources,
        "data": made_from(sheets, stacks),
    }
    shares = shares_of(sheets, settings.sampling)
    network, patches = (
        partial(build_network, stage2, channels),
        partial(StackPatches, sheets, arrays, fold, stage2, shares=shares),
    )
    return stage2_task(settings, fold, network, loss_of(stage2), patches, about_network(stage2, channels), made_with)


def made_from(sheets: Sequence[Sheet], stacks: Sequence[Stack]) -> dict[str, list[str]]:
    """Hash of each sheet's data and stack, for the receipt."""
    return {sheet.id: [sheet.key, stack.key] for sheet, stack in zip(sheets, stacks, strict=True)}


def loss_of(stage2: Stage2Settings) -> LossOf:
    """The loss of stage two, on logits (B, Y, X)."""

    def loss(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        return loss_terms(model(batch["stack"]).squeeze(1), batch, stage2.loss)

    return loss


def oof_stacks(settings: Settings, sheets: Sequence[Sheet], hint: str) -> list[Stack]:
    """What stage one left of each training sheet.

    Raises:
        MissingInputError: a source's prediction is not there; `hint` names the command that makes it.
    """
    return [read_stack(settings.stage1, sheet, oof_folders(settings, sheet.id), hint) for sheet in sheets]


def oof_folders(settings: Settings, sheet_id: str) -> dict[str, Path]:
    """Where stage one left each source's out-of-fold prediction of a sheet."""
    return {name: settings.folder.oof(name, sheet_id) for name in settings.stage1.sources}

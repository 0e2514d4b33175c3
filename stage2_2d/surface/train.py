"""Stage two on cubes: the 2D network learns from out-of-fold stacks whether a sheet is there, and how far off it is."""

from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from scroll.config.schema import Settings, Stage2Settings
from scroll.data.cubes import Cube, prepare, training_cubes
from scroll.data.folds import Fold, make_folds
from scroll.data.members.new_items import folds_of_new, lines_on_sharers, out_of_fold
from scroll.inference.fold_ensemble import is_main_process
from scroll.runtime.receipt import read_receipt
from scroll.runtime.run_folder import STAGE2
from scroll.training.loop import LossOf, Task
from scroll.training.losses import loss_terms
from scroll.volumes import open_volume
from stage2_2d.fold_training import stage2_task, train_folds
from stage2_2d.surface.dataset import SheetPatches
from stage2_2d.surface.predict import OFFSET, PRESENCE, about, network_for, predict_sheets
from stage2_2d.surface.stack import CT, TracedSheet, Truth, traced_sheets, truth_on


def train(settings: Settings) -> None:
    """Train every fold, and predict the sheets of every training cube by the fold that held it out.

    Raises:
        MissingInputError: no sheets were traced; the line names `make stage1`.
    """
    everything, stage2, folder = prepare(training_cubes(settings.data)), settings.stage2, settings.folder.sheets
    settings, cubes = out_of_fold(settings, everything)
    for line in lines_on_sharers(settings):
        print(line)
    folds = folds_of_new(settings, make_folds(everything, settings.folds), cubes)
    hint = f"stage two on cubes starts from sheets traced out of fold: run 'make stage1 CONFIG=...' with run_dir {settings.run_dir} first"
    labelled = [pair for cube in cubes for pair in labelled_sheets(folder / cube.id, cube, hint)]

    def task(fold: Fold) -> Task:
        made_with = {
            "voxel_um": cubes[0].pixel_um,
            "sources": [*settings.stage1.fitted, CT],
            "tracing": settings.tracing.model_dump(mode="json"),
            "data": {cube.id: [cube.key, read_receipt(folder / cube.id, hint)["key"]] for cube in cubes},
        }
        network, patches = partial(network_for, settings), partial(SheetPatches, labelled, fold, stage2)
        return stage2_task(settings, fold, network, loss_of(stage2), patches, about(settings), made_with)

    train_folds(settings, folds, task, stage2.training)
    if is_main_process():  # several processes train together; one predicts
        for fold in folds:
            held_out = [cube for cube in cubes if cube.id in fold.held_out]
            predict_sheets(settings, held_out, [fold.number], folder, settings.folder.oof(STAGE2))


def labelled_sheets(folder: Path, cube: Cube, hint: str) -> list[tuple[TracedSheet, Truth]]:
    """The sheets traced in a training cube's out-of-fold predictions, with what its label says on them."""
    label = open_volume(str(cube.label_path))[...]
    return [(sheet, truth_on(sheet.surface, label)) for sheet in traced_sheets(folder, cube, hint)]


def loss_of(stage2: Stage2Settings) -> LossOf:
    """The terms of the loss for presence, and the mean distance for the offset, in units of half the offsets' span."""

    def loss(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        logits = model(batch["stack"]).float()
        of_presence = {name: batch[name][:, PRESENCE] for name in ("target", "ignore")}
        value = loss_terms(logits[:, PRESENCE], of_presence, stage2.loss)
        known = ~batch["ignore"][:, OFFSET]
        misfit = 2 * (torch.sigmoid(logits[:, OFFSET]) - batch["target"][:, OFFSET]).abs() * known
        return value + stage2.offset_share * misfit.sum() / known.sum().clamp(min=1)

    return loss

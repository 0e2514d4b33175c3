"""Stage two on cubes: the 2D network learns from out-of-fold stacks whether a sheet is there, and how far off it is."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from scroll.config.reader import save_run_settings
from scroll.config.schema import Settings, Stage2Settings
from scroll.data.cubes import Cube, prepare, training_cubes
from scroll.data.folds import Fold, make_folds
from scroll.inference.fold_ensemble import is_main_process
from scroll.runtime.receipt import key_of, read_receipt
from scroll.runtime.run_folder import STAGE2
from scroll.training.loop import LossOf, Task, fit
from scroll.training.losses import loss_terms
from scroll.volumes import open_volume
from stage2_2d.surface.dataset import SheetPatches
from stage2_2d.surface.network import OFFSET, PRESENCE, about, network_for
from stage2_2d.surface.predict import predict_sheets
from stage2_2d.surface.stack import CT, TracedSheet, Truth, traced_sheets, truth_on

if TYPE_CHECKING:
    from collections.abc import Mapping

LabelledSheets = list[tuple[TracedSheet, Truth]]


def train(settings: Settings) -> None:
    """Train stage two on every fold and predict the sheets of every training cube by the fold that held it out.

    Raises:
        MissingInputError: no sheets were traced; the line names `make stage1`.
    """
    cubes = prepare(training_cubes(settings.data))
    folds = make_folds(cubes, settings.folds)
    labelled = [pair for cube in cubes for pair in labelled_sheets(settings, cube)]
    save_run_settings(settings)
    for fold in folds:
        train_fold(settings, cubes, labelled, fold)
    if not is_main_process():
        return
    for fold in folds:
        held_out = [cube for cube in cubes if cube.id in fold.held_out]
        predict_sheets(settings, held_out, [fold.number], settings.folder.sheets, settings.folder.oof(STAGE2))


def labelled_sheets(settings: Settings, cube: Cube) -> LabelledSheets:
    """The sheets traced in a training cube's out-of-fold predictions, with what its label says on them."""
    hint = _hint(settings)
    label = open_volume(str(cube.label_path))[...]
    sheets = traced_sheets(settings.folder.sheets / cube.id, cube, hint)
    return [(sheet, truth_on(sheet.surface, label)) for sheet in sheets]


def train_fold(settings: Settings, cubes: Sequence[Cube], labelled: LabelledSheets, fold: Fold) -> Path:
    """Train one fold; returns the path of its weights. Does nothing where that is already done."""
    stage2 = settings.stage2
    seed = settings.seed * 1000 + stage2.seed * 100 + fold.number + 50
    torch.manual_seed(seed)
    deciding = stage2.model_dump(mode="json", exclude={"training", "window"}) | {"training": stage2.training.deciding()}
    folder = settings.folder.sheets
    made_from = {cube.id: [cube.key, read_receipt(folder / cube.id, _hint(settings))["key"]] for cube in cubes}
    task = Task(
        label=f"stage 2, fold {fold.number}",
        folder=settings.folder.fold(STAGE2, fold.number),
        key=key_of([seed, deciding, made_from, fold.held_out, fold.closed]),
        seed=seed,
        model=network_for(settings),
        loss_of=loss_of(stage2),
        train=SheetPatches(labelled, fold, stage2, seed, is_training=True),
        validation=SheetPatches(labelled, fold, stage2, seed, is_training=False),
        about=about(settings),
        made_with={
            "seed": seed, "fold": fold.number, "held_out": fold.held_out, "voxel_um": cubes[0].pixel_um, "axes": "yx",
            "sources": [*settings.stage1.members, CT], "settings": stage2.model_dump(mode="json"),
            "tracing": settings.tracing.model_dump(mode="json"), "data": made_from,
        },
        trackers=settings.trackers,
    )  # fmt: skip
    return fit(task, stage2.training)


def loss_of(stage2: Stage2Settings) -> LossOf:
    """The terms of the loss for presence, and the mean distance for the offset, in units of half the offsets' span."""

    def loss(model: nn.Module, batch: "Mapping[str, Tensor]") -> Tensor:
        logits = model(batch["stack"]).float()
        of_presence = {name: batch[name][:, PRESENCE] for name in ("target", "ignore")}
        value = loss_terms(logits[:, PRESENCE], of_presence, stage2.loss)
        known = ~batch["ignore"][:, OFFSET]
        misfit = 2 * (torch.sigmoid(logits[:, OFFSET]) - batch["target"][:, OFFSET]).abs() * known
        return value + stage2.offset_share * misfit.sum() / known.sum().clamp(min=1)

    return loss


def _hint(settings: Settings) -> str:
    return f"stage two on cubes starts from sheets traced out of fold: run 'make stage1 CONFIG=...' with run_dir {settings.run_dir} first"

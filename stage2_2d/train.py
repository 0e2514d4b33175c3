"""Stage two: train the 2D network on out-of-fold flattened stacks, fold by fold, then predict what each fold held out.

python -m stage2_2d.train configs/demo.yaml [--set a.b=c]
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from scroll.runtime.command_line import run_door

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor, nn

    from scroll.config.schema import Settings, Stage2Settings
    from scroll.data.folds import Fold
    from scroll.data.sheets import Sheet
    from scroll.training.loop import LossOf
    from stage2_2d.ink.stack import Stack


def main() -> None:
    """Parse the command line and run stage two."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, help="YAML of the run, such as configs/demo.yaml")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="override a setting, such as stage2.training.steps=200",
    )
    arguments = parser.parse_args()
    from scroll.config.reader import load_settings
    from scroll.runtime.output_folder import RUN
    from scroll.runtime.run_lock import writing

    settings = load_settings(arguments.config, arguments.set)
    with writing(settings.run_dir, RUN, is_training=True):
        train_stage2(settings)


def train_stage2(settings: "Settings") -> None:
    """Train stage two on every fold and leave weights and out-of-fold ink maps in the run folder.

    Raises:
        MissingInputError: a member's out-of-fold prediction is not there; the line names `make stage1`.
        InputError: bands of rows with too narrow a buffer, or the data is not as expected.
    """
    from scroll.config.reader import save_run_settings
    from scroll.data.folds import check_buffer, make_folds
    from scroll.data.sheets import training_sheets
    from scroll.inference.fold_ensemble import is_main_process
    from scroll.training.trackers import check_trackers
    from stage2_2d.ink.stack import read_stack
    from stage2_2d.network import check_stage2
    from stage2_2d.predict import predict_out_of_fold

    check_stage2(settings.stage2)
    check_trackers(settings)
    check_buffer(settings)
    if settings.data.kind == "cubes":
        from stage2_2d.surface.train import train_on_sheets

        train_on_sheets(settings)
        return
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


def train_fold(settings: "Settings", fragments: "Sequence[Sheet]", stacks: "list[Stack]", fold: "Fold") -> Path:
    """Train one fold; returns the path of its weights. Does nothing where that is already done."""
    import torch

    from scroll.runtime.receipt import key_of
    from scroll.training.loop import Task, fit
    from stage2_2d.ink.dataset import StackPatches
    from stage2_2d.network import about_network, build_network

    stage2, channels = settings.stage2, stacks[0].channels.shape[0]
    seed = settings.seed * 1000 + stage2.seed * 100 + fold.number + 50
    torch.manual_seed(seed)
    arrays = [stack.channels for stack in stacks]
    deciding = stage2.model_dump(mode="json", exclude={"training", "window"}) | {"training": stage2.training.deciding()}
    made_from = {fragment.id: [fragment.key, stack.key] for fragment, stack in zip(fragments, stacks, strict=True)}
    task = Task(
        label=f"stage 2, fold {fold.number}",
        folder=settings.run_dir / "stage2" / f"fold{fold.number}",
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


def loss_of(stage2: "Stage2Settings") -> "LossOf":
    """The loss of stage two, on logits (B, Y, X)."""
    from scroll.training.losses import loss_terms

    def loss(model: "nn.Module", batch: "dict[str, Tensor]") -> "Tensor":
        return loss_terms(model(batch["stack"]).squeeze(1), batch, stage2.loss)

    return loss


def oof_folders(settings: "Settings", fragment_id: str) -> dict[str, Path]:
    """Where stage one left each source's out-of-fold prediction of a fragment."""
    return {name: settings.run_dir / "stage1" / name / "oof" / fragment_id for name in settings.stage1.sources}


def _hint(settings: "Settings") -> str:
    return f"stage two trains on stage one's out-of-fold predictions: run 'make stage1 CONFIG=...' with run_dir {settings.run_dir} first"


if __name__ == "__main__":
    run_door(main)

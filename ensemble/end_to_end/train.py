"""End-to-end training: a member of stage one, its flattening and stage two, trained on end to end, fold by fold.

python -m ensemble.end_to_end.train configs/demo.yaml [--set a.b=c]

It starts from the weights of the two passes, so these come first. The member's patch must be the whole depth window
(data.depth): the network flattens what it has just predicted, and half a window cannot be flattened. It sees the member's
prediction of one patch, where stage two learnt from a mean over overlapping patches and test-time symmetries.

What is honest here and what is not: fold k trains on rows that fold k may see, and is judged on rows that neither pass of
fold k was trained on. But on its training rows the member's channel, which stage two had out of fold, now comes from fold
k's own network, which has seen these very rows and is surer there than it will be on new ones. The other channels stay
out of fold. Whether the gain of training end to end outweighs that is what the out-of-fold score tells.
"""

import json
from functools import partial
from typing import TYPE_CHECKING, Any

from scroll.runtime.command_line import run_command, run_parser

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scroll.config.schema import Settings
    from scroll.data.folds import Fold
    from scroll.data.fragments import Fragment
    from scroll.training.loop import Task
    from stage2_2d.stack import Stack


def main() -> None:
    """Parse the command line and train end to end."""
    arguments = run_parser(__doc__, "end_to_end.training.steps=200").parse_args()
    from ensemble.check import load_run_settings
    from scroll.runtime.output_folder import RUN
    from scroll.runtime.run_lock import writing

    settings = load_run_settings(arguments.config, arguments.set)
    with writing(settings.run_dir, RUN, is_training=True):
        train_end_to_end(settings)


def train_end_to_end(settings: "Settings") -> None:
    """Train every fold end to end and leave weights and out-of-fold ink maps under joint/ in the run folder.

    Raises:
        InputError: the settings do not allow it, or the two passes were trained on other data or folds than those of now.
        MissingInputError: one of the two passes was not trained to the end; the line names its command.
    """
    from ensemble.end_to_end.network import end_to_end_predictor
    from ensemble.end_to_end.settings import check_end_to_end, end_to_end_of
    from scroll.data.folds import make_folds
    from scroll.data.fragments import training_fragments
    from scroll.data.members.new_items import folds_of_new, out_of_fold
    from scroll.inference.fold_ensemble import is_main_process
    from scroll.training.loggers import check_trackers
    from stage2_2d.fold_training import train_folds
    from stage2_2d.ink.train import made_from, oof_stacks
    from stage2_2d.predict import predict_out_of_fold

    check_end_to_end(settings)
    check_trackers(settings)
    end_to_end = end_to_end_of(settings)
    everything = training_fragments(settings.data, settings.stage1.members[end_to_end.member].augment.depth_jitter)
    settings, fragments = out_of_fold(settings, everything)
    stacks = oof_stacks(settings, fragments, _hint(settings))
    folds = folds_of_new(settings, make_folds(everything, settings.folds), fragments)
    for fold in folds:
        check_start(settings, fold, made_from(fragments, stacks))
    train_folds(settings, folds, partial(end_to_end_task, settings, fragments, stacks), end_to_end.training)
    if is_main_process():  # several processes train together; one predicts
        for fragment, stack in zip(fragments, stacks, strict=True):
            predict_out_of_fold(settings, end_to_end_predictor(settings, fragment, stack), folds)


def end_to_end_task(
    settings: "Settings", fragments: "Sequence[Fragment]", stacks: "Sequence[Stack]", fold: "Fold"
) -> "Task":
    """What is fitted on one fold: the two passes' networks of it, chained."""
    import torch

    from ensemble.end_to_end.dataset import EndToEndPatches, end_to_end_seed
    from ensemble.end_to_end.network import about_network, starting_network, starting_weights
    from ensemble.end_to_end.settings import end_to_end_of
    from scroll.runtime.run_folder import END_TO_END
    from scroll.training.loop import Task
    from stage2_2d.ink.train import loss_of, made_from

    end_to_end, channels, data = end_to_end_of(settings), stacks[0].channels.shape[0], made_from(fragments, stacks)
    seed, start = end_to_end_seed(settings, fold), starting_weights(settings, fold.number)
    torch.manual_seed(seed)
    patches = partial(EndToEndPatches, settings, fragments, [stack.channels for stack in stacks], fold)
    return Task(
        label=f"end to end, {end_to_end.member} and stage 2, fold {fold.number}",
        folder=settings.folder.fold(END_TO_END, fold.number),
        key=end_to_end_key(settings, fold, start, data),
        seed=seed,
        model=starting_network(settings, fold.number, channels),
        loss_of=loss_of(settings.stage2),  # stage two's own: the network takes its "stack", with the CT before it
        train=patches(is_training=True),
        validation=patches(is_training=False),
        about=about_network(settings, channels),
        made_with={
            "member": end_to_end.member, "seed": seed, "depth": settings.data.depth, "fold": fold.number, "held_out": fold.held_out,
            "started_from": start, "voxel_um": fragments[0].pixel_um, "axes": "yx", "channels": settings.stage1.sources,
            "settings": end_to_end.model_dump(mode="json"), "data": data,
        },
        trackers=settings.trackers,
    )  # fmt: skip


def end_to_end_key(settings: "Settings", fold: "Fold", start: dict[str, str], data: dict[str, list[str]]) -> str:
    """Hash of all that decides a fold's weights; loading speed and checkpoint rhythm do not."""
    from ensemble.end_to_end.settings import end_to_end_of
    from scroll.runtime.receipt import key_of

    end_to_end, stage2 = end_to_end_of(settings), settings.stage2
    changes = [settings.stage1.members[end_to_end.member].augment.model_dump(), stage2.augment.model_dump()]
    how = [
        end_to_end.for_key(exclude={"training"}) | {"training": end_to_end.training.deciding()},
        settings.stage1.flatten.model_dump(),
        stage2.foreground_share,
        stage2.loss.model_dump(),
    ]
    deciding = settings.sampling.deciding()
    return key_of([settings.seed, how, changes, start, data, fold.number, fold.held_out, fold.closed, *deciding])


def check_start(settings: "Settings", fold: "Fold", data: dict[str, list[str]]) -> None:
    """Refuse weights of another split, which may have seen what this fold holds out, and a stage two of other stacks.

    Raises:
        MissingInputError: a pass was not trained.
        InputError: its receipt speaks of other held-out rows or other stacks.
    """
    from ensemble.end_to_end.settings import end_to_end_of
    from scroll.errors import InputError
    from scroll.runtime.receipt import read_receipt
    from scroll.runtime.run_folder import STAGE2

    held_out: Any = json.loads(json.dumps(fold.held_out))  # as it was saved: a tuple is a list there
    for name, command in ((end_to_end_of(settings).member, "make stage1"), (STAGE2, "make stage2")):
        folder = settings.folder.fold(name, fold.number)
        hint = f"run '{command} CONFIG=...' for {settings.run_dir} first"
        receipt = read_receipt(folder, hint)
        if receipt.get("held_out") != held_out:
            raise InputError(f"{folder}: was trained with other folds than those of the settings now; {hint}")
        if name == STAGE2 and receipt.get("data") != data:
            raise InputError(f"{folder}: was trained on other stacks than those that stage one left; {hint}")


def _hint(settings: "Settings") -> str:
    return f"end-to-end training comes after the two passes: run 'make stage1 CONFIG=...', then stage2, for {settings.run_dir} first"


if __name__ == "__main__":
    run_command(main)

"""How networks learn fold by fold from what stage one left, whatever the kind of data, and end to end."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from scroll.config.reader import save_run_settings
from scroll.config.schema import Settings, TrainingSettings
from scroll.data.folds import Fold
from scroll.data.members.beginning import beginning
from scroll.runtime.receipt import Key, file_hash, key_of
from scroll.runtime.run_folder import STAGE2
from scroll.training.begin_from import begin_from
from scroll.training.checkpoint import About
from scroll.training.loop import LossOf, Task, fit

Patches = Callable[[int, bool], "Dataset[dict[str, Tensor]]"]  # (seed, is_training)


def train_folds(settings: Settings, folds: Sequence[Fold], task: Callable[[Fold], Task], how: TrainingSettings) -> None:
    """Save the settings of the run, and train every fold that is not trained yet."""
    save_run_settings(settings)
    for fold in folds:
        fit(task(fold), how)


def stage2_task(
    settings: Settings,
    fold: Fold,
    network: Callable[[], nn.Module],
    loss_of: LossOf,
    patches: Patches,
    about: About,
    made_with: dict[str, object],
) -> Task:
    """What stage two is fitted to on one fold; the network is built, and seeded. `made_with` are the kind's lines of the receipt."""
    stage2 = settings.stage2
    seed = settings.seed * 1000 + stage2.seed * 100 + fold.number + 50
    torch.manual_seed(seed)
    model, start = network(), beginning(stage2.init, fold) if stage2.init else None
    started = {"started_from": begin_from(model, start)} if start else {}
    lines = {"seed": seed, "fold": fold.number, "held_out": fold.held_out, "axes": "yx", **started}
    return Task(
        label=f"stage 2, fold {fold.number}",
        folder=settings.folder.fold(STAGE2, fold.number),
        key=stage2_key(settings, seed, made_with["data"], fold),
        seed=seed,
        model=model,
        loss_of=loss_of,
        train=patches(seed, True),
        validation=patches(seed, False),
        about=about,
        made_with={**lines, "settings": stage2.model_dump(mode="json"), **made_with},
        trackers=settings.trackers,
    )


def stage2_key(settings: Settings, seed: int, data: object, fold: Fold) -> Key:
    """Hash of all that decides a fold's weights; loading speed, checkpoint rhythm and windows do not."""
    stage2 = settings.stage2
    deciding = stage2.for_key(exclude={"training", "window", "init"}) | {"training": stage2.training.deciding()}
    started = [file_hash(beginning(stage2.init, fold))] if stage2.init else []
    return key_of([seed, deciding, data, fold.held_out, fold.closed, *started, *settings.sampling.deciding()])

"""The part of a run folder that a prediction needs: weights with their receipts, the fit, what training's stacks looked like."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from ensemble.kaggle.others import at, copy_others
from ensemble.kinds import steps_of
from scroll.config.reader import save_settings
from scroll.config.schema import Settings
from scroll.errors import MissingInputError
from scroll.runtime.receipt import NAME as RECEIPT
from scroll.runtime.run_folder import END_TO_END, STAGE2, RunFolder

BEGUN_WITH = ("pretrained_dir", "pretrained_file")  # options of stage two that name folders of this machine
WEIGHTS = "weights.safetensors"
HINT = "run 'make stage1 CONFIG=...' and 'make stage2 CONFIG=...' to the end first"


def needed(settings: Settings) -> list[Path]:
    """Every file of the run that a prediction reads, relative to `settings.run_dir`; none of its out-of-fold data.

    Members of others are not in it: they lie outside the run.

    Of a run on cubes the members that its submission never asks are left out, and stage two where it goes another way.

    Raises:
        MissingInputError: one of them is not there: the run is not finished.
    """
    files = [path for folder in _trained(settings) for path in (folder / WEIGHTS, folder / RECEIPT)]
    files.append(RunFolder(Path()).fit)
    for path in files:
        if not (settings.run_dir / path).is_file():
            raise MissingInputError(f"{settings.run_dir / path}: not there; {HINT}")
    here, reference = RunFolder(Path()), settings.folder.reference
    return [*files, *([here.reference] if reference.exists() else [])]


def _trained(settings: Settings) -> Iterator[Path]:
    """Folders of the trainings that a prediction asks, relative to the run."""
    members, is_stage2_asked = steps_of(settings.data).asked(settings)
    ours = [name for name in members if name in settings.stage1.trained]
    asked = [*ours, *([STAGE2] if is_stage2_asked else []), *([END_TO_END] if settings.end_to_end is not None else [])]
    for number in range(settings.folds.count):
        for name in asked:
            yield RunFolder(Path()).fold(name, number)


def copy_run(settings: Settings, folder: Path) -> int:
    """Copy what is `needed` into `folder`, the members of others, and settings without this machine's paths; returns the bytes.

    Raises:
        MissingInputError: the run is not finished, or a file of a member of others is not there.
        InputError: its fit speaks of other weights, as after a training that was begun again and not finished.
    """
    paths = needed(settings)
    steps_of(settings.data).fitted_weights(settings)  # refuses a fit of other weights
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(settings.run_dir / path, folder / path)
    of_others = copy_others(settings, steps_of(settings.data).asked(settings)[0], folder)
    save_settings(portable(settings), folder / "settings.yaml")
    return sum((folder / path).stat().st_size for path in paths) + of_others


def portable(settings: Settings) -> Settings:
    """The settings without this machine's folders: the data's, of members of others, of weights that a training began with.

    The run is then in the working directory's folder `run`, and members of others in that.
    """
    data = settings.data.model_copy(update={"root": Path("data"), "cache_dir": Path("cache"), "volume": None})
    options = {name: value for name, value in settings.stage2.options.items() if name not in BEGUN_WITH}
    stage2 = settings.stage2.model_copy(update={"options": options})
    run = Path("run")
    stage1 = settings.stage1.model_copy(update={"members": at(settings, run)})
    return settings.model_copy(
        update={"run_dir": run, "data": data, "stage1": stage1, "stage2": stage2, "trackers": ()}
    )

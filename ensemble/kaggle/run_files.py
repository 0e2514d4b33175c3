"""The part of a run folder that a prediction needs: weights with their receipts, the fit, what training's stacks looked like."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from scroll.config.reader import save_settings
from scroll.config.schema import Settings
from scroll.errors import MissingInputError
from scroll.runtime.receipt import NAME as RECEIPT

BEGUN_WITH = ("pretrained_dir", "pretrained_file")  # options of stage two that name folders of this machine
WEIGHTS = "weights.safetensors"
HINT = "run 'make stage1 CONFIG=...' and 'make stage2 CONFIG=...' to the end first"


def needed(settings: Settings) -> list[Path]:
    """Every file of the run that a prediction reads, relative to `settings.run_dir`; none of its out-of-fold data.

    Of a run on cubes the members that its submission never asks are left out, and stage two where it goes another way.

    Raises:
        MissingInputError: one of them is not there: the run is not finished.
    """
    files = [path for folder in _trained(settings) for path in (folder / WEIGHTS, folder / RECEIPT)]
    files.append(Path("ensemble/fit.json"))
    for path in files:
        if not (settings.run_dir / path).is_file():
            raise MissingInputError(f"{settings.run_dir / path}: not there; {HINT}")
    reference = Path("stage1/preflight.json")
    return [*files, *([reference] if (settings.run_dir / reference).exists() else [])]


def _trained(settings: Settings) -> Iterator[Path]:
    """Folders of the trainings that a prediction asks, relative to the run."""
    members, is_stage2_asked = _asked(settings)
    for fold in (f"fold{number}" for number in range(settings.folds.count)):
        for name in members:
            yield Path("stage1", name, fold)
        if is_stage2_asked:
            yield Path("stage2", fold)
        if settings.joint is not None:
            yield Path("joint", fold)


def _asked(settings: Settings) -> tuple[list[str], bool]:
    """The members that look at a new fragment or cube, and whether stage two does."""
    if settings.data.kind != "cubes":
        return list(settings.stage1.members), True
    from ensemble.surface.predict import FLAT, CubeRun

    cube_run = CubeRun(settings, settings.run_dir)
    return cube_run.members, cube_run.fit.route in FLAT


def copy_run(settings: Settings, folder: Path) -> int:
    """Copy what is `needed` into `folder`, and settings without this machine's paths; returns the bytes.

    Raises:
        MissingInputError: the run is not finished.
        InputError: its fit speaks of other weights, as after a training that was begun again and not finished.
    """
    paths = needed(settings)
    _check_fit(settings)
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(settings.run_dir / path, folder / path)
    save_settings(portable(settings), folder / "settings.yaml")
    return sum((folder / path).stat().st_size for path in paths)


def _check_fit(settings: Settings) -> None:
    if settings.data.kind == "cubes":
        from ensemble.surface.fit import read_cube_fit

        read_cube_fit(settings)
        return
    from ensemble.calibrate import read_fit

    read_fit(settings)


def portable(settings: Settings) -> Settings:
    """The settings without this machine's folders: neither the data's, nor of weights that a training began with."""
    data = settings.data.model_copy(update={"root": Path("data"), "cache_dir": Path("cache"), "volume": None})
    options = {name: value for name, value in settings.stage2.options.items() if name not in BEGUN_WITH}
    stage2 = settings.stage2.model_copy(update={"options": options})
    return settings.model_copy(update={"run_dir": Path("run"), "data": data, "stage2": stage2, "trackers": ()})

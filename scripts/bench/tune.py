"""What `scripts/tune.py` chooses beside the fastest of a full sweep over loading processes, on the same small training."""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

from scroll.config.schema import Settings
from scroll.data.folds import make_folds
from scroll.errors import InputError
from scroll.phantom.dataset import make_fragments
from scroll.phantom.settings import fragment_settings
from scroll.planning.measured_step import run_trial
from scroll.planning.overlay import table
from scroll.planning.tuning import WORKERS, Bounds, Setting, Trial, tune
from scroll.runtime.processes import usable_cores
from stage1_3d.kinds import training_data
from stage1_3d.train import member_task

NOISE = 0.1  # what two runs of one setting differ by on an idle machine


def run(arguments: argparse.Namespace) -> None:
    """Print the trials of the tuner, those of the sweep, and the ratio of the two bests as the sweep measured them."""
    with tempfile.TemporaryDirectory() as folder:
        settings = _settings(Path(folder))
        data = training_data(settings)
        fold = make_folds(data.items, settings.folds)[0]
        training, steps = settings.stage1.members["small"].training, arguments.tune_steps

        def measure(phase: str, setting: Setting) -> Trial:
            return run_trial(phase, lambda: member_task(settings, "small", data, fold), training, setting, steps, 64.0)

        bounds = Bounds(max_batch=4, cores=usable_cores(), noise=NOISE)
        found = tune(Setting(4), bounds, measure)
        if found.chosen is None:
            raise InputError(found.why[0])
        counts = [workers for workers in bounds.workers if workers <= bounds.cores]
        sweep = [measure(WORKERS, replace(found.chosen.setting, workers=workers)) for workers in counts]
    rates = {trial.setting.workers: trial.patches_a_s for trial in sweep}
    print(f"the tuner's trials\n{table(found.trials)}\nthe full sweep\n{table(sweep)}")
    chosen = found.chosen.setting.workers
    print(f"{chosen} workers chosen: {rates[chosen] / max(rates.values()):.2f} of the patches a second of the best")


def _settings(folder: Path) -> Settings:
    """Two small fragments and a network that learns faster than one process cuts patches."""
    make_fragments(
        folder / "data", fragment_settings("easy", (24, 192, 192), letter_height_px=60.0), 3, train=2, test=0
    )
    training = {"steps": 2, "train_batch_size": 4, "warmup_steps": 0, "precision": "fp32"}
    member = {
        "network": "cnn3d",
        "options": {"channels": [2, 2], "dilations": [1, 1]},
        "patch_size": [8, 64, 64],
        "training": training,
    }
    data = {"root": folder / "data", "cache_dir": folder / "cache", "depth": [-4, 4], "bin_yx": 1}
    return Settings.model_validate({"run_dir": folder / "run", "data": data, "stage1": {"members": {"small": member}}})

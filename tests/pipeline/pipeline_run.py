"""A run of the whole pipeline so small that it learns next to nothing, for the tests beside this file."""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import pytest
import yaml

from scroll.config.reader import load_settings, save_run_settings
from tests.made_once import own_copy
from tests.steps import step

REPOSITORY = Path(__file__).resolve().parents[2]
PHANTOM = ("--size", "24", "256", "256", "--seed", "3", "--letter-height-px", "90", "--jobs", "1")
MEMBERS = ("cnn3d", "unet3d")
Call = Callable[..., tuple[int, str, str]]


@dataclass(frozen=True)
class Run:
    """Where the whole run is."""

    root: Path
    config: Path

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def run_dir(self) -> Path:
        return self.root / "run"

    @property
    def output(self) -> Path:
        return self.root / "predict"


def tiny_settings(root: Path, run_dir: Path) -> dict[str, object]:
    """The demo's configuration on fragments, made so small that it learns next to nothing in seconds."""
    training = {"steps": 12, "train_batch_size": 2, "validation_batch_size": 2, "validation_patches": 2}
    training |= {"validate_every": 6, "checkpoint_every": 5, "warmup_steps": 2, "ema_decay": 0.5}
    return {
        "extends": os.path.relpath(REPOSITORY / "configs" / "demo_ink.yaml", root),
        "run_dir": str(run_dir),
        "data": {"root": str(root / "data"), "cache_dir": str(root / "cache"), "bin_yx": 4, "depth": [-4, 4]},
        "stage1": {
            "flatten": {"reduce": "max"},
            "defaults": {"patch_size": [8, 32, 32], "training": training},
            "members": {
                "cnn3d": {"options": {"channels": [4, 4], "stride_yx": 2, "dilations": [1, 2]}, "training": training},
                "unet3d": {
                    "options": {"channels": [4, 8, 8], "strides": [[1, 2, 2], [2, 2, 2], [2, 2, 2]]},
                    "training": training,
                },
            },
        },
        "stage2": {
            "patch_size": [32, 32],
            "options": {
                "depths": [1, 1, 1, 1],
                "hidden_sizes": [8, 8, 10, 16],
                "decoder_hidden_size": 8,
            },
            "training": training,
        },
        "ensemble": {"min_area_um2": 0},
        "preflight": {"mode": "warn"},  # 24 layers of 256 pixels tell too little
    }


def tiny_scroll_settings(root: Path, run_dir: Path) -> dict[str, object]:
    """The same of the demo in scroll space."""
    training = {"steps": 8, "train_batch_size": 2, "validation_batch_size": 2, "validation_patches": 2}
    training |= {"validate_every": 4, "checkpoint_every": 4, "warmup_steps": 2, "ema_decay": 0.5}
    return {
        "extends": os.path.relpath(REPOSITORY / "configs" / "demo.yaml", root),
        "run_dir": str(run_dir),
        "data": {"root": str(root / "data"), "cache_dir": str(root / "cache")},
        "stage1": {
            "flatten": {"ct": "mean"},
            "defaults": {"patch_size": [32, 32, 32], "training": training},
            "members": {
                "cnn3d": {"options": {"channels": [4, 4], "stride_yx": 2, "dilations": [1, 2]}, "training": training},
                "unet3d": {"options": {"channels": [4, 8, 8]}, "patch_size": [32, 32, 32], "training": training},
            },
        },
        "stage2": {
            "patch_size": [32, 32],
            "options": {"hidden_sizes": [8, 8, 10, 16], "decoder_hidden_size": 8},
            "training": training,
        },
        "preflight": {"mode": "warn"},
        "ensemble": {"min_area_um2": 0, "threshold": 0.5, "when_empty": "one_pixel"},
    }


def make_ink_run(root: Path) -> None:
    """Phantom, stage one, stage two, calibration and prediction below `root`, each a process of its own, started anywhere."""
    made, elsewhere = Run(root, write_tiny(root)), root / "elsewhere"
    elsewhere.mkdir()
    for name, cwd, *arguments in (
        ("phantom", elsewhere, REPOSITORY / "scripts" / "make_phantom.py", "fragments", "--out", made.data, *PHANTOM,
         "--train", "2", "--test", "1"),
        ("stage1", REPOSITORY, "-m", "stage1_3d.train", made.config),
        ("stage2", REPOSITORY, "-m", "stage2_2d.train", made.config),
        ("calibrate", REPOSITORY, "-m", "ensemble.calibrate", made.config),
        ("predict", elsewhere, REPOSITORY / "ensemble" / "predict.py", *predict_arguments(made),
         "--truth", made.data / "heldout"),
    ):  # fmt: skip
        done = step(*arguments, cwd=cwd)
        assert done.returncode == 0, f"{name}: {done.stdout}\n{done.stderr}"


def write_tiny(root: Path) -> Path:
    """The configuration of the run in `root`."""
    config = root / "tiny.yaml"
    config.write_text(yaml.safe_dump(tiny_settings(root, root / "run")), encoding="utf-8")
    return config


def own_ink_run(factory: pytest.TempPathFactory) -> Run:
    """The whole run, made once for all processes of the tests; this process may change its own."""
    root = own_copy(factory, "ink-run", make_ink_run)
    run = Run(root, write_tiny(root))
    save_run_settings(load_settings(run.config))  # those copied name the folder it was made in
    return run


def copied(run: Run, to: Path) -> Run:
    """The run and its predictions at another place, for tests that change them; the data stays where it is."""
    shutil.copytree(run.run_dir, to / "run")
    shutil.copytree(run.output, to / "predict")
    (to / "data").symlink_to(run.data)
    settings = yaml.safe_load((run.run_dir / "settings.yaml").read_text())
    config = to / "tiny.yaml"
    config.write_text(yaml.safe_dump(settings | {"run_dir": str(to / "run")}))
    return Run(to, config)


def states(run: Run) -> dict[str, int]:
    """When each file of the results that cost time was last written; of the settings, which cost none, the content."""
    names = {
        "settings.yaml",
        "weights.safetensors",
        "history.jsonl",
        "receipt.json",
        "prob.zarr",
        "flat.zarr",
        "ink.zarr",
    }
    files = [f for top in (run.run_dir, run.output) for f in top.rglob("*") if f.is_file() and names & {*f.parts}]
    return {
        str(f.relative_to(run.root)): crc32(f.read_bytes()) if f.name == "settings.yaml" else f.stat().st_mtime_ns
        for f in files
    }


def changed(before: dict[str, int], run: Run) -> set[str]:
    """Which of those files were written since."""
    return {name for name, time in states(run).items() if before.get(name) != time}


def predict_arguments(run: Run) -> list[object]:
    """For ensemble/predict.py: the test fragment, into the run's own output."""
    return [
        run.config,
        "--input",
        run.data / "test",
        "--output",
        run.output,
        "--submission",
        run.root / "submission.csv",
    ]

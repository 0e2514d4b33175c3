"""A run of one small member and stage two, trained in half a minute to read easy ink, for the tests of negative controls."""

from pathlib import Path

import yaml
from pipeline_run import REPOSITORY

from tests.steps import step

PHANTOM = ("--size", "24", "768", "768", "--seed", "5", "--letter-height-px", "110", "--preset", "easy", "--jobs", "1")


def small_settings(root: Path) -> dict[str, object]:
    """Whole letters in a patch, the sheet's face inside the depth window."""
    training = {"steps": 120, "train_batch_size": 4, "validate_every": 60, "warmup_steps": 10, "ema_decay": 0.9}
    training |= {"validation_patches": 4, "learning_rate": 5e-3}
    augment = {"quarter_turns": False, "layer_dropout": 0, "depth_jitter": 0, "cutout": 0}
    patch = {"patch_size": [16, 64, 64], "training": training, "pool": "logsumexp", "augment": augment}
    options = {"depths": [1, 1, 1, 1], "hidden_sizes": [16, 16, 20, 32], "decoder_hidden_size": 32}
    stage2_training = training | {"steps": 30, "validate_every": 15, "learning_rate": 1e-3}
    return {
        "run_dir": str(root / "run"),
        "data": {"root": str(root / "data"), "cache_dir": str(root / "cache"), "bin_yx": 4, "depth": [-10, 6]},
        "stage1": {
            "defaults": patch,
            "members": {"cnn3d": {"network": "cnn3d", "options": {"channels": [8, 16, 16], "stride_yx": 2}}},
            "window": {"overlap": 0.25},
        },
        "stage2": {"patch_size": [64, 64], "options": options, "training": stage2_training},
        "ensemble": {"when_empty": "one_pixel", "min_area_um2": 20000},
        "preflight": {"mode": "warn"},  # 24 layers tell too little
    }


def trained(root: Path) -> Path:
    """Draw the phantom and train the run below `root`; its configuration."""
    config = root / "small.yaml"
    config.write_text(yaml.safe_dump(small_settings(root)), encoding="utf-8")
    for command in (
        ["scripts/make_phantom.py", "fragments", "--out", root / "data", "--train", "2", "--test", "1", *PHANTOM],
        ["-m", "stage1_3d.train", config],
        ["-m", "stage2_2d.train", config],
        ["-m", "ensemble.calibrate", config],
    ):
        done = step(*command, cwd=REPOSITORY)
        assert done.returncode == 0, f"{command}: {done.stdout}\n{done.stderr}"
    return config

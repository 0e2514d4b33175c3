"""Two controls: where the phantom bears no ink nobody finds any, and where it is easy to see it is found."""

from pathlib import Path

import pytest
import yaml
from pipeline_run import REPOSITORY

from scroll.runtime.files import read_json
from tests.steps import step

SIZE = ("24", "768", "768")
LETTER_PX = "48"  # small letters: many of them, so that chance moves the AUC by little


def rows_of(root: Path, preset: str) -> dict[str, float]:
    """AUC on the held-out fragments of every row of score.json, after a short but real training."""
    training = {"steps": 120, "train_batch_size": 4, "validate_every": 60, "warmup_steps": 10, "ema_decay": 0.9}
    training |= {"validation_patches": 4, "learning_rate": 5e-3}
    patch, quick = {"patch_size": [8, 64, 64], "training": training}, {"overlap": 0.25}
    settings = {
        "run_dir": str(root / "run"),
        "data": {"root": str(root / "data"), "cache_dir": str(root / "cache"), "bin_yx": 2, "depth": [-4, 4]},
        "stage1": {
            "defaults": patch,
            "members": {
                "cnn3d": {"network": "cnn3d", "options": {"channels": [8, 16, 16], "stride_yx": 2}},
                "unet3d": {
                    "network": "unet3d",
                    "options": {"channels": [8, 16, 16], "strides": [[1, 2, 2], [2, 2, 2], [2, 2, 2]]},
                },
            },
            "window": quick,
        },
        "stage2": {
            "patch_size": [128, 128],
            "window": quick,
            "options": {"depths": [1, 1, 1, 1], "hidden_sizes": [16, 16, 20, 32], "decoder_hidden_size": 32},
            "training": training,
        },
        "ensemble": {"when_empty": "one_pixel", "min_area_um2": 0},
    }
    config = root / "control.yaml"
    config.write_text(yaml.safe_dump(settings))
    predicted = ["--input", root / "data" / "test", "--output", root / "predict", "--truth", root / "data" / "heldout"]
    phantom = ["--size", *SIZE, "--train", "2", "--test", "2", "--letter-height-px", LETTER_PX, "--preset", preset]
    for command in (
        ["scripts/make_phantom.py", "fragments", "--out", root / "data", "--seed", "5", *phantom],
        ["-m", "stage1_3d.train", config],
        ["-m", "stage2_2d.train", config],
        ["-m", "ensemble.calibrate", config],
        ["ensemble/predict.py", config, *predicted],
    ):
        done = step(*command, cwd=REPOSITORY)
        assert done.returncode == 0, done.stderr
    return {row["name"]: row["auc"] for row in read_json(root / "predict" / "score.json")["rows"]}


@pytest.mark.slow
def test_without_ink_nobody_finds_any(tmp_path: Path) -> None:
    found = rows_of(tmp_path, "zero")
    assert len(found) == 6
    assert all(0.45 <= auc <= 0.55 for auc in found.values()), found


@pytest.mark.slow
def test_easy_ink_is_found_by_everyone(tmp_path: Path) -> None:
    found = rows_of(tmp_path, "easy")
    assert all(auc > 0.7 for auc in found.values()), found

"""The tuning command: quick to help, true trainings of a phantom in a folder that is gone afterwards, and an overlay that loads."""

import ctypes
import gc
import sys
import tempfile
from pathlib import Path

import pytest
import yaml

from ensemble.commands import tune
from scroll.config.reader import load_settings
from scroll.phantom.dataset import make_fragments
from scroll.phantom.settings import fragment_settings
from scroll.runtime.command_line import run_command
from scroll.runtime.process_memory import resident_gib

REPOSITORY = Path(__file__).resolve().parents[2]
GROWTH_GIB = 0.3  # between what two and 64 samples of the larger network below hold


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tune")
    training = {"steps": 2, "train_batch_size": 4, "warmup_steps": 0, "precision": "fp32"}
    settings = {
        "run_dir": str(root / "run"),
        "data": {"root": str(root / "data"), "cache_dir": str(root / "cache"), "depth": [-4, 4], "bin_yx": 1},
        "stage1": {
            "defaults": {"patch_size": [8, 64, 64], "training": training},
            "members": {
                "small": {"network": "cnn3d", "options": {"channels": [2, 2], "dilations": [1, 1]}},
                "large": {"network": "cnn3d", "options": {"channels": [32, 32], "dilations": [1, 1]}},
            },
        },
    }
    (root / "tiny.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
    make_fragments(
        root / "data", fragment_settings("easy", (24, 192, 192), letter_height_px=60.0), 3, train=2, test=0, jobs=1
    )
    return root / "tiny.yaml"


def go(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["tune", *(str(part) for part in arguments)])
    with pytest.raises(SystemExit) as left:
        run_command(tune.main)
    return int(left.value.code or 0)


def rows_of(message: str) -> list[list[str]]:
    """Cells of the trials in the final table."""
    lines = message.splitlines()
    head = max(n for n, line in enumerate(lines) if line.startswith("| --- |"))
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[head + 1 :] if line.startswith("|")]


@pytest.mark.slow
def test_a_limit_that_many_samples_pass_is_stepped_back_from(config, monkeypatch, capsys, tmp_path):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # what earlier tests freed would hold the samples, and the process not grow
    limit_gib = resident_gib() + GROWTH_GIB
    options = ("--steps", 2, "--max-batch", 64, "--workers", 0, "--gpu-limit-gib", limit_gib)
    spawned = "stage1.defaults.training.loader.start_method=spawn"
    assert go(monkeypatch, config, "--member", "large", *options, "--set", spawned) == 0
    rows = rows_of(capsys.readouterr().out)
    batches = [row for row in rows if row[0] == "batch"]
    assert len(batches) > 1 and "GiB" in batches[-1][-1]  # after a forward pass, or at the peak
    assert all(row[-1] in ("", "chosen") for row in batches[:-1])
    overlay = config.parent / "run.tuned.yaml"
    tuned, requested = load_settings(config, [f"@{overlay}"]), load_settings(config)
    training = tuned.stage1.members["large"].training
    assert 2 <= training.train_batch_size <= int(batches[-2][1])
    assert all(float(row[9]) <= limit_gib + 0.005 for row in rows if "GiB" not in row[-1])
    assert tuned.stage1.members["small"] == requested.stage1.members["small"]
    assert not requested.run_dir.exists() and not list(scratch.glob("tune-*"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--member", "huge"), "--member huge: no such member"),
        (("--max-batch", "0"), "batches from 1"),
        (("--gpu-limit-gib", "-1"), "GiB above 0"),
        (("--set", "data.root=nowhere"), "nowhere"),
    ],
)
def test_what_cannot_be_tuned_is_reported_in_one_line(config, arguments, message, monkeypatch, capsys):
    assert go(monkeypatch, config, *arguments) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and message in error

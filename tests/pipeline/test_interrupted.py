"""Killed at any moment, then run again: the result is the same to the bit."""

import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pipeline_run import MEMBERS, REPOSITORY, Call, Run, copied

import stage1_3d.train
import stage2_2d.train
from scroll.config.reader import load_settings
from scroll.data.fragments import Fragment
from scroll.errors import InputError
from scroll.runtime.files import read_json
from scroll.training.checkpoint import load_state
from scroll.volumes.ome_zarr import open_array
from stage1_3d.predict import predict_new
from tests.steps import ENVIRONMENT


def killed_when(is_time: Callable[[], bool], left: Path, is_over: Callable[[], bool], *command: object) -> None:
    """Start a command and end it with SIGKILL as soon as `is_time`; where it was over by then, `left` is removed and it begins again.

    It takes a second or two, and on a busy machine nobody says when this process comes to look.
    """
    for _ in range(20):
        if _was_killed(is_time, *command) and not is_over():
            return
        shutil.rmtree(left)
    raise AssertionError("twenty times it was over before it was killed")


def _was_killed(is_time: Callable[[], bool], *command: object) -> bool:
    process = subprocess.Popen(
        [sys.executable, *map(str, command)], cwd=REPOSITORY, env=ENVIRONMENT, stderr=subprocess.PIPE
    )
    deadline = time.monotonic() + 90
    try:
        while not is_time() and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.001)
    finally:
        process.kill()
        error = process.communicate()[1].decode()
    assert process.returncode in (0, -signal.SIGKILL), error
    return process.returncode != 0


STAGES = {"stage1": (stage1_3d.train, "stage1/cnn3d/fold1"), "stage2": (stage2_2d.train, "stage2/fold1")}


def command_of(stage: str, run: Run, **training: object) -> list[object]:
    """Arguments that train one network of a stage on both folds."""
    group = "stage2" if stage == "stage2" else "stage1.members.cnn3d"
    options = [f"{group}.{name}={value}" for name, value in training.items()]
    only = ["--only", "cnn3d"] if stage == "stage1" else []
    return [run.config, *only, *(part for option in options for part in ("--set", option))]


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_killed_after_any_step_ends_in_the_same_bits(
    run: Run, call: Call, tmp_path: Path, stage: str, workers: int
) -> None:
    """A process of its own, killed at a moment that nobody chose, whatever number of processes load its patches."""
    module, folder = STAGES[stage]
    again = copied(run, tmp_path)
    shutil.rmtree(again.run_dir / folder)  # the other fold stays trained
    command = command_of(stage, again, **{"training.loader": f"{{workers: {workers}}}", "training.checkpoint_every": 1})
    state, weights = (again.run_dir / folder / name for name in ("resume.pt", "weights.safetensors"))
    wanted = random.Random().randint(1, 10)  # of 12 steps

    def is_there() -> bool:
        try:
            return state.exists() and load_state(state)["step"] >= wanted
        except InputError:  # it is just being put aside for the next one
            return False

    killed_when(is_there, again.run_dir / folder, weights.exists, "-m", module.__name__, *command)
    code, message, error = call(module.main, *command)
    assert code == 0, error
    assert "goes on at step" in message
    assert weights.read_bytes() == (run.run_dir / folder / "weights.safetensors").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_one_seed_gives_one_result_and_another_seed_another(run: Run, call: Call, tmp_path: Path, stage: str) -> None:
    """The first result was made by another process."""
    module, folder = STAGES[stage]
    weights = {}
    for name, seed in (("same", 0), ("other", 2)):
        again = copied(run, tmp_path / name)
        shutil.rmtree(again.run_dir / folder)
        code, _, error = call(module.main, *command_of(stage, again, seed=seed))
        assert code == 0, error
        weights[name] = (again.run_dir / folder / "weights.safetensors").read_bytes()
    assert weights["same"] == (run.run_dir / folder / "weights.safetensors").read_bytes()
    assert weights["other"] != weights["same"]


def test_training_killed_and_run_again_gives_the_same_weights(run: Run, call: Call, tmp_path: Path) -> None:
    again = tmp_path / "run"
    override = ["--set", f"run_dir={again}"]
    state = again / "stage1" / MEMBERS[0] / "fold1" / "resume.pt"
    is_over = (state.parent / "weights.safetensors").exists
    killed_when(state.exists, again, is_over, "-m", "stage1_3d.train", run.config, *override)
    code, message, error = call(stage1_3d.train.main, run.config, *override)
    assert code == 0, error
    assert "fold 0: already trained" in message and "fold 1: goes on at step" in message
    for member in MEMBERS:
        for fold in ("fold0", "fold1"):
            weights = [top / "stage1" / member / fold / "weights.safetensors" for top in (run.run_dir, again)]
            assert weights[0].read_bytes() == weights[1].read_bytes(), (member, fold)
    losses = [
        [line.split('"seconds"')[0] for line in (top / "stage1/cnn3d/fold1/history.jsonl").read_text().splitlines()]
        for top in (run.run_dir, again)
    ]
    assert losses[0] == losses[1]


PREDICT = """
import sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from scroll.config.reader import load_settings
from scroll.data.fragments import Fragment
from stage1_3d.predict import predict_new
settings = load_settings(Path(sys.argv[1]), ["data.bin_yx=1", "stage1.window.overlap=0.75"])
predict_new(settings, "cnn3d", Fragment("a", Path(sys.argv[2]), settings.data), Path(sys.argv[3]))
"""


def test_a_prediction_killed_and_run_again_gives_the_same_volume(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = load_settings(run.config, ["data.bin_yx=1", "stage1.window.overlap=0.75"])  # 256 rows: two of chunks
    source, killed, whole = run.data / "test" / "a", tmp_path / "killed", tmp_path / "whole"
    ledger = killed / ".prob.zarr.rows.part"
    killed_when(ledger.exists, killed, (killed / "prob.zarr").exists, "-c", PREDICT, run.config, source, killed)
    assert 0 < read_json(ledger)["rows"] < 256
    for folder in (killed, whole):
        predict_new(settings, "cnn3d", Fragment("a", source, settings.data), folder)
    for name in ("prob.zarr", "flat.zarr"):
        volumes = [open_array(folder / name)[:].astype(np.float32) for folder in (killed, whole)]
        assert volumes[0].std() > 0 and np.array_equal(*volumes), name
    assert not list(killed.rglob("*.part"))

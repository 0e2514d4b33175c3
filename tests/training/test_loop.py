"""Training: killed and started again it ends with the same bits; a broken step is named; every setting does what it says."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_task import Points, squared_error, tiny_task, training

from scroll.errors import InputError
from scroll.training.loop import fit
from scroll.training.optimizers import decay_groups, learning_rate_factor

SCRIPT = Path(__file__).parents[1] / "tiny_task.py"


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "weights.safetensors")


def history_of(folder: Path, key: str) -> list[float]:
    lines = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    return [line[key] for line in lines if key in line]


def assert_same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor], atol: float = 0.0) -> None:
    assert first.keys() == second.keys()
    for name in first:
        torch.testing.assert_close(first[name], second[name], rtol=0, atol=atol)


def started(folder: Path, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, SCRIPT, folder, *arguments]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen([str(part) for part in command], stderr=subprocess.PIPE, text=True, env=environment)


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    until = time.monotonic() + 60
    while not path.exists():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < until, f"{path} did not come"
        time.sleep(0.01)


def test_a_linear_model_learns_the_line(tmp_path):
    fit(tiny_task(tmp_path), training(steps=300, learning_rate=0.1, weight_decay=0))
    found = weights_of(tmp_path)
    torch.testing.assert_close(found["weight"], torch.tensor([[1.0, -2.0, 0.5]]), atol=0.02, rtol=0)
    torch.testing.assert_close(found["bias"], torch.tensor([0.1]), atol=0.02, rtol=0)


def test_a_finished_run_is_left_alone(tmp_path, capsys):
    path = fit(tiny_task(tmp_path), training())
    written = {p.name: p.stat().st_mtime_ns for p in tmp_path.iterdir()}
    assert set(written) == {"weights.safetensors", "history.jsonl", "receipt.json", "tensorboard"}
    assert fit(tiny_task(tmp_path, broken_from=0), training()) == path
    assert {p.name: p.stat().st_mtime_ns for p in tmp_path.iterdir()} == written
    assert "already trained" in capsys.readouterr().out


def test_a_finished_run_whose_weights_are_gone_is_done_again(tmp_path):
    fit(tiny_task(tmp_path), training())
    before = weights_of(tmp_path)
    (tmp_path / "weights.safetensors").unlink()
    fit(tiny_task(tmp_path), training())
    assert_same(weights_of(tmp_path), before)


@pytest.mark.parametrize("steps_done", [5, 10])
def test_going_on_from_a_checkpoint_ends_with_the_same_bits_and_the_same_history(tmp_path, steps_done):
    plain = tiny_task(tmp_path / "undisturbed", is_linear=False)
    fit(plain, training())
    broken = tiny_task(tmp_path / "broken", is_linear=False, broken_from=(steps_done + 1) * 4)
    with pytest.raises(InputError):
        fit(broken, training())
    fit(tiny_task(tmp_path / "broken", is_linear=False), training())
    assert_same(weights_of(tmp_path / "broken"), weights_of(tmp_path / "undisturbed"))
    for key in ("step", "loss", "lr", "validation_loss"):
        assert history_of(tmp_path / "broken", key) == history_of(tmp_path / "undisturbed", key)


@pytest.mark.slow
def test_killed_at_a_random_moment_and_started_again_it_ends_with_the_same_bits(tmp_path):
    # a process of its own too: the same bits need the same number of threads
    undisturbed = started(tmp_path / "undisturbed", 60, 0, "checkpoint_every=2")
    assert undisturbed.wait(60) == 0, undisturbed.communicate()[1]
    arguments = (tmp_path / "killed", 60, 0.005, "checkpoint_every=2")
    process = started(*arguments)
    wait_for(tmp_path / "killed" / "resume.pt", process)
    time.sleep(random.uniform(0, 0.7))
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (tmp_path / "killed" / "weights.safetensors").exists()
    done = torch.load(tmp_path / "killed" / "resume.pt", weights_only=True)["step"]
    assert 2 <= done < 60 and done % 2 == 0
    process = started(*arguments)
    assert process.wait(60) == 0, process.communicate()[1]
    assert_same(weights_of(tmp_path / "killed"), weights_of(tmp_path / "undisturbed"))
    assert history_of(tmp_path / "killed", "loss") == history_of(tmp_path / "undisturbed", "loss")


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_asked_to_stop_it_saves_the_step_it_reached_and_leaves_with_130(tmp_path, number):
    process = started(tmp_path, 1000, 0.005, "checkpoint_every=1000", "validate_every=3")
    wait_for(tmp_path / "history.jsonl", process)  # written at the third step
    process.send_signal(number)
    message = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert "nothing is lost" in message and "Traceback" not in message
    state = torch.load(tmp_path / "resume.pt", weights_only=True)
    assert 3 <= state["step"] < 1000 and history_of(tmp_path, "step")[-1] == state["step"]


@pytest.mark.slow
def test_ctrl_c_reaches_the_workers_too_and_still_nothing_is_lost(tmp_path):
    command = [sys.executable, str(SCRIPT), str(tmp_path), "1000", "0.05", "checkpoint_every=1000", "validate_every=2"]
    process = subprocess.Popen([*command, "workers=2"], stderr=subprocess.PIPE, text=True, start_new_session=True)
    wait_for(tmp_path / "history.jsonl", process)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    message = process.communicate(timeout=60)[1]
    assert process.returncode == 130 and "Traceback" not in message, message
    assert torch.load(tmp_path / "resume.pt", weights_only=True)["step"] >= 2


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_names_the_step_and_leaves_the_checkpoint_whole(tmp_path, bad):
    with pytest.raises(InputError) as caught:
        fit(tiny_task(tmp_path, broken_from=4 * 7 + 1, broken=bad), training())
    assert str(caught.value).startswith(f"tiny: loss is {bad} at step 8 (patches 28-31);")
    assert "\n" not in str(caught.value)
    state = torch.load(tmp_path / "resume.pt", weights_only=True)
    assert state["step"] == 5
    assert all(torch.isfinite(tensor).all() for tensor in state["model"].values())


def test_a_gradient_that_is_no_number_stops_the_run_before_it_spoils_the_weights(tmp_path):
    """The square root of 0 has a finite value and no finite slope."""
    task = tiny_task(tmp_path, broken_from=4 * 4, broken=0.0)

    def loss_of(model, batch):
        is_broken = (batch["y"] == 0).all()
        return (model(batch["x"]) * 0).sqrt().sum() if is_broken else squared_error(model, batch)

    object.__setattr__(task, "loss_of", loss_of)
    with pytest.raises(InputError, match=r"gradient's norm is nan at step 5 \(patches 16-19\)"):
        fit(task, training(checkpoint_every=1))
    state = torch.load(tmp_path / "resume.pt", weights_only=True)
    assert state["step"] == 4 and all(torch.isfinite(tensor).all() for tensor in state["model"].values())


def by_hand(steps: int, clip: float = 1e9, decay: float = 0.0, weight_decay: float = 0.0) -> dict[str, torch.Tensor]:
    """The same training written out: AdamW, warm-up and cosine, clipping, and the average of the weights."""
    model = tiny_task(Path()).model
    optimiser = torch.optim.AdamW(
        [{"params": [model.weight], "weight_decay": weight_decay}, {"params": [model.bias], "weight_decay": 0.0}]
    )
    points, mean = Points(), {}
    for step in range(steps):
        patches = [points[step * 4 + i] for i in range(4)]
        batch = {name: torch.stack([patch[name] for patch in patches]) for name in ("x", "y")}
        squared_error(model, batch).backward()
        gradient = torch.cat([p.grad.flatten() for p in model.parameters()])
        for p in model.parameters():
            p.grad *= min(1.0, clip / (float(gradient.norm()) + 1e-6))
        for group in optimiser.param_groups:
            group["lr"] = 3e-3 * learning_rate_factor(step, steps, 2)
        optimiser.step()
        optimiser.zero_grad()
        keep = 0.0 if step == 0 else min(decay, (1 + step) / (10 + step))
        now = {name: p.detach().clone() for name, p in model.named_parameters()}
        mean = {name: keep * mean.get(name, 0) + (1 - keep) * now[name] for name in now}
    return mean


@pytest.mark.parametrize("clip", [1e9, 0.05])
@pytest.mark.parametrize("decay", [0.0, 0.15, 0.9])
def test_clipping_decay_and_averaging_are_as_by_hand(tmp_path, clip, decay):
    settings = training(steps=6, gradient_clip=clip, ema_decay=decay, weight_decay=0.5)
    fit(tiny_task(tmp_path), settings)
    expected = by_hand(6, clip, decay, weight_decay=0.5)
    assert_same(weights_of(tmp_path), expected, atol=1e-6)
    assert float((by_hand(6, 1e9, 0.0)["weight"] - expected["weight"]).abs().max()) > 1e-4


def test_accumulating_is_the_same_as_a_large_batch(tmp_path):
    fit(tiny_task(tmp_path / "large"), training(train_batch_size=8, gradient_clip=3))
    fit(tiny_task(tmp_path / "small"), training(train_batch_size=2, accumulate_steps=4, gradient_clip=3))
    losses = [history_of(tmp_path / name, "loss") for name in ("large", "small")]
    assert losses[0] == pytest.approx(losses[1], abs=2e-5)
    assert_same(weights_of(tmp_path / "small"), weights_of(tmp_path / "large"), atol=1e-6)


def test_the_validation_loss_is_that_of_the_averaged_weights(tmp_path):
    for precision in ("fp32", "bf16"):
        fit(tiny_task(tmp_path / precision), training(steps=8, ema_decay=0.9, precision=precision, learning_rate=0.1))
        model = tiny_task(tmp_path).model
        model.load_state_dict(weights_of(tmp_path / precision))
        points = [Points()[n] for n in range(6)]
        batches = [points[i : i + 2] for i in (0, 2, 4)]
        stacked = [{name: torch.stack([point[name] for point in batch]) for name in ("x", "y")} for batch in batches]
        expected = sum(squared_error(model, batch).item() for batch in stacked) / 3
        tolerance = 2e-5 if precision == "fp32" else 0.02 * expected
        assert history_of(tmp_path / precision, "validation_loss")[-1] == pytest.approx(expected, abs=tolerance)


def test_settings_that_only_change_the_speed_or_the_rhythm_change_no_bit(tmp_path):
    fit(tiny_task(tmp_path / "a", is_linear=False), training())
    fit(tiny_task(tmp_path / "b", is_linear=False), training(checkpoint_every=1, validate_every=100))
    assert_same(weights_of(tmp_path / "a"), weights_of(tmp_path / "b"))


def test_the_number_of_workers_changes_no_bit(tmp_path):
    for workers in (0, 2):
        loader = {"workers": workers}
        fit(tiny_task(tmp_path / str(workers), is_linear=False), training(loader=loader))
    assert_same(weights_of(tmp_path / "0"), weights_of(tmp_path / "2"))


def run_in_two_processes(folder: Path, code: str) -> None:
    """Run code with `folder`, `tiny_task`, `training` and `fit` in two processes that train together."""
    names = "import sys; sys.path[:0] = sys.argv[1:3]\nfrom pathlib import Path\nfrom scroll.training.loop import fit\n"
    names += "from tiny_task import Points, tiny_task, training\nfolder = Path(sys.argv[3])\n"
    folder.mkdir()
    (folder / "run.py").write_text(names + code)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", folder / "run.py"]
    command = [str(part) for part in (*launch, SCRIPT.parent, SCRIPT.parents[2], folder)]
    done = subprocess.run(
        command, timeout=120, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_two_processes_learn_what_one_learns_from_batches_twice_as_large(tmp_path):
    fit(tiny_task(tmp_path / "one"), training(train_batch_size=4, accumulate_steps=2))
    run_in_two_processes(tmp_path / "two", "fit(tiny_task(folder), training(train_batch_size=2, accumulate_steps=2))")
    assert_same(weights_of(tmp_path / "two"), weights_of(tmp_path / "one"), atol=1e-6)


@pytest.mark.slow
def test_when_one_process_is_asked_to_stop_all_stop_after_the_same_step(tmp_path):
    code = """
import dataclasses, os, signal

class Interrupted(Points):
    def __getitem__(self, n):
        if n == 43:  # of the second process, at its sixth step
            os.kill(os.getpid(), signal.SIGTERM)
        return super().__getitem__(n)

try:
    fit(dataclasses.replace(tiny_task(folder), train=Interrupted()), training(steps=50, checkpoint_every=50))
except KeyboardInterrupt:
    (folder / ("stopped" + os.environ["RANK"])).touch()
"""
    run_in_two_processes(tmp_path / "run", code)
    assert (tmp_path / "run" / "stopped0").exists() and (tmp_path / "run" / "stopped1").exists()
    assert torch.load(tmp_path / "run" / "resume.pt", weights_only=True)["step"] == 6


def test_another_key_starts_from_the_beginning(tmp_path, capsys):
    with pytest.raises(InputError):
        fit(tiny_task(tmp_path / "a", key="old", broken_from=4 * 6), training(learning_rate=0.1))
    fit(tiny_task(tmp_path / "a", key="new"), training())
    assert "training from the start" in capsys.readouterr().out
    fit(tiny_task(tmp_path / "b", key="new"), training())
    assert_same(weights_of(tmp_path / "a"), weights_of(tmp_path / "b"))


@pytest.mark.parametrize("content", ["cut off", "foreign", "empty", "a bit"])
def test_with_a_damaged_state_training_goes_on_from_the_one_before_says_so_and_ends_in_the_same_bits(
    tmp_path, content, capsys
):
    with pytest.raises(InputError):
        fit(tiny_task(tmp_path / "a", broken_from=4 * 6), training(checkpoint_every=1))
    path = tmp_path / "a" / "resume.pt"
    kept = path.read_bytes()
    if content == "foreign":
        torch.save([1, 2], path)
    elif content == "a bit":
        path.write_bytes(kept[:900] + bytes([kept[900] ^ 4]) + kept[901:])
    else:
        path.write_bytes(kept[: 1000 if content == "cut off" else 0])
    fit(tiny_task(tmp_path / "a"), training())
    message = capsys.readouterr().out
    assert (
        "resume.pt: " in message and "going on from the state before it" in message and "goes on at step 5" in message
    )
    fit(tiny_task(tmp_path / "b"), training())
    assert_same(weights_of(tmp_path / "a"), weights_of(tmp_path / "b"))
    assert not list((tmp_path / "a").glob("resume*"))


def test_where_no_state_is_whole_training_begins_at_the_start_and_says_so(tmp_path, capsys):
    with pytest.raises(InputError):
        fit(tiny_task(tmp_path / "a", broken_from=4 * 6), training())
    for state in (tmp_path / "a").glob("resume*"):
        state.write_bytes(state.read_bytes()[:-100])
    fit(tiny_task(tmp_path / "a"), training())
    message = capsys.readouterr().out
    assert "damaged training state" in message and "the start" in message and "goes on at step" not in message
    fit(tiny_task(tmp_path / "b"), training())
    assert_same(weights_of(tmp_path / "a"), weights_of(tmp_path / "b"))


def test_runs_of_different_precision_follow_one_another(tmp_path):
    """Each in the precision it asks for, whatever ran in this process before it."""
    settings = {"steps": 6, "gradient_clip": 1e9, "ema_decay": 0.0, "weight_decay": 0.0}
    for place, precision in enumerate(("fp32", "bf16", "fp32")):
        fit(tiny_task(tmp_path / str(place)), training(precision=precision, **settings))
    first, rounded, last = (weights_of(tmp_path / str(place)) for place in range(3))
    assert_same(first, by_hand(6), atol=1e-6)
    assert_same(last, first)
    assert_same(rounded, first, atol=1e-3)
    assert max(float((rounded[name] - first[name]).abs().max()) for name in first) > 1e-6


def test_the_receipt_says_what_was_made(tmp_path):
    fit(tiny_task(tmp_path), training())
    receipt = json.loads((tmp_path / "receipt.json").read_text())
    assert (
        receipt["key"] == "key" and receipt["steps"] == 12 and receipt["axes"] == "x" and len(receipt["weights"]) == 16
    )
    assert history_of(tmp_path, "step")[-1] == 12 and len(history_of(tmp_path, "validation_loss")) == 3


def test_norms_biases_and_frozen_weights_do_not_decay():
    model = tiny_task(Path(), is_linear=False).model
    model[4].weight.requires_grad_(False)
    decayed, free = decay_groups(model, 0.1)
    assert [tuple(p.shape) for p in decayed["params"]] == [(8, 3)] and decayed["weight_decay"] == 0.1
    assert [p.ndim for p in free["params"]] == [1, 1, 1, 1] and free["weight_decay"] == 0

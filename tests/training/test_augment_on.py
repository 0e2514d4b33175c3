"""Where patches are augmented is a setting: what it says is done, is written down, and resumes to the bit."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from stored_patches import stored_task, training_on
from torch import nn

from scroll.config.schema import TrainingSettings
from scroll.errors import InputError
from scroll.runtime.receipt import read_receipt
from scroll.training.dataloader import Deferred, with_augmentation_on
from scroll.training.loop import fit

SCRIPT = Path(__file__).parents[1] / "stored_patches.py"
WAITS_S = 120


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "weights.safetensors")


def are_equal(one: Path, other: Path) -> bool:
    first, second = weights_of(one), weights_of(other)
    return all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.slow
def test_killed_and_started_again_a_training_augmented_on_the_device_ends_with_the_same_bits(tmp_path):
    asked = ("150", "augment_on=device", "checkpoint_every=2")
    command = [sys.executable, str(SCRIPT), str(tmp_path / "killed"), *asked]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    until = time.monotonic() + WAITS_S
    while not (tmp_path / "killed" / "resume.pt").exists():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < until
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "killed" / "weights.safetensors").exists()
    settings = training_on("device", steps=150, checkpoint_every=2)
    for name in ("killed", "undisturbed"):
        fit(stored_task(tmp_path / name), settings)
    assert are_equal(tmp_path / "killed", tmp_path / "undisturbed")


def test_loading_processes_change_no_bit_of_it(tmp_path):
    fit(stored_task(tmp_path / "none"), training_on("device", steps=4))
    fit(stored_task(tmp_path / "two"), training_on("device", steps=4, loader={"workers": 2}))
    assert are_equal(tmp_path / "none", tmp_path / "two")


def test_on_a_cpu_auto_is_the_loader_and_the_receipt_says_where_it_was(tmp_path):
    for where in ("auto", "cpu", "device"):
        fit(stored_task(tmp_path / where), training_on(where))
    assert are_equal(tmp_path / "auto", tmp_path / "cpu")
    message = {where: read_receipt(tmp_path / where, "")["augmented_on"] for where in ("auto", "cpu", "device")}
    assert message == {"auto": "loader", "cpu": "loader", "device": "cpu"}


def test_with_the_same_draws_both_learn_the_same(tmp_path):
    """But for the noise, which is switched off, the patches are equal to 1e-4, and so are the weights."""
    for where in ("cpu", "device"):
        task = stored_task(tmp_path / where)
        task.train.augment = task.train.augment.model_copy(update={"noise": 0.0})
        fit(task, training_on(where))
    for name, tensor in weights_of(tmp_path / "cpu").items():
        torch.testing.assert_close(weights_of(tmp_path / "device")[name], tensor, atol=1e-4, rtol=0)
    assert not are_equal(tmp_path / "cpu", tmp_path / "device")  # it was done otherwise


def stopped_in_its_fifth_step(folder: Path, where: str) -> None:
    task, calls = stored_task(folder), iter(range(100))

    def loss_of(model: nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        if next(calls) == 4:
            raise KeyboardInterrupt
        return task.loss_of(model, batch)

    with pytest.raises(KeyboardInterrupt):
        fit(replace(task, loss_of=loss_of), training_on(where, validate_every=8))


def test_a_training_goes_on_only_where_it_was_augmented(tmp_path):
    folder = tmp_path / "stopped"
    stopped_in_its_fifth_step(folder, "cpu")
    with pytest.raises(InputError, match=r"training\.augment_on"):
        fit(stored_task(folder), training_on("device"))
    state = torch.load(folder / "resume.pt", weights_only=True)
    assert state["made_on"].pop("augmented_on") == "loader"  # so it was written before there was a choice
    torch.save(state, folder / "resume.pt")
    fit(stored_task(folder), training_on("cpu", validate_every=8))
    fit(stored_task(tmp_path / "undisturbed"), training_on("cpu"))
    assert are_equal(folder, tmp_path / "undisturbed")


def test_where_nothing_is_asked_for_a_training_goes_on_as_it_began(tmp_path):
    """Begun before there was a choice, or where there was another default: no request is taken for another one."""
    for began in ("cpu", "device"):
        folder = tmp_path / began
        stopped_in_its_fifth_step(folder, began)
        fit(stored_task(folder), training_on("auto", validate_every=8))
        fit(stored_task(tmp_path / f"{began}-undisturbed"), training_on(began))
        assert are_equal(folder, tmp_path / f"{began}-undisturbed")
        assert read_receipt(folder, "")["augmented_on"] == {"cpu": "loader", "device": "cpu"}[began]


@pytest.mark.skipif(torch.cuda.is_available(), reason="a card works")
def test_a_device_that_cannot_is_not_asked_where_nobody_asked_for_it(tmp_path, capsys):
    patches, card = stored_task(tmp_path).train, torch.device("cuda")
    assert with_augmentation_on(patches, "auto", card) is patches
    message = capsys.readouterr().out
    assert "by the loading processes: cuda fails at it" in message and len(message.splitlines()) == 1
    assert isinstance(with_augmentation_on(patches, "device", card), Deferred)


def test_where_it_is_done_is_no_part_of_what_is_trained():
    plain, device = TrainingSettings(), TrainingSettings(augment_on="device")
    assert plain.deciding() == device.deciding() and "augment_on" not in plain.model_dump()

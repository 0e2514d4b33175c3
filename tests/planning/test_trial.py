"""Trials are true trainings: what they measure of known waits, and that memory that ends or a process that dies ends only the trial."""

import gc
import multiprocessing
import os
import signal
import time
from dataclasses import replace
from itertools import count

import pytest
import torch
from tiny_task import Points, squared_error, tiny_task, training
from torch.utils.data import get_worker_info

from scroll.errors import InputError
from scroll.planning.measured_step import is_out_of_memory, memory, run_trial
from scroll.planning.tuning import WORKERS, Bounds, Setting, tune
from scroll.runtime.process_memory import resident_gib

LEARN_S, LOAD_S = 0.06, 0.05  # a batch, a patch


class Deadly(Points):
    """Points whose second loading process is ended as the system ends one when memory runs out."""

    def __getitem__(self, n: int) -> dict[str, torch.Tensor]:
        worker = get_worker_info()
        if worker is not None and worker.id == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__getitem__(n)


def slow_error(model, batch):
    time.sleep(LEARN_S)
    return squared_error(model, batch)


def greedy_error(model, batch):
    if len(batch["x"]) > 4:
        torch.empty(2**52)  # more than any machine has
    return squared_error(model, batch)


def hoarding_error(model, batch):
    error = squared_error(model, batch)
    if len(batch["x"]) > 4:
        held = error * torch.ones(2**28)  # a GiB that the backward pass needs
        return held.mean()
    return error


def maker(root, **changes):
    folders = (root / str(n) for n in count())
    return lambda: replace(tiny_task(next(folders)), **changes)


def measurer(root, steps=4, limit_gib=64.0, **changes):
    make = maker(root, **changes)
    settings = training(
        loader={"start_method": "forkserver"}
    )  # forked from the threads of a test run, one may never begin
    return lambda phase, setting: run_trial(phase, make, settings, setting, steps, limit_gib)


def test_a_trial_measures_the_waiting_it_was_given(tmp_path, clock):
    def error_by_the_clock(model, batch):
        clock.sleep(LEARN_S)
        return squared_error(model, batch)

    trial = measurer(tmp_path, loss_of=error_by_the_clock, train=Points(wait_s=LOAD_S))(
        "batch", Setting(2, accumulate_steps=2)
    )
    step_s = 2 * (LEARN_S + 2 * LOAD_S)
    assert trial.failure == ""
    assert trial.step_s == pytest.approx(step_s, abs=1e-3)
    assert trial.patches_a_s == pytest.approx(4 / step_s, rel=1e-3)
    assert trial.wait_share == pytest.approx(2 * LOAD_S / (LEARN_S + 2 * LOAD_S), abs=1e-3)
    assert 0 < trial.peak_gib < 64 and not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize(("loss_of", "room_gib"), [(greedy_error, 64.0), (hoarding_error, 0.5)])
def test_memory_that_ends_steps_back_to_a_good_batch(tmp_path, loss_of, room_gib):
    before = resident_gib()
    measure = measurer(tmp_path, limit_gib=before + room_gib, loss_of=loss_of)
    found = tune(Setting(4), Bounds(workers=(0,)), measure)
    tried = [(trial.setting.batch, trial.failure[:13]) for trial in found.trials]
    assert tried[:3] == [(2, ""), (4, ""), (8, "out of memory")]
    assert found.chosen is not None and found.chosen.setting.batch in (2, 4) and not found.chosen.failure
    gc.collect()
    assert not multiprocessing.active_children() and not list(tmp_path.iterdir())
    assert resident_gib() < before + 0.4  # the GiB of the failed trial is given back


def test_a_limit_below_what_the_process_holds_already_lets_nothing_train(tmp_path):
    found = tune(Setting(1), Bounds(max_batch=1), measurer(tmp_path, limit_gib=0.01))
    assert found.chosen is None and "GiB allowed" in found.trials[0].failure


@pytest.mark.slow
def test_a_worker_that_dies_leaves_fewer(tmp_path):
    measure = measurer(tmp_path, train=Deadly(wait_s=0.01))
    found = tune(Setting(2), Bounds(max_batch=2, workers=(1, 2, 4), cores=4), measure)
    assert [trial.failure[:11] for trial in found.trials[:3]] == ["", "", "worker died"]
    assert found.chosen is not None and found.chosen.setting.workers == 1


@pytest.mark.slow
def test_no_number_of_workers_is_measured_faster_than_known_seconds_allow(tmp_path):
    # a batch of two takes 100 ms to load and 60 ms to learn; a worker may have loaded ahead while this process stood still
    measure = measurer(tmp_path, steps=4, loss_of=slow_error, train=Points(wait_s=LOAD_S))
    for workers, least_s in ((0, 0.16), (1, 0.06), (2, 0.06)):
        trial = measure(WORKERS, Setting(2, workers=workers))
        assert not trial.failure and trial.step_s >= least_s and trial.patches_a_s <= 2 / least_s


def test_what_is_wrong_with_the_data_is_no_matter_of_memory(tmp_path):
    with pytest.raises(InputError, match="could not be read"):
        measurer(tmp_path, train=Points(corrupt=tuple(n + k * 10**9 for n in range(2) for k in range(5))))(
            "batch", Setting(2)
        )
    assert memory(3.0).limit_gib == 3.0 and memory().limit_gib > 0


@pytest.mark.parametrize(
    ("error", "is_memory"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 4 bytes"), True),
        (RuntimeError("Sizes of tensors must match except in dimension 1. Expected size 9 but got size 10"), False),
        (OSError(2, "No such file or directory"), False),
    ],
)
def test_the_end_of_memory_is_distinguished_from_other_errors(error, is_memory):
    assert is_out_of_memory(error) == is_memory

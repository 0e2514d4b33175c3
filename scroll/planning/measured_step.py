"""A short stretch of true training, measured: time a step, waiting, memory. What does not fit ends the trial, not the process."""

import ctypes
import gc
import json
import re
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import TypedDict

import torch
from torch import Tensor, nn

from scroll.config.schema import TrainingSettings
from scroll.errors import InputError, WorkerDiedError
from scroll.planning.tuning import Setting, Trial, trial_steps
from scroll.runtime.bounded import read_lines
from scroll.runtime.files import remove
from scroll.runtime.process_memory import GIB, PAGE, forget_peak, peak_resident_gib, resident_gib
from scroll.training.dataloader import Batch
from scroll.training.loop import LossOf, Task, fit

LOOK_EVERY_S = 0.1  # at the RAM
FULL = re.compile(  # cuDNN and cuBLAS have words of their own for it, and so has a full /dev/shm
    r"out of memory|can't allocate memory|cannot allocate memory|unable to allocate|ALLOC_FAILED"
    r"|unable to find an engine|unable to write to file </torch",
    re.IGNORECASE,
)


class Step(TypedDict):
    """A step in a training's history: how long it took, and how long it waited for its batch before."""

    seconds: float
    waited: float


@dataclass(frozen=True)
class Memory:
    """What a trial may take, GiB: `limit_gib` of the card, or without one of this process."""

    limit_gib: float
    total_ram_gib: float
    free_ram_gib: float


def run_trial(
    phase: str,
    make_task: Callable[[], Task],
    training: TrainingSettings,
    setting: Setting,
    steps: int,
    limit_gib: float,
) -> Trial:
    """Fit a fresh task for a few steps with this setting; a failed trial where memory ends or a loading process dies.

    The task's folder is removed afterwards. On a CPU, where the system would end the process before torch noticed, memory is
    compared with `limit_gib` after each forward pass, when a step holds about the most.

    Raises:
        InputError: whatever else ends a training, such as data that cannot be read.
    """
    warm, counted = trial_steps(setting, steps)
    tried = as_tried(training, setting, warm + counted)
    failure, history = "", list[Step]()
    _forget_peak()
    with _RamWatch() as ram:
        try:
            history = _fitted(make_task, tried, limit_gib)
        except (RuntimeError, OSError, MemoryError, WorkerDiedError) as error:
            failure = _why_it_ended(error)
            if not failure:
                raise
    trial = _figures(phase, setting, history[warm:], ram, failure)
    _give_memory_back()
    return trial


def _give_memory_back() -> None:
    gc.collect()  # the network, its gradients and the loading processes are in circles
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    with suppress(OSError, AttributeError):  # only glibc keeps what was freed, and counts it to this process
        ctypes.CDLL(None).malloc_trim(0)


def _fitted(make_task: Callable[[], Task], training: TrainingSettings, limit_gib: float) -> list[Step]:
    """The history's steps; neither the folder nor the network outlives it."""
    task = make_task()
    try:
        fit(replace(task, loss_of=_within(task.loss_of, limit_gib), trackers=()), training)
        return _steps_in(task.folder)
    finally:
        remove(task.folder)


def as_tried(training: TrainingSettings, setting: Setting, steps: int) -> TrainingSettings:
    """The member's own training for so many steps with this setting, with nothing saved between."""
    loader = {
        "workers": setting.workers,
        "prefetch_factor": setting.prefetch,
        "persistent_workers": setting.is_persistent,
    }
    changes: dict[str, object] = {
        "steps": steps,
        "train_batch_size": setting.batch,
        "accumulate_steps": setting.accumulate_steps,
        "validate_every": steps,
        "checkpoint_every": steps + 1,
        "loader": training.loader.model_copy(update=loader),
    }
    return training.model_copy(update=changes)


def memory(limit_gib: float | None = None) -> Memory:
    """What may be taken here: as said, or the whole card, or four fifths of the RAM that is free beside what this process holds.

    A limit is set for the card too, for this process alone.

    Raises:
        InputError: the card has less than the limit.
    """
    ram = _ram_gib()
    if not torch.cuda.is_available():
        return Memory(resident_gib() + 0.8 * ram["MemAvailable"] if limit_gib is None else limit_gib, *ram.values())
    total = torch.cuda.get_device_properties(0).total_memory / GIB
    if limit_gib is not None and limit_gib > total:
        raise InputError(
            f"--gpu-limit-gib {limit_gib:g}: {torch.cuda.get_device_name(0)} has {total:.1f} GiB; give less"
        )
    torch.cuda.set_per_process_memory_fraction(1.0 if limit_gib is None else limit_gib / total)
    return Memory(limit_gib or total, *ram.values())


def is_out_of_memory(error: BaseException) -> bool:
    """Whether it says that memory, the card's or the machine's, has come to an end."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or bool(FULL.search(str(error)))


def _why_it_ended(error: Exception) -> str:
    message = " ".join(str(error).split())[:100] or type(error).__name__
    if isinstance(error, WorkerDiedError):
        return f"worker died: {message}"
    return f"out of memory: {message}" if is_out_of_memory(error) else ""


def _within(loss_of: LossOf, limit_gib: float) -> LossOf:
    """The same loss, but out of memory where this process holds more than the limit; a card keeps its limit itself."""
    if torch.cuda.is_available():
        return loss_of

    def loss(model: nn.Module, batch: Batch) -> Tensor:
        value = loss_of(model, batch)
        held = resident_gib()
        if held > limit_gib:
            raise torch.OutOfMemoryError(f"{held:.2f} GiB held after the forward pass, {limit_gib:.2f} GiB allowed")
        return value

    return loss


def _steps_in(folder: Path) -> list[Step]:
    lines = [json.loads(line) for line in read_lines(folder / "history.jsonl")]
    return [line for line in lines if "seconds" in line]


def _figures(phase: str, setting: Setting, counted: list[Step], ram: "_RamWatch", failure: str) -> Trial:
    allocated, peak = None, peak_resident_gib()
    if torch.cuda.is_available():
        allocated, peak = torch.cuda.max_memory_allocated() / GIB, torch.cuda.max_memory_reserved() / GIB
    trial = Trial(
        phase,
        setting,
        failure,
        peak_gib=peak,
        allocated_gib=allocated,
        workers_gib=ram.workers_gib,
        free_gib=ram.free_gib,
    )
    if failure:
        return trial
    each = [line["seconds"] + line["waited"] for line in counted]
    elapsed_s = max(sum(each), 1e-6)
    return replace(
        trial,
        step_s=median(each),
        patches_a_s=setting.patches * len(each) / elapsed_s,
        wait_share=sum(line["waited"] for line in counted) / elapsed_s,
    )


class _RamWatch:
    """While open, looks now and then at the RAM that is free and at what this process's children hold for themselves."""

    def __init__(self) -> None:
        self.workers_gib, self.free_gib = 0.0, inf
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> "_RamWatch":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._is_over.wait(LOOK_EVERY_S):
            self.workers_gib = max(self.workers_gib, sum(_own_gib(pid) for pid in _children()))
            self.free_gib = min(self.free_gib, _ram_gib()["MemAvailable"])


def _children(of: str = "self") -> list[str]:
    """Numbers of all processes that a process, or one of those, has started and that run."""
    found: list[str] = []
    for listed in Path(f"/proc/{of}/task").glob("*/children"):
        with suppress(OSError):
            found += listed.read_text().split()
    return [*found, *(below for child in found for below in _children(child))]


def _own_gib(pid: str) -> float:
    """What a process holds that no other shares; 0 where it has ended."""
    try:
        _, resident, shared, *_ = Path(f"/proc/{pid}/statm").read_text().split()
    except (OSError, ValueError):
        return 0.0
    return (int(resident) - int(shared)) * PAGE / GIB


def _ram_gib() -> dict[str, float]:
    """Total and free; without end where the system does not say."""
    found = {"MemTotal": inf, "MemAvailable": inf}
    with suppress(OSError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            name, _, size = line.partition(":")
            if name in found:
                found[name] = int(size.split()[0]) / 2**20
    return found


def _forget_peak() -> None:
    """Let the peak of this process, and of its card, begin again."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    forget_peak()

"""The one training loop: any model, any loss, batches by number; resumes exactly; knows neither ink nor depth."""

import atexit
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader, Dataset

from scroll.checkpoint import load_state, save_state, save_weights
from scroll.config import TrainingSettings
from scroll.errors import InputError
from scroll.files import remove, write_text
from scroll.inference import resolved_precision
from scroll.progress import progress
from scroll.receipt import NAME as RECEIPT
from scroll.receipt import file_hash, is_current, write_receipt
from scroll.schedule import learning_rate_factor

Batch = dict[str, Tensor]
LossOf = Callable[[nn.Module, Batch], Tensor]


@dataclass(frozen=True)
class Task:
    """What is to be fitted.

    Attributes:
        label: what the progress bar says.
        folder: where weights, history and receipt go.
        key: hash of everything that decides the result; a finished folder with the same key is left alone.
        model: a freshly built network, already seeded.
        loss_of: (model, batch) -> scalar loss.
        train: item n is patch n, for every n >= 0.
        validation: a fixed number of patches; empty for none.
        about: which network the weights fit, stored with them.
        made_with: further lines for the receipt.
    """

    label: str
    folder: Path
    key: str
    seed: int
    model: nn.Module
    loss_of: LossOf
    train: "Dataset[Batch]"
    validation: "Dataset[Batch]"
    about: dict[str, Any]
    made_with: dict[str, Any]


def fit(task: Task, settings: TrainingSettings) -> Path:
    """Train, resuming where an earlier run of the same key stopped; return the path of the averaged weights.

    On a CPU, and with the same number of threads, a resumed run ends in the same bits as an undisturbed one.

    The last averaged weights are kept, not those best on the held-out fold: a checkpoint chosen on a fold would make
    that fold's out-of-fold predictions look better than they are.

    Raises:
        InputError: the loss or its gradient is not finite; the line names the step.
        KeyboardInterrupt: stopped by SIGINT or SIGTERM, after the state was saved.
    """
    weights = task.folder / "weights.safetensors"
    if is_current(task.folder, task.key) and weights.exists():
        print(f"{task.label}: already trained, {weights}")
        return weights
    precision = resolved_precision(settings.precision)
    AcceleratorState._reset_state()  # a run before this one may have had another precision
    accelerator = Accelerator(
        mixed_precision="no" if precision == "fp32" else precision,
        cpu=not torch.cuda.is_available(),  # unless told so it takes two processes on CPUs for two runs of one
    )
    if accelerator.num_processes > 1:
        atexit.register(_leave_the_group)
    remove(task.folder / RECEIPT)  # from here on the weights there, if any, are not what this task asks for
    run = _Run(task, settings, accelerator)
    with _stop_flag() as should_stop, progress(task.label, settings.steps, "step", start=run.step) as advance:
        for batches in run.batches():
            note = run.train_step(batches)
            advance(note=note)
            if run.step % settings.validate_every == 0 or run.step == settings.steps:
                run.validate()
            is_last = run.agreed(should_stop())
            if run.step % settings.checkpoint_every == 0 or is_last:
                run.save()
            if is_last:
                raise KeyboardInterrupt
    run.finish(weights)
    return weights


class _Run:
    """One optimisation under way: everything that a checkpoint must hold."""

    def __init__(self, task: Task, settings: TrainingSettings, accelerator: Accelerator) -> None:
        self.task, self.settings, self.accelerator = task, settings, accelerator
        self.step = 0
        self.history: list[dict[str, Any]] = []
        optimiser = torch.optim.AdamW(decay_groups(task.model, settings.weight_decay), lr=settings.learning_rate)
        self.model, self.optimiser = accelerator.prepare(task.model, optimiser)
        self.average = AveragedModel(
            accelerator.unwrap_model(self.model), multi_avg_fn=_ema(settings.ema_decay), use_buffers=True
        )
        self.resume_path = task.folder / "resume.pt"
        if self.resume_path.exists():
            self._resume()

    def _resume(self) -> None:
        state = load_state(self.resume_path)
        if state["key"] != self.task.key:
            print(f"{self.task.label}: settings or data changed since {self.resume_path}; training from the start")
            return
        if state["made_on"] != self._made_on():
            raise InputError(
                f"{self.resume_path}: was written on {state['made_on']}, this run is on {self._made_on()}, and would not end in the same "
                "weights: set training.precision and the number of processes as they were, or delete the file to train from the start"
            )
        self.accelerator.unwrap_model(self.model).load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        if self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(state["scaler"])
        self.step, self.history = state["step"], state["history"]
        print(f"{self.task.label}: goes on at step {self.step}")

    def _made_on(self) -> dict[str, Any]:
        """What else than the settings decides the arithmetic."""
        return {"precision": self.accelerator.mixed_precision, "processes": self.accelerator.num_processes}

    def save(self) -> None:
        """Write the whole state aside and rename it into place."""
        self._write_history()
        scaler = self.accelerator.scaler
        state = {
            "key": self.task.key,
            "made_on": self._made_on(),
            "step": self.step,
            "history": self.history,
            "model": self.accelerator.unwrap_model(self.model).state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "scaler": scaler.state_dict() if scaler is not None else {},
        }
        if self.accelerator.is_main_process:
            save_state(self.resume_path, state)

    def batches(self) -> Iterator[list[Batch]]:
        """For every step left, its `accumulate_steps` batches; patch numbers depend on the step alone."""
        per_step = self.settings.accumulate_steps
        loader = iter(_loader(self.task.train, self._numbers(), self.settings))
        for _ in range(self.settings.steps - self.step):
            yield [next(loader) for _ in range(per_step)]

    def _numbers(self) -> list[list[int]]:
        size, world, rank = (
            self.settings.train_batch_size,
            self.accelerator.num_processes,
            self.accelerator.process_index,
        )
        first = self.step * self.settings.accumulate_steps
        last = self.settings.steps * self.settings.accumulate_steps
        return [[(n * world + rank) * size + i for i in range(size)] for n in range(first, last)]

    def train_step(self, batches: list[Batch]) -> str:
        """One optimiser step over its batches; returns a note for the progress bar."""
        began = time.monotonic()
        torch.manual_seed(
            hash((self.task.seed, self.step, self.accelerator.process_index)) & 0x7FFFFFFF
        )  # dropout, so that resuming is exact
        self.model.train()
        rate = self.settings.learning_rate * learning_rate_factor(
            self.step, self.settings.steps, self.settings.warmup_steps
        )
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        total = 0.0
        for i, batch in enumerate(batches):
            is_last = i == len(batches) - 1
            with self.accelerator.autocast(), _no_sync(self.accelerator, self.model, not is_last):
                loss = self.task.loss_of(self.model, self._on_device(batch)) / len(batches)
            self._check_finite(loss, "loss")
            self.accelerator.backward(loss)
            total += float(loss.detach())
        norm = self.accelerator.clip_grad_norm_(self.model.parameters(), self.settings.gradient_clip)
        if norm is not None and self.accelerator.scaler is None:  # a scaler skips such a step by itself
            self._check_finite(norm, "gradient's norm")
        self.optimiser.step()
        self.optimiser.zero_grad()
        self.average.update_parameters(self.accelerator.unwrap_model(self.model))
        self.step += 1
        self.history.append(
            {"step": self.step, "loss": round(total, 5), "lr": rate, "seconds": round(time.monotonic() - began, 4)}
        )
        return f"loss {total:.3f}"

    def _check_finite(self, value: Tensor, what: str) -> None:
        if not torch.isfinite(value):
            numbers = [n for chunk in self._numbers()[: self.settings.accumulate_steps] for n in chunk]
            raise InputError(
                f"{self.task.label}: {what} is {value.item()} at step {self.step + 1} (patches {numbers[0]}-{numbers[-1]}); "
                "the state of the last checkpoint is whole: "
                "lower training.learning_rate, or set training.precision to bf16 or fp32, and start again"
            )

    def agreed(self, should_stop: bool) -> bool:
        """Whether any process was asked to stop: all stop after the same step, or the others would wait for ever."""
        if self.accelerator.num_processes == 1:
            return should_stop
        asked = torch.tensor(float(should_stop), device=self.accelerator.device)
        return bool(self.accelerator.reduce(asked, reduction="sum") > 0)

    @torch.no_grad()
    def validate(self) -> None:
        """Mean loss of the averaged weights over the validation patches, into the history."""
        loader = _loader(self.task.validation, None, self.settings)
        self.average.eval()
        losses = []
        for batch in loader:
            with self.accelerator.autocast():
                losses.append(float(self.task.loss_of(self.average.module, self._on_device(batch))))
        if losses:
            self.history.append({"step": self.step, "validation_loss": round(sum(losses) / len(losses), 5)})
            self._write_history()

    def finish(self, weights: Path) -> None:
        """Save the averaged weights and the receipt; the resume state is no longer needed."""
        self._write_history()
        self.accelerator.wait_for_everyone()
        if self.accelerator.is_main_process:
            save_weights(self.average.module, weights, self.task.about)
            write_receipt(
                self.task.folder, self.task.key, weights=file_hash(weights), steps=self.step, **self.task.made_with
            )
            remove(self.resume_path)
        self.accelerator.wait_for_everyone()

    def _write_history(self) -> None:
        if self.accelerator.is_main_process:
            import json

            lines = "".join(json.dumps(line) + "\n" for line in self.history)
            write_text(self.task.folder / "history.jsonl", lines)

    def _on_device(self, batch: Batch) -> Batch:
        return {name: tensor.to(self.accelerator.device, non_blocking=True) for name, tensor in batch.items()}


def _leave_the_group() -> None:
    """Left standing when Python ends, torch's process group now and then aborts a process that had done all its work."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def decay_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Two AdamW groups: weights of two or more axes decay; biases, norms and position tables of one axis do not."""
    decayed = [p for p in model.parameters() if p.requires_grad and p.ndim >= 2]
    free = [p for p in model.parameters() if p.requires_grad and p.ndim < 2]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": free, "weight_decay": 0.0}]


def _ema(decay: float) -> Callable[..., None]:
    """Exponential average whose memory grows with the steps at first, so that the random start is soon forgotten."""

    @torch.no_grad()
    def update(averaged: list[Tensor], current: list[Tensor], count: Tensor) -> None:
        steps = int(count)
        weight = min(decay, (1 + steps) / (10 + steps))
        for mean, now in zip(averaged, current, strict=True):
            if mean.is_floating_point():
                mean.lerp_(now, 1 - weight)
            else:
                mean.copy_(now)

    return update


def _loader(
    patches: "Dataset[Batch]", numbers: list[list[int]] | None, settings: TrainingSettings
) -> "DataLoader[Batch]":
    loading = settings.loader
    options: dict[str, Any] = {"num_workers": 0}
    if loading.workers and numbers is not None:
        options = {
            "num_workers": loading.workers,
            "prefetch_factor": loading.prefetch_factor,
            "persistent_workers": loading.persistent_workers,
            "multiprocessing_context": loading.start_method,
            "worker_init_fn": _leave_signals_to_parent,
        }
    if numbers is None:
        return DataLoader(patches, batch_size=settings.validation_batch_size, **options)
    return DataLoader(patches, batch_sampler=numbers, pin_memory=loading.pin_memory, **options)


def _leave_signals_to_parent(_worker: int) -> None:
    """Ctrl-C reaches the workers too; were they to die of it, the last step would wait for them in vain."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def _no_sync(accelerator: Accelerator, model: nn.Module, is_open: bool) -> Iterator[None]:
    if is_open:
        with accelerator.no_sync(model):
            yield
    else:
        yield


@contextmanager
def _stop_flag() -> Iterator[Callable[[], bool]]:
    """Turn SIGINT and SIGTERM into a question asked between two steps, so that the saved state is never half a step."""
    asked: list[int] = []
    signals = (signal.SIGINT, signal.SIGTERM)
    try:
        before = {s: signal.signal(s, lambda number, _frame: asked.append(number)) for s in signals}
    except ValueError:  # not the main thread: signals stay as they are
        yield lambda: False
        return
    try:
        yield lambda: bool(asked)
    finally:
        for s, handler in before.items():
            signal.signal(s, handler)

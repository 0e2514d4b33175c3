"""The one training loop: any model, any loss, batches by number; resumes exactly; knows neither ink nor depth."""

import atexit
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import Dataset

from scroll.config.schema import TrainingSettings
from scroll.errors import InputError
from scroll.inference.compiled_networks import Compiled
from scroll.inference.fold_ensemble import device, has_bf16, is_main_process, resolved_precision
from scroll.runtime.files import remove
from scroll.runtime.interrupts import stop_flag
from scroll.runtime.progress import progress
from scroll.runtime.receipt import file_hash, write_receipt
from scroll.training.checkpoint import About, State, last_state, save_state, save_weights, state_before
from scroll.training.compile import can_compile, in_layout
from scroll.training.dataloader import (
    Batch,
    Deferred,
    augmented_on,
    naming_dead_workers,
    on_device,
    skipped_in,
    training_batches,
    validation_batches,
    with_augmentation_on,
)
from scroll.training.distributed import any_is, leave_the_group, naming_dead_ranks, no_sync
from scroll.training.loggers import Curves, Line, numbers_of, open_curves, write_history
from scroll.training.optimizers import ema, learning_rate_factor, make_optimiser
from scroll.training.profiler import WAIT_IS_LOUD, StepClock, Timed, forward_flop
from scroll.training.soup import STATISTICS_BATCHES, Soup
from scroll.training.successor import WEIGHTS, place_to_train, take_over

OVERFLOWS = 50  # steps in a row that fp16 may overflow in before the run stops
LossOf = Callable[[nn.Module, Batch], Tensor]


@dataclass(frozen=True)
class Task:
    """What is to be fitted.

    Attributes:
        label: what the progress bar says.
        folder: where weights, history and receipt go; what was finished there stays until this is.
        key: hash of everything that decides the result; a finished folder with the same key is left alone.
        model: a freshly built network, already seeded.
        loss_of: (model, batch) -> scalar loss.
        train: item n is patch n, for every n >= 0.
        validation: a fixed number of patches; empty for none.
        about: which network the weights fit, stored with them.
        made_with: further lines for the receipt.
        trackers: where curves go besides TensorBoard.
    """

    label: str
    folder: Path
    key: str
    seed: int
    model: nn.Module
    loss_of: LossOf
    train: "Dataset[Batch]"
    validation: "Dataset[Batch]"
    about: About
    made_with: Mapping[str, object]
    trackers: tuple[str, ...] = ()


def fit(task: Task, settings: TrainingSettings) -> Path:
    """Train, resuming where an earlier run of the same key stopped; return the path of the averaged weights.

    On a CPU, and with the same number of threads, a resumed run ends in the same bits as an undisturbed one.

    The last averaged weights are kept, not those best on the held-out fold: a checkpoint chosen on a fold would make
    that fold's out-of-fold predictions look better than they are.

    Raises:
        InputError: the loss or its gradient is not finite, too many patches are unreadable, a loading process died; one line.
        KeyboardInterrupt: stopped by SIGINT or SIGTERM, after the state was saved.
    """
    weights = task.folder / WEIGHTS
    place = place_to_train(task.folder, task.key, task.label, task.made_with, settings)
    if place is None:
        return weights
    precision = resolved_precision(settings.precision)
    if precision == "bf16" and not has_bf16() and is_main_process():
        print(
            f"{task.label}: this device computes bf16 in software, some five times slower than fp32; set training.precision: auto"
        )
    AcceleratorState._reset_state()  # a run before this one may have had another precision
    accelerator = Accelerator(
        mixed_precision="no" if precision == "fp32" else precision,
        cpu=device().type == "cpu",  # unless this is given it takes two processes on CPUs for two runs of one
    )
    if accelerator.num_processes > 1:
        atexit.register(leave_the_group)
    with naming_dead_ranks(accelerator.num_processes):
        run = _Run(replace(task, folder=place), settings, accelerator)
        try:
            with naming_dead_workers(settings.loader):
                _train(run)
        finally:
            run.close()
        run.finish(place / WEIGHTS)
    if place != task.folder and accelerator.is_main_process:
        take_over(task.folder)
    return weights


def _train(run: "_Run") -> None:
    settings = run.settings
    with (
        stop_flag() as should_stop,
        progress(run.task.label, settings.steps, "step", run.step, run.accelerator.is_main_process) as advance,
    ):
        for batches in run.batches():
            note = run.train_step(batches)
            advance(note=note)
            if run.step % settings.validate_every == 0 or run.step == settings.steps:
                run.validate()
                if any_is(run.has_stalled, run.accelerator):
                    run.say(f"{settings.early_stopping} validations without a lower loss; stopped at step {run.step}")
                    return
            is_last = any_is(should_stop(), run.accelerator)
            if run.step % settings.checkpoint_every == 0 or is_last:
                run.save()
            if is_last:
                raise KeyboardInterrupt
        run.pour_soup()


class _Run:
    """One optimisation under way: everything that a checkpoint must hold."""

    def __init__(self, task: Task, settings: TrainingSettings, accelerator: Accelerator) -> None:
        self.task, self.settings, self.accelerator = task, settings, accelerator
        self.train = with_augmentation_on(task.train, settings.augment_on, accelerator.device)
        self.step = 0
        self.waited_s = 0.0  # for the batches of the step under way
        self.flop: float | None = None
        self.has_complained = False
        self.history: list[Line] = []
        model = in_layout(task.model, settings.channels_last)
        is_compiled = settings.compile and can_compile(model, self._probe, task.label)
        self.model, self.optimiser = accelerator.prepare(model, make_optimiser(model, settings))
        self.average = AveragedModel(
            accelerator.unwrap_model(self.model), multi_avg_fn=ema(settings.ema_decay), use_buffers=True
        )
        self.soup = Soup(settings.steps, settings.soup)
        self.clock = StepClock(accelerator.device)
        self.timed = Timed(Compiled(self.model) if is_compiled else self.model, self.clock)
        self.resume_path = task.folder / "resume.pt"
        self._resume()

    def _probe(self, model: nn.Module) -> None:
        """One forward and backward pass of the first batch, as the training will run them."""
        numbers = self._numbers()[0]
        model.to(self.accelerator.device)
        batch = next(training_batches(self.train, [numbers], self.settings.without_workers()))
        self._loss(model, batch).backward()

    @cached_property
    def curves(self) -> list[Curves]:
        """Where the history is shown while it grows; opened at the first step, by the first process alone."""
        if not self.accelerator.is_main_process:
            return []
        return open_curves(self.task.folder, self.task.label, self.task.key, self.step, self.task.trackers)

    def close(self) -> None:
        """Let the curves be written to the end."""
        for curves in self.curves if "curves" in self.__dict__ else []:
            curves.close()

    def say(self, text: str) -> None:
        """Print a line, once however many processes train together."""
        if self.accelerator.is_main_process:
            print(f"{self.task.label}: {text}")

    def record(self, line: Line) -> None:
        """Add a line to the history, and its numbers to the curves."""
        self.history.append(line)
        for one in self.curves:
            one.add(line["step"], numbers_of(line))

    def _resume(self) -> None:
        state = last_state(self.resume_path, self.say)
        if state is None:
            return
        if state["key"] != self.task.key:
            self.say(f"settings or data changed since {self.resume_path}; training from the start")
            return
        began = {"augmented_on": "loader"} | state["made_on"]
        if self.settings.augment_on == "auto":  # as it began
            is_left = began["augmented_on"] != "loader"
            self.train = with_augmentation_on(self.task.train, "device" if is_left else "cpu", self.accelerator.device)
        if began != self._made_on():
            raise InputError(
                f"{self.resume_path}: was written on {state['made_on']}, this run is on {self._made_on()}, and would not end in the same "
                "weights: set training.precision, training.augment_on and the number of processes as they were, or delete the file to "
                "train from the start"
            )
        self.accelerator.unwrap_model(self.model).load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        if self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(state["scaler"])
        self.step, self.history, self.soup.mean = state["step"], state["history"], state.get("soup", {})
        self.say(f"goes on at step {self.step}")

    def _made_on(self) -> dict[str, object]:
        """What else than the settings decides the arithmetic."""
        accelerator = self.accelerator
        where = augmented_on(self.train, accelerator.device)
        return {"precision": accelerator.mixed_precision, "processes": accelerator.num_processes, "augmented_on": where}

    def save(self) -> None:
        """Write the whole state aside and rename it into place."""
        self._write_history()
        scaler = self.accelerator.scaler
        state: State = {
            "key": str(self.task.key),
            "made_on": self._made_on(),
            "step": self.step,
            "history": self.history,
            "model": self.accelerator.unwrap_model(self.model).state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "scaler": scaler.state_dict() if scaler is not None else {},
        }
        if self.soup.mean:
            state["soup"] = self.soup.mean
        if self.accelerator.is_main_process:
            save_state(self.resume_path, state)

    def batches(self) -> Iterator[list[Batch]]:
        """For every step left, its `accumulate_steps` batches; patch numbers depend on the step alone."""
        per_step = self.settings.accumulate_steps
        loader = training_batches(self.train, self._numbers(), self.settings)
        for _ in range(self.settings.steps - self.step):
            began = time.monotonic()
            with self.clock.part("wait"):
                batches = [next(loader) for _ in range(per_step)]
            self.waited_s = time.monotonic() - began
            yield batches

    def _numbers(self, step: int | None = None) -> list[list[int]]:
        """Of the patches in each batch from a step on, the next one if none is given."""
        size, world = self.settings.train_batch_size, self.accelerator.num_processes
        rank = self.accelerator.process_index
        first = (self.step if step is None else step) * self.settings.accumulate_steps
        last = self.settings.steps * self.settings.accumulate_steps
        return [[(n * world + rank) * size + i for i in range(size)] for n in range(first, last)]

    def train_step(self, batches: list[Batch]) -> str:
        """One optimiser step over its batches; returns a note for the progress bar."""
        began = time.monotonic()
        torch.manual_seed(
            hash((self.task.seed, self.step, self.accelerator.process_index)) & 0x7FFFFFFF
        )  # dropout, so that resuming is exact
        self.timed.train()
        rate = self.settings.learning_rate * learning_rate_factor(
            self.step, self.settings.steps, self.settings.warmup_steps
        )
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        line: Line = {"step": self.step + 1, "lr": rate}
        skipped = skipped_in(batches, self.settings, self.history, self.task.label, self.step + 1)
        losses = self._backward(batches)
        with self.clock.part("optimiser"):
            norm = self.accelerator.clip_grad_norm_(self.model.parameters(), self.settings.gradient_clip)
            line |= self._checked(torch.stack([*losses, norm.to(losses[0].device)]).tolist())
            self.optimiser.step()
            self.optimiser.zero_grad()
            self.average.update_parameters(self.accelerator.unwrap_model(self.model))
        self.step += 1
        self.soup.take(self.step, self.average.module)
        line |= {"seconds": round(time.monotonic() - began, 4), "waited": round(self.waited_s, 4)}
        if skipped:
            line["skipped"] = skipped
        if self.clock.end_step():
            line["breakdown"] = self._breakdown()
        self.record(line)
        return f"loss {line['loss']:.3f}"

    def _backward(self, batches: list[Batch]) -> list[Tensor]:
        """Add up the gradients of the batches; returns each one's share of the mean loss. Nothing here waits for a GPU."""
        losses = []
        for i, batch in enumerate(batches):
            is_last = i == len(batches) - 1
            with self.clock.part("augment" if isinstance(self.train, Deferred) else "loss"):
                there = self._on_device(batch)
            with no_sync(self.accelerator, self.model, not is_last):
                with self.accelerator.autocast(), self.clock.part("loss"):
                    loss = self.task.loss_of(self.timed, there) / len(batches)
                with self.clock.part("backward"):
                    self.accelerator.backward(loss)
            losses.append(loss.detach().float())
        return losses

    def _checked(self, values: list[float]) -> Line:
        """Loss and gradient's norm for the history, from each batch's share of the loss, then the norm, before the weights move.

        An overflow of fp16 makes the scaler skip the step by itself, but not for ever.
        """
        *losses, norm = values
        self._check_finite(sum(losses), "loss")
        line: Line = {"loss": round(sum(losses), 5)}
        if math.isfinite(norm):
            return line | {"gradient_norm": float(f"{norm:.4g}")}
        before = [line for line in self.history if "loss" in line][-OVERFLOWS:]
        if self.accelerator.scaler is None or sum("overflow" in line for line in before) == OVERFLOWS:
            self._check_finite(norm, "gradient's norm")
        return line | {"overflow": True}

    def _breakdown(self) -> dict[str, float]:
        """Where the time of the last steps went; says so aloud, once, where a fifth of it was waiting for patches."""
        if self.flop is None and self.timed.inputs is not None:
            with self.accelerator.autocast():
                forward = forward_flop(self.accelerator.unwrap_model(self.model), self.timed.inputs)
            # a backward pass costs two forward passes
            self.flop = 3 * self.settings.accumulate_steps * forward if forward else 0.0
        report = self.clock.report(self.flop)
        if report["wait_share"] > WAIT_IS_LOUD and not self.has_complained:
            self.has_complained = True
            self.say(
                f"{report['wait_share']:.0%} of a step of {report['step_s']:.3f} s is spent waiting for patches; "
                f"raise training.loader.workers (now {self.settings.loader.workers})"
            )
        return report

    def _check_finite(self, value: float, what: str) -> None:
        if not math.isfinite(value):
            numbers = [n for chunk in self._numbers()[: self.settings.accumulate_steps] for n in chunk]
            raise InputError(
                f"{self.task.label}: {what} is {value} at step {self.step + 1} (patches {numbers[0]}-{numbers[-1]}); the last checkpoint "
                "is whole and the same command goes on from it; if it stops there again lower training.learning_rate, or set "
                "training.precision to bf16 or fp32, which trains from the start"
            )

    @torch.no_grad()
    def validate(self, is_soup: bool = False) -> None:
        """Mean loss of the weights that would be kept over the validation patches, into the history."""
        self.average.eval()
        batches = validation_batches(self.task.validation, self.settings)
        losses = [float(self._loss(self.average.module, batch)) for batch in batches]
        if losses:
            mean = round(sum(losses) / len(losses), 5)
            named: Line = {"soup_validation_loss": mean} if is_soup else {"validation_loss": mean}
            self.record({"step": self.step, **named})
            self._write_history()

    def _loss(self, model: nn.Module, batch: Batch) -> Tensor:
        there = self._on_device(batch)
        with self.accelerator.autocast():
            return self.task.loss_of(model, there)

    def pour_soup(self) -> None:
        """Where `training.soup` asks for one, let it be the weights that are kept, and validate it."""
        if self.soup.mean:
            batches = training_batches(self.train, self._numbers(0)[:STATISTICS_BATCHES], self.settings)
            self.soup.pour(self.average.module, batches, self._loss)
            self.validate(is_soup=True)

    @property
    def has_stalled(self) -> bool:
        """Whether the last `early_stopping` validations all failed to better the best one before them."""
        losses = [line["validation_loss"] for line in self.history if "validation_loss" in line]
        patience = self.settings.early_stopping
        return 0 < patience < len(losses) and min(losses[-patience:]) >= min(losses[:-patience])

    def finish(self, weights: Path) -> None:
        """Save the averaged weights and the receipt; the resume state is no longer needed."""
        self._write_history()
        self.accelerator.wait_for_everyone()
        if self.accelerator.is_main_process:
            save_weights(self.average.module, weights, self.task.about)
            made_with = {**self.task.made_with, "augmented_on": self._made_on()["augmented_on"]}
            write_receipt(self.task.folder, self.task.key, weights=file_hash(weights), steps=self.step, **made_with)
            remove(self.resume_path)
            remove(state_before(self.resume_path))
        self.accelerator.wait_for_everyone()

    def _write_history(self) -> None:
        if self.accelerator.is_main_process:
            write_history(self.task.folder, self.history)

    def _on_device(self, batch: Batch) -> Batch:
        moved = on_device(batch, self.train, self.accelerator.device)
        return {name: in_layout(tensor, self.settings.channels_last) for name, tensor in moved.items()}

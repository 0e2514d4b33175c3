"""Curves of a training: history.jsonl is the truth; TensorBoard always, W&B and MLflow where asked for, are copies of it."""

import json
import os
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol, TypedDict

from scroll.config.schema import Settings
from scroll.errors import InputError
from scroll.runtime.files import write_text
from scroll.runtime.receipt import key_of


class Line(TypedDict, total=False):
    """A line of the history: of an optimiser step, or of a validation after it."""

    step: int
    lr: float
    loss: float
    gradient_norm: float
    overflow: bool
    seconds: float
    waited: float
    skipped: int
    breakdown: dict[str, float]
    validation_loss: float
    soup_validation_loss: float


class Curves(Protocol):
    """Somewhere that numbers by step go to."""

    def add(self, step: int, numbers: dict[str, float]) -> None:
        """Take the numbers of one step."""

    def close(self) -> None:
        """Nothing more comes."""


def check_trackers(settings: Settings) -> None:
    """Refuse a training whose curves would go to a tracker that is not there; predicting needs none.

    Raises:
        InputError: one of `trackers` is not installed.
    """
    for name in settings.trackers:
        found = find_spec(name)
        if (
            found is None or found.origin is None
        ):  # a folder of that name, which trackers leave where they ran, is no package
            raise InputError(
                f"trackers: '{name}' is not installed; run pip install 'scroll-ensemble[track]', or leave it out of trackers"
            )


def write_history(folder: Path, history: Sequence[Line]) -> None:
    """Write every line so far to history.jsonl, aside first."""
    write_text(folder / "history.jsonl", "".join(json.dumps(line) + "\n" for line in history))


def open_curves(folder: Path, label: str, key: str, first_step: int, trackers: Sequence[str]) -> list[Curves]:
    """TensorBoard below `folder`, and the trackers named; a resumed run of the same `key` goes on in the same curves.

    `first_step` is the first that will be added.
    Whether a tracker is installed is asked long before (`check_trackers`).
    """
    curves: list[Curves] = [TensorBoard(folder, first_step)]
    name = key_of([str(folder.absolute()), key])
    for tracker in trackers:
        curves.append(WeightsAndBiases(folder, label, name) if tracker == "wandb" else MlFlow(folder, label, name))
    return curves


def numbers_of(line: Line) -> dict[str, float]:
    """The numbers of a history line, those of its breakdown under "breakdown/"; the step itself is left out.

    >>> numbers_of({"step": 3, "loss": 0.5, "breakdown": {"wait_s": 0.1}})
    {'loss': 0.5, 'breakdown/wait_s': 0.1}
    """
    flat = {key: value for key, value in line.items() if key not in ("step", "breakdown")}
    flat |= {f"breakdown/{key}": value for key, value in line.get("breakdown", {}).items()}
    return {key: float(value) for key, value in flat.items() if isinstance(value, int | float)}


class TensorBoard:
    """Event files below <folder>/tensorboard."""

    def __init__(self, folder: Path, first_step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        # what a killed run wrote beyond its last checkpoint is written again, and must not be shown twice
        self.writer = SummaryWriter(str(folder / "tensorboard"), purge_step=first_step, flush_secs=10)

    def add(self, step: int, numbers: dict[str, float]) -> None:
        """One point on each curve."""
        for name, value in numbers.items():
            self.writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Write what waits."""
        self.writer.close()


class WeightsAndBiases:
    """A W&B run; offline unless WANDB_MODE says otherwise."""

    def __init__(self, folder: Path, label: str, name: str) -> None:
        wandb = import_module("wandb")
        folder.mkdir(parents=True, exist_ok=True)
        self.run = wandb.init(
            project="scroll-ensemble",
            name=label,
            id=name,
            resume="allow",
            dir=str(folder),
            mode=os.environ.get("WANDB_MODE", "offline"),
            settings=wandb.Settings(silent=True, console="off"),
        )

    def add(self, step: int, numbers: dict[str, float]) -> None:
        """One point on each curve."""
        self.run.log(numbers, step=step)

    def close(self) -> None:
        """End the run."""
        self.run.finish()


class MlFlow:
    """An MLflow run, in a file beside the weights unless MLFLOW_TRACKING_URI says otherwise."""

    def __init__(self, folder: Path, label: str, name: str) -> None:
        mlflow = import_module("mlflow")
        folder.mkdir(parents=True, exist_ok=True)
        where = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{(folder / 'mlflow.db').absolute()}"
        self.client = mlflow.MlflowClient(tracking_uri=where)
        project = self.client.get_experiment_by_name("scroll-ensemble")
        number = project.experiment_id if project else self.client.create_experiment("scroll-ensemble")
        before = self.client.search_runs([number], f"tags.scroll_run = '{name}'", max_results=1)
        run = before[0] if before else self.client.create_run(number, run_name=label, tags={"scroll_run": name})
        self.run_id = run.info.run_id

    def add(self, step: int, numbers: dict[str, float]) -> None:
        """One point on each curve."""
        for name, value in numbers.items():
            self.client.log_metric(self.run_id, name, value, step=step)

    def close(self) -> None:
        """End the run."""
        self.client.set_terminated(self.run_id)

"""A linear model on numbered points: training that takes milliseconds and has a known answer, for the tests beside this file.

Run as a script it trains in a process of its own: tiny_task.py FOLDER STEPS SECONDS_PER_PATCH [KEY=VALUE of training ...]
"""

import sys
import time
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from scroll.config.schema import TrainingSettings
from scroll.errors import UnreadableError
from scroll.training.loop import Task


class Points(Dataset[dict[str, Tensor]]):
    """Item n is a point that depends on n alone; from `broken_from` on its value is `broken`, those in `corrupt` cannot be read."""

    def __init__(
        self,
        count: int = 0,
        wait_s: float = 0.0,
        broken_from: int = 10**9,
        broken: float = float("nan"),
        corrupt: tuple[int, ...] = (),
    ) -> None:
        self.count, self.wait_s, self.broken_from, self.broken = count, wait_s, broken_from, broken
        self.corrupt = corrupt

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, n: int) -> dict[str, Tensor]:
        time.sleep(self.wait_s)
        if n in self.corrupt:
            raise UnreadableError(f"ct.zarr: patch {n} cannot be read; copy it again")
        x = np.random.default_rng(n).standard_normal(3).astype(np.float32)
        y = np.float32(x @ np.array([1.0, -2.0, 0.5]) + 0.1)
        is_broken = self.broken_from <= n < 10**9
        return {"x": torch.from_numpy(x), "y": torch.tensor(self.broken if is_broken else y)}


def squared_error(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    return (model(batch["x"]).squeeze(-1) - batch["y"]).square().mean()


def small_network(is_linear: bool) -> nn.Module:
    torch.manual_seed(0)
    if is_linear:
        return nn.Linear(3, 1)
    return nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 1))


def tiny_task(folder: Path, key: str = "key", is_linear: bool = True, **points: Any) -> Task:
    return Task(
        label="tiny",
        folder=folder,
        key=key,
        seed=3,
        model=small_network(is_linear),
        loss_of=squared_error,
        train=Points(**points),
        validation=Points(count=6),
        about={"network": "tiny"},
        made_with={"axes": "x"},
    )


def training(**changes: Any) -> TrainingSettings:
    plain = {"steps": 12, "train_batch_size": 4, "warmup_steps": 2, "precision": "fp32", "checkpoint_every": 5}
    return TrainingSettings.model_validate(plain | {"validate_every": 4} | changes)


if __name__ == "__main__":
    from scroll.runtime.command_line import run_command
    from scroll.training.loop import fit

    def main() -> None:
        folder, steps, wait_s, *changes = sys.argv[1:]
        more = dict(change.split("=") for change in changes)
        loader = {"workers": more.pop("workers", 0)}
        task = tiny_task(Path(folder), is_linear=False, wait_s=float(wait_s))
        fit(task, training(steps=int(steps), loader=loader, **more))

    run_command(main)

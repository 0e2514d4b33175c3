"""Where a training step and a prediction spend their time: the demo of the surface competition, one thread."""

import argparse
import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from scroll.config.reader import load_settings
from scroll.config.schema import Settings
from scroll.data.folds import Fold, make_folds
from scroll.inference.prediction_store import RowWriter
from scroll.phantom.dataset import make_cubes
from scroll.phantom.settings import mixed_scrolls
from scroll.runtime.bounded import read_lines
from stage1_3d.cubes.predict import prediction_of
from stage1_3d.kinds import TrainingData, training_data
from stage1_3d.predict import load_forward
from stage1_3d.train import train_member

CONFIG, MEMBER = Path(__file__).resolve().parents[2] / "configs" / "demo_surface.yaml", "unet3d"


@dataclass
class Parts:
    """CPU seconds of calls by name, each of the thread that it ran in."""

    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    def timed(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """The same call, its time taken."""

        def timed(*arguments: Any) -> Any:
            began = time.thread_time()
            try:
                return call(*arguments)
            finally:
                self.seconds[name] += time.thread_time() - began

        return timed


def run(arguments: argparse.Namespace) -> None:
    """Train for some steps, predict a cube, and print the share of each part of both."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        settings = _settings(Path(folder), arguments.parts_edge, arguments.parts_steps)
        data = training_data(settings)
        fold = make_folds(data.items, settings.folds)[0]
        train_member(settings, MEMBER, data, fold)
        _print("a training step, batch of 2 patches of 96^3", _steps(settings, fold))
        wall_s, parts = _prediction(settings, data, fold, Path(folder))
        _print(f"a cube of {arguments.parts_edge}^3 predicted, {wall_s:.2f} s of wall clock", parts)


def _settings(folder: Path, edge: int, steps: int) -> Settings:
    make_cubes(folder / "data", mixed_scrolls(edge, "default"), seed=1, train=4, test=1, jobs=1)
    changes = {
        "run_dir": folder / "run", "data.root": folder / "data", "data.cache_dir": folder / "cache",
        f"stage1.members.{MEMBER}.training.steps": steps, f"stage1.members.{MEMBER}.loss.topology": 0.1,
        f"stage1.members.{MEMBER}.loss.skeleton_recall": 0.5, "stage1.defaults.training.loader.workers": 0,
        "stage1.defaults.training.validate_every": steps, "stage1.defaults.training.checkpoint_every": steps,
    }  # fmt: skip
    return load_settings(CONFIG, [f"{name}={value}" for name, value in changes.items()])


def _steps(settings: Settings, fold: Fold) -> dict[str, float]:
    """Mean seconds of each part of a step, as the training itself notes them; to wait is to make the patches: no other process does."""
    lines = [json.loads(line) for line in read_lines(settings.folder.fold(MEMBER, fold.number) / "history.jsonl")]
    noted = [line["breakdown"] for line in lines if "breakdown" in line]
    names = ("wait", "forward", "loss", "backward", "optimiser")
    return {name: sum(one.get(f"{name}_s", 0.0) for one in noted) / len(noted) for name in names}


def _prediction(settings: Settings, data: TrainingData, fold: Fold, folder: Path) -> tuple[float, dict[str, float]]:
    """Seconds of wall clock, and CPU seconds of each part, of one cube of the data."""
    parts, cube = Parts(), data.items[0]
    forward = parts.timed("networks", load_forward(settings, MEMBER, [fold.number]))
    plain = prediction_of(settings, MEMBER, cube, lambda: forward)
    prediction = replace(plain, read=parts.timed("reading and scaling", plain.read))
    writer = RowWriter(folder / "prob.zarr", "parts", cube.shape, cube.pixel_um, "zyx")
    write = parts.timed("writing", lambda row, values: writer.write(row, values[0]))
    cpu, wall = time.process_time(), time.perf_counter()
    prediction.run(write, 0)
    writer.finish()
    spent, wall_s = time.process_time() - cpu, time.perf_counter() - wall
    return wall_s, {**parts.seconds, "blending and the rest": spent - sum(parts.seconds.values())}


def _print(what: str, parts: dict[str, float]) -> None:
    total = sum(parts.values())
    print(f"\n{what}: {total:.3f} s")
    for name, seconds in parts.items():
        print(f"  {name:<24} {seconds:8.3f} s  {seconds / total:6.1%}")

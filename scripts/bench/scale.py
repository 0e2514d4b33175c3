"""A whole-volume prediction in shards beside the pure forward passes of the same windows: overhead, processes, halos, memory."""

import argparse
import os
import shutil
import tempfile
import time
from dataclasses import dataclass
from itertools import product
from math import gcd
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from ensemble.whole_scroll.run import EnsemblePredictor, sweep_of
from scripts.bench.options import TABLES as NAMES
from scripts.bench.storage import voxels
from scripts.bench.timing import Times
from scroll.config.schema import Settings
from scroll.inference.sliding_window import windows_about
from scroll.runtime.process_memory import GIB, peak_resident_gib
from scroll.runtime.processes import processes_of
from scroll.runtime.receipt import key_of
from scroll.shards.drive import Driver, run_part
from scroll.shards.grid import shards_of
from scroll.shards.local_engine import LocalEngine
from scroll.shards.plan import Plan
from scroll.shards.work import Job, Worker
from scroll.volumes.ome_zarr import create_ome_zarr, open_array
from scroll.volumes.sharded.output import OutputFormat, create_output
from stage1_3d.external.view import View, view_of

LEAST_WINDOW_S = 0.2  # below that a network is so light that no real one is like it
GREY = (100.0, 40.0)


@dataclass(frozen=True)
class BenchRecipe:
    """The ensemble's own predictor with one network of random weights."""

    settings: Settings
    source: str

    def __call__(self) -> EnsemblePredictor:
        """As a worker builds it."""
        import torch

        from ensemble.whole_scroll.run import EnsemblePredictor, EnsembleRecipe
        from scroll.inference.fold_ensemble import device, mean_of
        from scroll.volumes.opened_level import open_level
        from stage1_3d.network import build_network

        torch.manual_seed(0)
        member, cache_mb = self.settings.stage1.members["one"], self.settings.data.cache_mb
        network = build_network(member).to(device()).eval()
        forward = mean_of([network], member.training.precision, self.settings.stage1.window)
        recipe = EnsembleRecipe(self.settings, self.source, 0, GREY, {"one": 1.0})
        return EnsemblePredictor(recipe, open_level(self.source, 0, cache_mb), {"one": forward})


def run(arguments: argparse.Namespace) -> None:
    """Measure and print the four tables."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = settings_of(folder, arguments.scale_window, arguments.scale_channels)
        shape = (arguments.scale_edge,) * 3
        recipe = BenchRecipe(settings, str(_volume(folder, shape)))
        for table in arguments.scale_tables:
            TABLES[table](arguments, recipe, folder)


def settings_of(folder: Path, window: int, channels: int) -> Settings:
    """One network, so wide, that sees cubes of `window` voxels."""
    member = {
        "network": "cnn3d",
        "options": {"channels": [channels] * 3, "dilations": [1, 1, 1], "stride_yx": 1},
        "patch_size": [window] * 3,
        "supervision": "band",
    }
    sweep = {"overlap": 0.25, "blend": "gaussian", "batch_size": 1}
    return Settings.model_validate(
        {
            "run_dir": folder,
            "data": {"kind": "cubes", "root": folder},
            "stage1": {"members": {"one": member}, "window": sweep},
        }
    )


def scale_recipe(folder: Path, shape: tuple[int, int, int], edge: int) -> tuple[BenchRecipe, Plan]:
    """A volume of `shape` to predict with a light network in shards of `edge`, windows half as wide."""
    recipe = BenchRecipe(settings_of(folder, edge // 2, 4), str(_volume(folder, shape)))
    return recipe, _plan(recipe, shape, edge)


def _volume(folder: Path, shape: tuple[int, int, int]) -> Path:
    create_ome_zarr(folder / "ct.zarr", shape, "uint8", (64, 64, 64), 7.91)[:] = voxels(shape)
    return folder / "ct.zarr"


def _plan(recipe: BenchRecipe, shape: tuple[int, ...], edge: int) -> Plan:
    z, y, x = shape
    how = OutputFormat((z, y, x), edge, gcd(edge, 64), 7.91)
    return Plan(key_of([edge]), how, tuple(shard.index for shard in shards_of(shape, edge)), 0)


def timed_plan(plan: Plan, recipe: "BenchRecipe | TimedRecipe", out: Path, workers: int) -> float:
    """Seconds of wall clock for a whole plan, from nothing to the last line of the ledger."""
    began = time.perf_counter()
    ledger = out.with_name(out.name + ".ledger")
    job = Job(ledger, plan.key, create_output(out, plan.how, plan.key), recipe)
    if failed := run_part(plan, job, LocalEngine(workers), Driver()):
        raise RuntimeError(f"{len(failed)} shards failed: {failed[0].error}")
    return time.perf_counter() - began


@dataclass(frozen=True)
class TimedRecipe:
    """The same predictor, adding up what its forward passes take; in this process only."""

    recipe: BenchRecipe
    spent: Times

    def __call__(self) -> EnsemblePredictor:
        """As a worker builds it."""
        predictor = self.recipe()
        forward = predictor.forwards["one"]

        def timed(windows: Tensor) -> Tensor:
            with self.spent.one():
                return forward(windows).cpu()

        predictor.forwards = {"one": timed}
        return predictor


def _view(recipe: BenchRecipe) -> View:
    return view_of(recipe.settings, "one", recipe.settings.data.voxel_um)


def _corners(recipe: BenchRecipe, plan: Plan) -> list[tuple[int, ...]]:
    """Of the windows that all shards of a plan look at, one after the other."""
    sweep = sweep_of(recipe.settings, _view(recipe), plan.how.shape)
    about = (windows_about(sweep, shard.corner, shard.size) for shard in plan.shards)
    return [corner for starts in about for corner in product(*starts)]


def _overhead(arguments: argparse.Namespace, recipe: BenchRecipe, folder: Path) -> None:
    """Everything but the networks: loading them, reading, cutting, blending, uint8, writing, the ledger.

    The passes are timed inside the run itself: on a machine that does other things as well, two runs differ by more.
    """
    shape, edge = (arguments.scale_edge,) * 3, max(e for e in arguments.scale_shards if e <= arguments.scale_edge)
    plan = _plan(recipe, shape, edge)
    whole, spent = Times(), Times()
    count = len(_corners(recipe, plan))
    timed = TimedRecipe(recipe, spent)
    with whole.one():
        timed_plan(plan, timed, folder / "overhead.zarr", workers=1)
    print(f"\noverhead: volume {shape}, shards of {edge}, {count} windows of {arguments.scale_window}, one process")
    for name, seconds in (("forward passes", spent), ("all of it", whole)):
        print(f"  {name:<16} {sum(seconds.wall):8.2f} s wall {sum(seconds.cpu):8.2f} s processor")
    passes_s = sum(spent.cpu)
    more, more_wall = sum(whole.cpu) / passes_s - 1, sum(whole.wall) / sum(spent.wall) - 1
    print(f"  a window takes {passes_s / count:.3f} s; overhead {more:+.1%} processor, {more_wall:+.1%} wall")
    if passes_s / count < LEAST_WINDOW_S:
        print(f"  the network is lighter than {LEAST_WINDOW_S} s a window: raise --scale-channels for a fair figure")


def _processes(arguments: argparse.Namespace, recipe: BenchRecipe, folder: Path) -> None:
    """The same volume by one process and by several, their starting included; the bits have to be the same."""
    shape = (arguments.scale_edge,) * 3
    plan = _plan(recipe, shape, sorted(arguments.scale_shards)[len(arguments.scale_shards) // 2])
    results = {}
    print(f"\nprocesses: shards of {plan.how.shard_vox}, {len(plan.indices)} of them")
    for workers in arguments.scale_processes:
        out = folder / f"workers{workers}.zarr"
        before = sum(os.times()[:4])  # of this process and of those that ended
        seconds = timed_plan(plan, recipe, out, workers)
        spent = sum(os.times()[:4]) - before
        results[workers] = open_array(out)[:]
        print(
            f"  {workers} {'process' if workers == 1 else 'processes'}: {seconds:8.2f} s wall, {spent:8.2f} s processor"
        )
    first, *others = results.values()
    print(f"  the same bits: {all(np.array_equal(first, other) for other in others)}")


def _halos(arguments: argparse.Namespace, recipe: BenchRecipe, folder: Path) -> None:
    """Windows that neighbouring shards both look at: counted for shards amid a scroll, by theory, and for this volume."""
    patch, here = arguments.scale_window, (arguments.scale_edge,) * 3
    print("\nhalos: windows looked at, over those of one pass")
    for edge in sorted(arguments.scale_shards):
        scroll = sweep_of(recipe.settings, _view(recipe), (300 * edge, patch, patch))
        stride = scroll.starts()[0][1]
        amid = [len(windows_about(scroll, (n * edge, 0, 0), (edge, patch, patch))[0]) for n in range(100, 100 + stride)]
        counted = (sum(amid) / len(amid) * stride / edge) ** 3
        message = f"x {counted:5.2f} counted amid a scroll, x {halo_factor(edge, patch, stride):5.2f} by theory"
        print(
            f"  shard {edge:5d}: {message}; {len(_corners(recipe, _plan(recipe, here, edge)))} windows in this volume"
        )


def halo_factor(edge: int, patch: int, stride: int) -> float:
    """How many times more windows a shard amid a volume looks at than its share of one pass, if all windows are cubes.

    Windows begin at multiples of the stride, shards at multiples of their edge: seen from a shard, at multiples of the
    greatest common divisor g of the two, each of them equally often. Those that touch it begin less than a patch before
    it, g (ceil(patch / g) - 1) voxels, or in it.

    >>> halo_factor(edge=512, patch=128, stride=64)
    1.423828125
    """
    g = gcd(edge, stride)
    return float((1 + g * (-(-patch // g) - 1) / edge) ** 3)


def _memory(arguments: argparse.Namespace, recipe: BenchRecipe, folder: Path) -> None:
    """The peak of a fresh process that does one shard amid the volume, and what the arrays of a shard come to."""
    print(
        "\nmemory: peak of a process that does one shard; its arrays: the CT with halo (1 + 4 bytes), box (2 x 4), result (4 + 1)"
    )
    shape, base = (arguments.scale_edge,) * 3, None
    for edge in sorted(arguments.scale_shards):
        with processes_of(1) as pool:
            peak = pool.submit(_peak_of_one, recipe, shape, edge, folder).result()
        reach = min(arguments.scale_edge, edge + 2 * (arguments.scale_window - 1))
        arrays = 5 * reach**3 + 13 * edge**3
        base = base or peak - arrays
        print(
            f"  shard {edge:5d}: {peak / 2**20:8.0f} MiB; arrays at most {arrays / 2**20:7.0f} MiB on top of {base / 2**20:.0f} MiB"
        )


def _peak_of_one(recipe: BenchRecipe, shape: tuple[int, int, int], edge: int, folder: Path) -> int:
    out = folder / f"memory{edge}.zarr"
    for path in (out, out.with_name(out.name + ".ledger")):
        shutil.rmtree(path, ignore_errors=True)
    plan = _plan(recipe, shape, edge)
    job = Job(out.with_name(out.name + ".ledger"), plan.key, create_output(out, plan.how, plan.key), recipe)
    outcome: Any = Worker(job, "bench").do(plan.shards[len(plan.shards) // 2])
    if outcome.error:
        raise RuntimeError(outcome.error)
    return round(peak_resident_gib() * GIB)


TABLES = dict(zip(NAMES, (_overhead, _processes, _halos, _memory), strict=True))

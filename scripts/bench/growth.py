"""Time and memory for 1, 2, 4 and 8 times the volume, shards, cubes, rows and members: what grows faster than its input is seen."""

import argparse
import gc
import math
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import nn

from ensemble.blend import blend
from ensemble.ink.weights import climb_f05, equal_weights
from ensemble.surface.postprocess.pipeline import PostProcessing
from ensemble.surface.postprocess.pipeline import run as post_processed
from scripts.bench.flatten import MARGIN_VOX, sheet
from scripts.bench.scale import scale_recipe, timed_plan
from scripts.bench.score import draw_pair
from scripts.bench.storage import voxels
from scroll.config.schema import WindowSettings
from scroll.config.tracing import TracingSettings
from scroll.inference.prediction_store import RowWriter
from scroll.inference.sliding_window import Sweep, predict
from scroll.metrics.leaderboard import score_masks
from scroll.runtime.gaussian import gaussian
from scroll.runtime.process_memory import forget_peak, peak_resident_gib, resident_gib
from scroll.runtime.processes import single_threaded_processes
from scroll.surfaces.sample import Offsets, Source, sample_along_normals
from scroll.surfaces.surface import Tile
from scroll.tracing.sheets import trace_sheets

EDGE, WINDOW, SHARD = 128, (16, 64, 64), 64
POST_PROCESSED = PostProcessing(
    0.5, small_components_vox=200, thickness_vox=3.0, closing_radius_vox=2, fill_holes_radius_vox=3, cavity_vox=100
)
STRIP_ROWS = 128
LEAST_S, LEAST_MIB = 1e-3, 16.0  # less is not told apart
LINEAR = 1.15  # exponent up to which time or memory is said to grow no faster than its input
Result = TypeVar("Result")
Work = Callable[[], object]


@dataclass(frozen=True)
class Cost:
    """CPU seconds of a piece of work, and by how many MiB its process grew at the most, its input not counted."""

    cpu_s: float
    more_mib: float


def run(arguments: argparse.Namespace) -> None:
    """Print a row for each thing that grows, each measured in a process of its own, one thread."""
    rows = arguments.growth_rows or list(PREPARED)
    sizes = arguments.growth_times
    print(
        f"\ngrowth: CPU s and MiB beyond its input for {', '.join(map(str, sizes))} times as much, one process and thread each"
    )
    for name in rows:
        costs = [_alone(name, times) for times in sizes]
        time_growth = exponent(sizes, [max(LEAST_S, one.cpu_s) for one in costs])
        memory_growth = exponent(sizes, [max(LEAST_MIB, one.more_mib) for one in costs])
        cells = "  ".join(f"{one.cpu_s:8.3f} s {one.more_mib:6.0f} MiB" for one in costs)
        print(
            f"  {name:<34} {cells}  time ^{time_growth:.2f}, memory ^{memory_growth:.2f}{_said(time_growth)}",
            flush=True,
        )


def exponent(sizes: Sequence[float], values: Sequence[float]) -> float:
    """Of the power law that runs closest through `values` over `sizes`; 1 is linear.

    >>> round(exponent([1, 2, 4], [3, 6, 12]), 3), round(exponent([1, 2, 4], [3, 12, 48]), 3)
    (1.0, 2.0)
    """
    if len(sizes) < 2:
        return math.nan
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


def _said(growth: float) -> str:
    return "  (why: docs/results.md, Growth)" if growth > LINEAR else ""


def _alone(name: str, times: int) -> Cost:
    with single_threaded_processes(1) as pool:
        return pool.submit(_cost, name, times).result()


def _cost(name: str, times: int) -> Cost:
    """Once small, so that everything is compiled and imported; then what counts."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        PREPARED[name](1, Path(folder, "first"))()
        work = PREPARED[name](times, Path(folder, "then"))
        gc.collect()
        forget_peak()
        before, began = resident_gib(), time.process_time()
        work()
        return Cost(time.process_time() - began, max(0.0, peak_resident_gib() - before) * 1024)


def _prediction(times: int, folder: Path) -> Work:
    """Rows of a volume, predicted window by window onto the disk."""
    shape = (16, 512 * times, 512)
    volume = voxels(shape)
    settings = WindowSettings(overlap=0.5, blend="gaussian", average="logits", batch_size=4)
    network = nn.Conv3d(1, 1, 3, padding=1).eval()
    sweep = Sweep(shape, WINDOW, settings, rows=(0, shape[1]))

    def read(corner: tuple[int, ...]) -> np.ndarray:
        box = tuple(slice(c, c + p) for c, p in zip(corner, WINDOW, strict=True))
        return volume[box][None].astype(np.float32)

    def work() -> None:
        writer = RowWriter(folder / "prob.zarr", "growth", shape, 7.91, "zyx")
        with torch.inference_mode():
            predict(sweep, read, network, lambda row, rows: writer.write(row, rows[0]))
        writer.finish()

    folder.mkdir(parents=True)
    return work


def _shards(times: int, folder: Path) -> Work:
    """Shards of a whole scroll, one process."""
    folder.mkdir(parents=True)
    recipe, plan = scale_recipe(folder, (SHARD, SHARD, SHARD * times), SHARD)
    return lambda: timed_plan(plan, recipe, folder / "out.zarr", workers=1)


def _cubes(times: int, folder: Path) -> Work:
    """Cubes of a submission, scored one after the other."""
    pred, label = draw_pair("typical", EDGE)
    return lambda: [score_masks(pred, label) for _ in range(times)]


def _long(times: int) -> tuple[np.ndarray, np.ndarray]:
    """Prediction and label (Z, Y, X) of a cube, longer by `times` along z."""
    pred, label = draw_pair("rich in tunnels", EDGE)
    return np.concatenate([pred] * times), np.concatenate([label] * times)


def _one_score(times: int, folder: Path) -> Work:
    return partial(score_masks, *_long(times))


def _post_processing(times: int, folder: Path) -> Work:
    prob = gaussian(_long(times)[0].astype(np.float32), 1.0)
    return lambda: post_processed(POST_PROCESSED, prob)


def _tracing(times: int, folder: Path) -> Work:
    prob = gaussian(draw_pair("typical", EDGE)[1].astype(np.float32), 1.0)
    volume = np.concatenate([prob] * times, axis=0)
    return lambda: trace_sheets(volume, TracingSettings())


def _flattening(times: int, folder: Path) -> Work:
    """Rows of a sheet, sampled along its normals strip by strip, as they are written."""
    tile = sheet(512 * times, 512)
    depth = int(tile.points[..., 0].max()) + MARGIN_VOX
    volume = voxels((depth, 512 * times + 2 * MARGIN_VOX, 512 + 2 * MARGIN_VOX))
    strips = [slice(row, row + STRIP_ROWS) for row in range(0, 512 * times, STRIP_ROWS)]
    pieces = [Tile(tile.points[rows], tile.normals[rows], tile.valid[rows]) for rows in strips]

    def work() -> None:
        for piece in pieces:
            sample_along_normals(piece, Offsets(-32, 33), [Source(volume)])

    return work


def _maps(members: int, pixels: int) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (M, N) of members of unequal skill, and the truth (N,)."""
    rng = np.random.default_rng(0)
    truth = rng.random(pixels) < 0.1
    noise = rng.standard_normal((members, pixels), dtype=np.float32)
    odds = np.where(truth, 1.0, -1.0) * np.linspace(0.5, 1.5, members)[:, None] + noise
    return (1 / (1 + np.exp(-odds))).astype(np.float32), truth


def _blending(times: int, folder: Path) -> Work:
    """Members of a blend."""
    maps = list(_maps(times, 2048 * 2048)[0].reshape(times, 2048, 2048))
    return lambda: blend(maps, np.ones(times))


def _weights(times: int, folder: Path) -> Work:
    """Members whose weights are fitted, from two on."""
    probs, truth = _maps(times + 1, 2_000_000)
    return lambda: climb_f05(probs, truth, equal_weights(times + 1))


PREPARED: Mapping[str, Callable[[int, Path], Work]] = {
    "prediction, rows": _prediction,
    "whole scroll, shards": _shards,
    "score, cubes": _cubes,
    "score, one volume": _one_score,
    "post-processing, one volume": _post_processing,
    "tracing, one volume": _tracing,
    "flattening, rows": _flattening,
    "blend, members": _blending,
    "weights, members (2, 3, 5, 9)": _weights,
}

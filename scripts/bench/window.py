"""Sliding-window prediction beside the pure forward passes of the same windows, and beside MONAI's, same data, same run."""

import argparse
from itertools import product

import numpy as np
import torch
from monai.inferers.utils import sliding_window_inference
from torch import Tensor, nn

from scripts.bench.timing import Times, beside, in_turns
from scroll.config.schema import WindowSettings
from scroll.inference.sliding_window import Sweep, count_windows, predict

PURE = "pure forward passes"


def run(arguments: argparse.Namespace) -> None:
    """Time the three in turn and print medians and ratios to the pure forward passes."""
    shape, patch = tuple(arguments.window_shape), tuple(arguments.window)
    volume = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    small = nn.Sequential(
        nn.Conv3d(1, 8, 3, padding=1, stride=2), nn.GELU(), nn.Conv3d(8, 1, 1), nn.Upsample(scale_factor=2.0)
    )
    for name, network in (
        ("1x1x1 convolution (all overhead)", nn.Conv3d(1, 1, 1)),
        ("small convolutional network", small),
    ):
        network.eval()
        with torch.inference_mode():
            _compare(name, network, volume, patch, arguments.runs)


def _compare(name: str, network: nn.Module, volume: np.ndarray, patch: tuple[int, ...], runs: int) -> None:
    settings = WindowSettings(overlap=0.5, blend="gaussian", average="logits", batch_size=4)
    sweep = Sweep(volume.shape, patch, settings, rows=(0, volume.shape[1]))
    windows = count_windows(sweep, 0)
    ways = {
        PURE: lambda: _pure(sweep, network, volume),
        "scroll.inference.sliding_window": lambda: _ours(sweep, network, volume),
        "monai sliding_window_inference": lambda: _monai(network, volume, patch),
    }
    times = in_turns(ways, runs, warm=0)
    base = times[PURE].median

    def extra(one: Times) -> str:
        return f"{(one.median - base) / windows * 1e3:+6.2f} ms a window"

    print(f"\n{name}: volume {volume.shape}, window {patch}, overlap 0.5, {windows} windows, {runs} runs")
    print(beside(times, PURE, extra))


def _read(volume: np.ndarray, patch: tuple[int, ...], corner: tuple[int, ...]) -> np.ndarray:
    return volume[tuple(slice(c, c + p) for c, p in zip(corner, patch, strict=True))][None]


def _pure(sweep: Sweep, network: nn.Module, volume: np.ndarray) -> None:
    corners = list(product(*sweep.starts()))
    size = sweep.settings.batch_size
    for i in range(0, len(corners), size):
        network(torch.from_numpy(np.stack([_read(volume, sweep.patch, c) for c in corners[i : i + size]])))


def _ours(sweep: Sweep, network: nn.Module, volume: np.ndarray) -> list[np.ndarray]:
    """The rows of the map as they are done; nobody puts them together, as no writer does."""
    done: list[np.ndarray] = []
    predict(sweep, lambda corner: _read(volume, sweep.patch, corner), network, lambda row, rows: done.append(rows))
    return done


def _monai(network: nn.Module, volume: np.ndarray, patch: tuple[int, ...]) -> Tensor:
    whole = torch.from_numpy(volume)[None, None]
    result: Tensor = torch.sigmoid(sliding_window_inference(whole, patch, 4, network, overlap=0.5, mode="gaussian"))
    return result

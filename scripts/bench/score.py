"""The surface score beside the packages that users would take, on the same pair of sheet volumes, in CPU seconds."""

import argparse
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from resource import RUSAGE_SELF, getrusage
from typing import Any

import numpy as np
import torch

from scripts.bench.timing import Times, repeated
from scroll.metrics.leaderboard import score_masks
from scroll.metrics.surface_dice import surface_dice
from scroll.metrics.topology import topology_counts
from scroll.metrics.voi import voi
from scroll.runtime.processes import single_threaded_processes

HOLES = {"typical": 12, "rich in tunnels": 1200}  # in the prediction; the label of the second kind has half of them


def run(arguments: argparse.Namespace) -> None:
    """Measure and print: the first call, ours on both kinds of volume, then each peer that can be imported."""
    size, runs = arguments.size, arguments.score_runs
    print(f"\nsurface score, volumes {size}x{size}x{size}, median CPU s of {runs} runs, one process each")
    print(f"  first call of all, nothing compiled yet: {_alone(_first_call_s, new_cache=True):.1f} CPU s")
    for kind in HOLES:
        print(f"  {kind}")
        for name, line in _alone(measure_ours, kind, size, runs).items():
            print(f"    {name:<44} {line}")
    if arguments.no_peers:
        return
    print("  peers, typical volume, once")
    for package, (name, peer) in PEERS.items():
        if find_spec(package) is None:
            print(f"    {name:<44} not installed, not measured")
        else:
            seconds, value = _alone(_measure_peer, peer, size)
            print(f"    {name:<44} {seconds:8.3f} CPU s   {value:.6f}")


def _alone(function: Callable[..., Any], *arguments: Any, new_cache: bool = False) -> Any:
    """Run in a process of its own with one thread, so that compiling and peak memory are its own."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {"NUMBA_CACHE_DIR": folder} if new_cache else {}
        with single_threaded_processes(1, **environment) as pool:
            return pool.submit(function, *arguments).result()


def draw_pair(kind: str, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Prediction and label, (Z, Y, X) bool: wavy sheets, 22 voxels apart and 3.5 thick; the prediction displaced.

    It has holes, bridges and specks besides, how many holes `HOLES` says.
    """
    rng = np.random.default_rng(0)
    z, y, x = (axis.astype(np.float32) for axis in np.ogrid[:size, :size, :size])
    sheet = np.hypot(y + 0.3 * size, x + 0.2 * size) + 4 * np.sin(z / 37) + 3 * np.sin(x / 29 + y / 41)
    shift = np.sin(z / 23 + 1) * np.cos(y / 31) + np.sin(x / 19)
    label = sheet % 22 < 3.5
    pred = (sheet + shift.astype(np.float32)) % 22 < 3.5
    for number in range(HOLES[kind]):
        box = _box(rng, size, 5)
        pred[box] = False
        if kind != "typical" and number % 2:
            label[box] = False
    for _ in range(6):
        pred[_box(rng, size, 12, thin=True)] = True
    for _ in range(60):
        pred[_box(rng, size, 1)] = True
    return pred, label


def _box(rng: np.random.Generator, size: int, edge: int, thin: bool = False) -> tuple[slice, ...]:
    corner = rng.integers(0, max(size - edge, 1), 3)
    lengths = (2, 2, edge) if thin else (edge, edge, edge)
    return tuple(slice(int(start), int(start) + length) for start, length in zip(corner, lengths, strict=True))


def _first_call_s() -> float:
    pair = draw_pair("rich in tunnels", 96)
    return repeated(lambda: score_masks(*pair), 1).median


def measure_ours(kind: str, size: int, runs: int) -> dict[str, str]:
    """What each part costs after one call on a small pair, as printable lines."""
    score_masks(*draw_pair("rich in tunnels", 96))
    pred, label = draw_pair(kind, size)
    drawing_gib = getrusage(RUSAGE_SELF).ru_maxrss / 2**20
    lines = {}
    for name, part in (
        ("surface Dice", lambda: surface_dice(pred, label)),
        ("surface Dice and VOI", lambda: (surface_dice(pred, label), voi(pred, label))),
        ("topology", lambda: topology_counts(pred, label)),
        ("whole score", lambda: score_masks(pred, label)),
    ):
        lines[name] = repeated(part, runs).in_words
    score = score_masks(pred, label)
    lines["the score, and (matched, predicted, label)"] = f"{score.score:.6f}  {score.counts}"
    peak_gib = getrusage(RUSAGE_SELF).ru_maxrss / 2**20
    lines["peak memory of the process"] = f"{peak_gib:8.2f} GiB   (drawing the volumes: {drawing_gib:.2f})"
    return lines


def _measure_peer(peer: Callable[[np.ndarray, np.ndarray], float], size: int) -> tuple[float, float]:
    pair = draw_pair("typical", size)
    times, values = Times(), []
    with times.one():
        values.append(peer(*pair))
    return times.median, values[0]


def _surface_distance(pred: np.ndarray, label: np.ndarray) -> float:
    import surface_distance  # type: ignore[import-not-found]

    distances = surface_distance.compute_surface_distances(label, pred, (1, 1, 1))
    return float(surface_distance.compute_surface_dice_at_tolerance(distances, 2.0))


def _monai(pred: np.ndarray, label: np.ndarray) -> float:
    from monai.metrics.surface_dice import compute_surface_dice

    one_hot = [torch.from_numpy(mask)[None, None] for mask in (pred, label)]
    dice = compute_surface_dice(*one_hot, [2.0], include_background=True, spacing=(1, 1, 1), use_subvoxels=True)
    return float(dice)


def _skimage(pred: np.ndarray, label: np.ndarray) -> float:
    from skimage.measure import label as components
    from skimage.metrics import variation_of_information

    pieces = [components(mask, connectivity=3) for mask in (pred, label)]
    either = pred | label
    return float(np.sum(variation_of_information(*(piece[either] for piece in pieces))))


PEERS: dict[str, tuple[str, Callable[[np.ndarray, np.ndarray], float]]] = {
    "surface_distance": ("surface-distance, surface Dice", _surface_distance),
    "monai": ("MONAI compute_surface_dice(use_subvoxels=True)", _monai),
    "skimage": ("scikit-image label + variation_of_information", _skimage),
}

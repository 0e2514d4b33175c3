"""Calibration against the phantom's truth after training on noisy grey labels, kept soft and cut at one half.

    python -m scripts.bench.soft_labels [--seeds 1 2 3] [--steps 200]

Labels are the mean of five imagined annotators (scroll/phantom/annotators.py), who each miss a quarter of the letters, or, cautious, six
of ten. Everything is predicted out of fold.
"""

import argparse
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ensemble.ink.predictors import flat_map
from scripts.bench.small_runs import SMALL_UNET, training_of
from scroll.config.labels import LabelVersions
from scroll.config.schema import Settings
from scroll.data.fragments import Fragment, training_fragments
from scroll.metrics.calibration import BINS
from scroll.metrics.fbeta import LEVELS, confusion_at_levels, fbeta, level_counts
from scroll.phantom.annotators import annotated
from scroll.phantom.dataset import make_fragments
from scroll.phantom.settings import fragment_settings
from scroll.runtime.command_line import run_command, whole
from scroll.volumes.masks import read_mask_png
from stage1_3d.train import train_stage1

SIZE_ZYX, FRAGMENTS, LETTER_PX, BLOCK_PX, DRAWS, CLIP = (65, 384, 384), 4, 90.0, 32, 2000, 1e-4
MISSED = {1: 0.25, 2: 0.6}  # by the version of the label: what an annotator misses
SOFT, CUT = "soft", "cut at 128"
ARMS: dict[str, object] = {SOFT: "soft", CUT: 128}
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Found:
    """Of an arm: log loss and pixels of each block (B,), its histogram (B, 2, LEVELS)."""

    loss: Floats
    pixels: Floats
    levels: NDArray[np.int64]


def main() -> None:
    """Read the command line, train every arm on every seed's phantom, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--seeds", type=whole(0, 2**31), nargs="+", default=[1, 2, 3], help="a phantom and a training each"
    )
    parser.add_argument("--steps", type=whole(1, 10**6), default=200, help="of each fold (%(default)s)")
    arguments = parser.parse_args()
    by_seed: list[Mapping[int, Mapping[str, Found]]] = []
    for seed in arguments.seeds:
        with tempfile.TemporaryDirectory() as folder:
            by_seed.append(of_seed(Path(folder), seed, arguments.steps))
        for version, found in by_seed[-1].items():
            print(f"seed {seed}, each annotator misses {MISSED[version]:.0%}", flush=True)
            _say(found)
    for version, missed in MISSED.items() if len(by_seed) > 1 else ():
        print(f"all seeds, each annotator misses {missed:.0%}")
        _say({arm: _together([one[version][arm] for one in by_seed]) for arm in ARMS})


def of_seed(root: Path, seed: int, steps: int) -> dict[int, dict[str, Found]]:
    """Draw fragments and their annotators, train each arm on each version, and compare its out-of-fold maps with the truth."""
    how = fragment_settings("easy", SIZE_ZYX, letter_height_px=LETTER_PX)
    make_fragments(root / "data", how, seed, train=FRAGMENTS, test=0, jobs=1)
    for number, folder in enumerate(sorted((root / "data" / "train").iterdir())):
        ink = read_mask_png(folder / "inklabels.png")
        for version, missed in MISSED.items():
            grey = annotated(ink, (seed, number), missed_share=missed)
            Image.fromarray(grey).save(folder / f"inklabels_v{version}.png")
    found: dict[int, dict[str, Found]] = {}
    for version in MISSED:
        for arm, greys in ARMS.items():
            labels = {"label_versions": {"inklabels": version}, "grey_labels": greys}
            settings = _settings(root, f"{arm.split()[0]}{version}", labels, seed, steps)
            train_stage1(settings)
            found.setdefault(version, {})[arm] = _compared(settings)
    return found


def _settings(root: Path, arm: str, labels: dict[str, object], seed: int, steps: int) -> Settings:
    """The demo's U-Net at half of the resolution, two folds of two fragments each; pooled as it is flattened, by cross-entropy alone."""
    training = training_of(steps, 30)
    member = SMALL_UNET | {
        "patch_size": [16, 64, 64], "pool": "max", "foreground_share": 0.2, "training": training,
        "loss": {"bce": 1.0, "dice": 0.0}, "augment": {"quarter_turns": False, "layer_dropout": 0, "cutout": 0},
    }  # fmt: skip
    data = {"root": root / "data", "cache_dir": root / "cache", "depth": [-12, 4], "bin_yx": 2} | labels
    window = {"overlap": 0.5, "tta": "none", "batch_size": 8}
    return Settings.model_validate(
        {
            "run_dir": root / arm, "seed": seed, "data": data,
            "stage1": {"members": {"unet": member}, "flatten": {"reduce": "max"}, "window": window},
        }
    )  # fmt: skip


def _compared(settings: Settings) -> Found:
    """Block by block of what is papyrus, against the letters as they were drawn."""
    drawn = {"label_versions": LabelVersions(inklabels=0), "grey_labels": "refuse"}
    truths = training_fragments(settings.data.model_copy(update=drawn))
    return _together([_blocks(settings, truth) for truth in truths])


def _blocks(settings: Settings, truth: Fragment) -> Found:
    prob = flat_map(settings.folder.oof("unet", truth.id), "unet", "train first")
    ink, known = truth.label.ink, ~truth.label.ignore
    sure = np.clip(np.where(ink, prob, 1 - prob).astype(np.float64), CLIP, 1)
    loss, pixels, levels = [], [], []
    for y in range(0, prob.shape[0], BLOCK_PX):
        for x in range(0, prob.shape[1], BLOCK_PX):
            box = slice(y, y + BLOCK_PX), slice(x, x + BLOCK_PX)
            if known[box].any():
                loss.append(-float(np.log(sure[box][known[box]]).sum()))
                pixels.append(float(known[box].sum()))
                levels.append(level_counts(prob[box], ink[box], known[box]))
    return Found(np.array(loss), np.array(pixels), np.stack(levels))


def _together(parts: list[Found]) -> Found:
    return Found(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("loss", "pixels", "levels")))


def _say(found: Mapping[str, Found]) -> None:
    """Log loss, expected calibration error and the best F0.5 of every arm, and what soft labels gain, with 95 % intervals."""
    rng = np.random.default_rng(0)
    blocks = len(found[SOFT].pixels)
    times = np.stack([np.bincount(rng.integers(blocks, size=blocks), minlength=blocks) for _ in range(DRAWS)])
    drawn = {arm: _figures(one, times) for arm, one in found.items()}
    whole_sheet = {arm: _figures(one, np.ones((1, blocks), np.int64)) for arm, one in found.items()}
    for arm, one in found.items():
        loss, error = (float(part[0]) for part in whole_sheet[arm])
        f05 = float(np.max(fbeta(*confusion_at_levels(one.levels.sum(axis=0)))))
        print(f"  {arm:<11} log loss {loss:.4f}  calibration error {error:.4f}  best F0.5 {f05:.4f}")
    for number, name in enumerate(("log loss", "calibration error")):
        gain = float(whole_sheet[CUT][number][0] - whole_sheet[SOFT][number][0])
        low, high = np.quantile(drawn[CUT][number] - drawn[SOFT][number], (0.025, 0.975))
        print(f"  soft labels lower the {name} by {gain:+.4f} ({low:+.4f} to {high:+.4f}), {blocks} blocks")


def _figures(one: Found, times: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Log loss and calibration error of each draw, both (D,); `times` (D, B) is how often a block comes up."""
    loss = (times @ one.loss) / (times @ one.pixels)
    edges = np.ceil(np.arange(BINS) * LEVELS / BINS - 0.5).astype(
        np.int64
    )  # as `scroll.metrics.calibration.reliability` bins
    coarse = np.add.reduceat(one.levels, edges, axis=2)  # (B, 2, bins)
    centre = (np.arange(LEVELS) + 0.5) / LEVELS
    claimed = np.add.reduceat(one.levels.sum(axis=1) * centre, edges, axis=1)  # (B, bins)
    counts = np.einsum("db,bkn->dkn", times, coarse)
    gap = np.abs(times @ claimed - counts[:, 1])
    return loss, gap.sum(axis=1) / counts.sum(axis=(1, 2))


if __name__ == "__main__":
    run_command(main)

"""What test-time depth windows and a checkpoint soup bring on phantoms, out of fold and on fragments that no network saw.

    python -m scripts.bench.depth_and_soup [--seeds 21 22 23] [--steps 200]

F0.5 is at the threshold that is best out of fold, each arm at its own. A gain is over the plain arm, with a 95 % interval from a paired
bootstrap over blocks of about a letter; "better" and "worse" are gains whose interval leaves out 0.
"""

import argparse
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ensemble.ink.predictors import flat_map
from scripts.bench.small_runs import SMALL_UNET, training_of
from scroll.config.schema import Settings
from scroll.data.folds import Parts, held_out_parts, make_folds
from scroll.data.fragments import Fragment, find_fragments
from scroll.metrics.fbeta import confusion_at_levels, fbeta, level_counts
from scroll.phantom.dataset import make_fragments
from scroll.phantom.settings import fragment_settings
from scroll.runtime.command_line import run_command, whole
from stage1_3d.predict import predict_fragment
from stage1_3d.train import train_stage1

SIZE_ZYX, TRAINED, HELD_OUT, LETTER_PX, BLOCK_PX, DRAWS, CLIP = (65, 384, 384), 4, 2, 90.0, 48, 2000, 1e-4
PLAIN = "plain"
ARMS: dict[str, tuple[int, tuple[int, ...]]] = {  # the soup, and the depth offsets
    PLAIN: (0, ()),
    "offsets -2 2": (0, (-2, 2)),
    "offsets -4 -2 2 4": (0, (-4, -2, 2, 4)),
    "soup 5": (5, ()),
    "soup 5, offsets -2 2": (5, (-2, 2)),
}
WHERE = ("out of fold", "held out")
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Found:
    """Of an arm, block by block: summed log loss (B,), pixels (B,), and true, false and missed ink (B, 3) at its threshold."""

    loss: Floats
    pixels: Floats
    confusion: Floats


def main() -> None:
    """Read the command line, train and predict every arm on every seed's phantom, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--seeds", type=whole(0, 2**31), nargs="+", default=[21, 22, 23], help="a phantom and a training each"
    )
    parser.add_argument("--steps", type=whole(20, 10**6), default=200, help="of each fold (%(default)s)")
    arguments = parser.parse_args()
    by_seed: list[Mapping[str, Mapping[str, Found]]] = []
    for seed in arguments.seeds:
        with tempfile.TemporaryDirectory() as folder:
            by_seed.append(of_seed(Path(folder), seed, arguments.steps))
        _say(f"seed {seed}", by_seed[-1])
    if len(by_seed) > 1:
        _say(
            "all seeds",
            {arm: {where: _together([one[arm][where] for one in by_seed]) for where in WHERE} for arm in ARMS},
        )


def of_seed(root: Path, seed: int, steps: int) -> dict[str, dict[str, Found]]:
    """Draw fragments, train without and with a soup, and predict every arm: by arm, then by where."""
    how = fragment_settings("easy", SIZE_ZYX, letter_height_px=LETTER_PX)
    make_fragments(root / "data", how, seed, train=TRAINED + HELD_OUT, test=0, jobs=1)
    ids = sorted(folder.name for folder in (root / "data" / "train").iterdir())
    found = {}
    for arm, (soup, offsets) in ARMS.items():
        settings = _settings(root, ids[:TRAINED], soup, seed, steps)
        train_stage1(settings)  # once for each soup
        window = settings.stage1.window.model_copy(update={"depth_offsets": offsets})
        looking = settings.model_copy(update={"stage1": settings.stage1.model_copy(update={"window": window})})
        found[arm] = _arm(looking, ids, root / "maps" / arm.replace(" ", "_"))
    return found


def _settings(root: Path, ids: list[str], soup: int, seed: int, steps: int) -> Settings:
    """The demo's U-Net at half of the resolution, two folds of two fragments each."""
    training = training_of(steps, 30, soup=soup)
    member = SMALL_UNET | {
        "patch_size": [16, 64, 64], "pool": "max", "foreground_share": 0.3, "training": training,
        "augment": {"quarter_turns": False, "layer_dropout": 0, "cutout": 0},
    }  # fmt: skip
    data = {"root": root / "data", "train": ids, "cache_dir": root / "cache", "depth": [-12, 4], "bin_yx": 2}
    window = {"overlap": 0.5, "tta": "none", "batch_size": 8}
    return Settings.model_validate(
        {
            "run_dir": root / f"soup{soup}", "seed": seed, "data": data,
            "stage1": {"members": {"unet": member}, "flatten": {"reduce": "max"}, "window": window},
        }
    )  # fmt: skip


def _arm(settings: Settings, ids: list[str], output: Path) -> dict[str, Found]:
    """Each trained fragment by the fold that held it out, the others by all folds; one threshold, the best out of fold."""
    fragments = find_fragments(settings.data.root / "train", settings.data, ids)
    folds = make_folds(fragments[:TRAINED], settings.folds)
    blocks: dict[str, list[tuple[float, float, NDArray[np.int64]]]] = {where: [] for where in WHERE}
    for number, fragment in enumerate(fragments):
        everyone: Parts = [((0, fragment.rows), [fold.number for fold in folds])]
        parts = held_out_parts(folds, fragment.id) if number < TRAINED else everyone
        predict_fragment(settings, "unet", fragment, output / fragment.id, parts, f"{output.name}, {fragment.id}")
        blocks[WHERE[number >= TRAINED]] += _blocks(fragment, output / fragment.id)
    levels = {where: np.stack([one[2] for one in found]) for where, found in blocks.items()}
    best = int(np.argmax(fbeta(*confusion_at_levels(levels[WHERE[0]].sum(axis=0)))))
    return {
        where: Found(
            np.array([one[0] for one in found]),
            np.array([one[1] for one in found]),
            np.array([[part[best] for part in confusion_at_levels(one)] for one in levels[where]], np.float64),
        )
        for where, found in blocks.items()
    }


def _blocks(truth: Fragment, folder: Path) -> list[tuple[float, float, NDArray[np.int64]]]:
    prob, ink, known = flat_map(folder, "unet", "predict first"), truth.label.ink, ~truth.label.ignore
    sure = np.clip(np.where(ink, prob, 1 - prob).astype(np.float64), CLIP, 1)
    found = []
    for y in range(0, prob.shape[0], BLOCK_PX):
        for x in range(0, prob.shape[1], BLOCK_PX):
            box = slice(y, y + BLOCK_PX), slice(x, x + BLOCK_PX)
            if known[box].any():
                counts = level_counts(prob[box], ink[box], known[box])
                found.append((-float(np.log(sure[box][known[box]]).sum()), float(known[box].sum()), counts))
    return found


def _together(parts: list[Found]) -> Found:
    return Found(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("loss", "pixels", "confusion")))


def _say(title: str, found: Mapping[str, Mapping[str, Found]]) -> None:
    """F0.5 and log loss of every arm, and what it gains over the plain one."""
    print(title)
    for where in WHERE:
        count = len(found[PLAIN][where].pixels)
        picks = np.random.default_rng(0).integers(count, size=(DRAWS, count))
        times = np.stack([np.ones(count, np.int64), *(np.bincount(pick, minlength=count) for pick in picks)])
        figures = {arm: _figures(one[where], times) for arm, one in found.items()}
        for arm, (f05, loss) in figures.items():
            line = f"  {where}, {count} blocks, {arm:<20} F0.5 {f05[0]:.4f}  log loss {loss[0]:.4f}"
            if arm != PLAIN:
                line += f"  F0.5 {_gain(f05 - figures[PLAIN][0])}  log loss {_gain(figures[PLAIN][1] - loss)}"
            print(line, flush=True)


def _gain(drawn: Floats) -> str:
    """A gain, of which the first is of all blocks and the others of draws, in words."""
    low, high = np.quantile(drawn[1:], (0.025, 0.975))
    verdict = "better" if low > 0 else "worse" if high < 0 else "inside noise"
    return f"gain {drawn[0]:+.4f} ({low:+.4f} to {high:+.4f}): {verdict}"


def _figures(one: Found, times: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """F0.5 and log loss of each draw, both (D,); `times` (D, B) is how often a block comes up."""
    hits, false, missed = (times @ one.confusion).T
    return np.asarray(fbeta(hits, false, missed), np.float64), (times @ one.loss) / (times @ one.pixels)


if __name__ == "__main__":
    run_command(main)

"""Phantoms that an imagined annotator labels patch by patch, and small runs on them: what measurements of label rounds stand on."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from scripts.bench.small_runs import SMALL_CNN, SMALL_SEGFORMER, SMALL_UNET, training_of
from scroll.config.schema import Settings
from scroll.data.labels import Label
from scroll.phantom.annotators import asked as labelled
from scroll.phantom.dataset import make_fragments
from scroll.phantom.settings import fragment_settings
from scroll.volumes.masks import read_mask_png

SIZE_ZYX, FRAGMENTS, BIN = (65, 512, 1536), 4, 4
OPEN_PX = 640  # columns; beyond them is the validation stripe, which is never trained on
START = 0.05  # share of the open area that is labelled at first
STEPS = (0.1, 0.2)  # ... and asked for by round
SEEN_FROM = 0.1  # share of ink in a patch from which on a person sees that there is a letter
PATCH_UM = 64 * 7.91 * 2  # 128 x 128 full-size pixels: 20 of them a sheet
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class World:
    """A phantom, the truth of each sheet (Y, X), and a seed; which share is labelled at first and asked for by round, and by whom."""

    root: Path
    truths: Mapping[str, Mask]
    seed: int
    start: float = START
    steps: tuple[float, ...] = STEPS
    arms: tuple[str, ...] = ()

    def closed(self, name: str) -> Mask:
        """The validation stripe of a sheet."""
        height, width = self.truths[name].shape
        return np.broadcast_to(np.arange(width) >= OPEN_PX, (height, width))


def drawn(root: Path, seed: int, preset: str, ink_share: float | None = None) -> World:
    """Fragments with full labels in <root>/data; `ink_share` of the papyrus bears ink where it is not the preset's."""
    if not (root / "data").exists():
        how = fragment_settings(preset, SIZE_ZYX)
        how = how if ink_share is None else replace(how, ink=replace(how.ink, share=ink_share))
        make_fragments(root / "data", how, seed, train=FRAGMENTS, test=0, jobs=1)
    folders = sorted((root / "data" / "train").iterdir())
    return World(root, {folder.name: read_mask_png(folder / "inklabels.png") for folder in folders}, seed)


def settings_of(world: World, run: str, labels: str, ask: int = 1, propose_labels: bool = False) -> Settings:
    """A small CNN, a small U-Net and the demo's stage two; two folds of two fragments each."""
    training = training_of(160, 20)
    augment = {
        "quarter_turns": False,
        "brightness": 0.1,
        "contrast": 0.1,
        "noise": 0.1,
        "layer_dropout": 0,
        "cutout": 0,
    }
    how = {
        "patch_size": [16, 64, 64], "pool": "logsumexp", "training": training, "foreground_share": 0.4, "augment": augment,
    }  # fmt: skip
    members = {"cnn3d": SMALL_CNN | how, "unet3d": SMALL_UNET | how}
    stage2 = {
        "network": "segformer", "patch_size": [64, 64], "foreground_share": 0.25,
        "options": SMALL_SEGFORMER,
        "augment": augment | {"noise": 0.2},
        "training": training_of(80, 20, learning_rate=1e-3, train_batch_size=4),
        "window": {"overlap": 0.5, "tta": "none", "batch_size": 8},
    }  # fmt: skip
    return Settings.model_validate(
        {
            "run_dir": world.root / run, "seed": world.seed,
            "data": {
                "root": world.root / "data", "cache_dir": world.root / "cache", "depth": [-12, 4], "bin_yx": BIN,
                "labels": world.root / labels,
            },
            "folds": {"by": "fragment", "count": 2},
            "stage1": {"members": members, "flatten": {"reduce": "max"}, "window": {"overlap": 0.5, "tta": "none", "batch_size": 8}},
            "stage2": stage2, "preflight": {"mode": "off"},
            "rounds": {"ask": ask, "ask_um": PATCH_UM, "propose": propose_labels},
        }
    )  # fmt: skip


def first_labels(world: World, labels: str, share: float) -> None:
    """Label a share of the open area, patch by patch, as an annotator would: any patches in which a letter is to be seen, for that is where
    a person begins. The validation stripe is labelled as it is.
    """
    rng = np.random.default_rng([world.seed, 1])
    for name, ink in world.truths.items():
        boxes = boxes_of(world, name)
        count = len(boxes) if share >= 1 else max(1, round(share * len(boxes)))
        label = Label(np.zeros(ink.shape, bool), np.ones(ink.shape, bool))
        order = rng.permutation(len(boxes))
        with_letter = [number for number in order if ink[boxes[number]].mean() >= SEEN_FROM]
        for number in [*with_letter, *(number for number in order if number not in with_letter)][:count]:
            label, _ = painted_on(world, name, label, boxes[number])
        _save_first(world, world.root / labels / name, name, label)


def _save_first(world: World, folder: Path, name: str, label: Label) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    closed = world.closed(name)
    pictures = {
        "inklabels": np.where(closed, world.truths[name], label.target),
        "supervision_mask": ~label.ignore,
        "validation_mask": closed,
    }
    for kind, picture in pictures.items():
        Image.fromarray(picture.astype(np.uint8) * 255).save(folder / f"{name}_{kind}.png")


def boxes_of(world: World, name: str) -> list[tuple[slice, slice]]:
    """The patches of the open part of a sheet, (y, x) in full-size pixels."""
    edge = round(PATCH_UM / 7.91)
    height, width = world.truths[name].shape
    starts = [(y, x) for y in range(0, height, edge) for x in range(0, OPEN_PX, edge)]
    return [(slice(y, min(y + edge, height)), slice(x, min(x + edge, width))) for y, x in starts]


def painted_on(world: World, name: str, label: Label, box: tuple[slice, slice]) -> tuple[Label, float]:
    """A label with one more patch in it, and the seconds that this takes."""
    ink, seconds = labelled(world.truths[name], box, world.seed, 7.91)
    target, ignore = label.target.astype(bool), label.ignore.copy()
    is_open = ~world.closed(name)[box]
    target[box], ignore[box] = np.where(is_open, ink, target[box]), np.where(is_open, False, ignore[box])
    return Label(target, ignore), seconds

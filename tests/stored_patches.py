"""Patches with grey values as they are stored, which every augmentation can change, and a training on them that takes seconds.

Run as a script it trains in a process of its own: stored_patches.py FOLDER STEPS [KEY=VALUE of training ...]
"""

import sys
from dataclasses import dataclass
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch
from torch import Tensor, nn

from scroll.config.schema import AugmentSettings, MemberSettings, TrainingSettings
from scroll.data.augment.augment import NOTHING
from scroll.data.intensity import GreyScale, robust_z_score
from scroll.data.patch_dataset import PatchDataset
from scroll.data.sample import Sample, Space
from scroll.training.loop import Task

MOVING = {"flips": True, "quarter_turns": True, "across_sheets": True}
ALONE = {
    "nothing": {}, "symmetries": MOVING, "turn": {"turn_degrees": 40.0}, "zoom": {"zoom": 0.3}, "elastic": {"elastic_vox": 2.0},
    "intensity": {"brightness": 0.3, "contrast": 0.3}, "blur": {"blur": 1.5}, "noise": {"noise": 0.3}, "layers": {"layer_dropout": 1.0},
    "cutout": {"cutout": 1.0}, "mixup": {"mixup": 0.6}, "cutmix": {"cutmix": 0.6}, "both": {"mixup": 0.6, "cutmix": 0.6},
    "depth": {"depth_cut_paste": 0.7},
}  # fmt: skip
CHANCES = dict.fromkeys(("warp_chance", "blur_chance", "noise_chance", "intensity_chance"), 0.7)
EVERYTHING = {name: value for one in ALONE.values() for name, value in one.items()} | CHANCES
LABELS = ("flat", "layers", "soft", "proposed")


@dataclass(frozen=True)
class Drawn:
    """The grey values of an item that is one patch."""

    grey_scale: GreyScale
    grey_sample: np.ndarray


class Patches(PatchDataset):
    """Patches of grey values as they are stored, and smooth enough labels, all of the random numbers that are given."""

    streams = (6, 7)

    def __init__(self, space: Space, label: str = "layers", types: tuple[str, ...] = ("uint8",), **how: object) -> None:
        self.size = how.pop("size", (8, 24, 24))
        self.space, self.label, self.types = space, label, types
        asked = {"augment": NOTHING.model_copy(update=how.pop("augment", {})), "loss": how.pop("loss", {})}
        is_training = bool(how.pop("is_training", True))
        super().__init__(MemberSettings(network="cnn3d", patch_size=self.size, **asked), 5, is_training)

    def cut(self, rng: np.random.Generator, augment: AugmentSettings, turn: int = 0) -> Sample:
        """A patch; what type it is stored in is drawn too."""
        dtype = np.dtype(self.types[int(rng.integers(len(self.types)))])
        smooth = np.kron(rng.random([-(-n // 4) for n in self.size]), np.ones((4, 4, 4)))[tuple(map(slice, self.size))]
        grey_scale = (120.0, 31.0) if dtype.itemsize == 1 else (30000.0, 4000.0)
        raw = np.clip(grey_scale[0] + grey_scale[1] * 3 * (smooth - 0.5), 0, None).astype(dtype)
        raw[0, 0, :2] = 0, 65535 if dtype.itemsize > 1 else 255  # some of it beyond what is cut off
        shown = smooth if self.space is Space.SCROLL or self.label == "layers" else smooth[0]
        target = shown > 0.5
        if self.label == "soft":
            is_grey = rng.random() < 0.7
            target = np.clip(2 * shown - 0.5, 0, 1).astype(np.float32) if is_grey else target.astype(np.float32)
        seen_as = self.seen_as("drawn", Drawn(grey_scale, raw))
        image = robust_z_score(raw, grey_scale) if seen_as is None else seen_as.scaled(raw)
        proposed = rng.random(target.shape) < 0.3 if self.label == "proposed" else None
        return Sample(image, target, rng.random(target.shape) < 0.1, proposed, grey_scale)


def assert_left_to_the_device_they_are_the_same(patches: PatchDataset, numbers: list[int]) -> dict[str, torch.dtype]:
    """Patches, not noisy, of a loading process and by batches: images within 1e-4, labels equal. Returns the types that are sent."""
    deferred = patches.deferred()
    items = [deferred[n] for n in numbers]
    found = deferred.finish(deferred.collate(items), torch.device("cpu"))
    for number, n in enumerate(numbers):
        plain = patches[n]
        assert found.keys() == plain.keys()
        for name, tensor in plain.items():
            there = found[name][number]
            assert there.dtype == tensor.dtype and there.shape == tensor.shape, name
            torch.testing.assert_close(there, tensor, atol=1e-4 if tensor.dtype == torch.float32 else 0, rtol=0)
    return {name: part.dtype for name, part in items[0].items() if isinstance(part, Tensor)}


def error_where_known(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    return ((model(batch["ct"])[:, 0] - batch["target"].float()).square() * ~batch["ignore"]).mean()


def stored_task(folder: Path, **how: object) -> Task:
    """A convolution on boxes of uint8 and uint16, everything on."""
    torch.manual_seed(0)
    on = EVERYTHING | {"depth_cut_paste": 0.0}
    patches = Patches(Space.SCROLL, "soft", ("uint8", "uint16"), size=(8, 16, 16), augment=on, **how)
    return Task(
        label="stored",
        folder=folder,
        key="key",
        seed=3,
        model=nn.Conv3d(1, 1, 3, padding=1),
        loss_of=error_where_known,
        train=patches,
        validation=Patches(Space.SCROLL, "soft", size=(8, 16, 16), is_training=False),
        about={"network": "conv"},
        made_with={"axes": "zyx"},
    )


def training_on(augment_on: str, **changes: object) -> TrainingSettings:
    plain = {"steps": 8, "train_batch_size": 3, "warmup_steps": 2, "precision": "fp32", "checkpoint_every": 3}
    return TrainingSettings.model_validate(plain | {"validate_every": 4, "augment_on": augment_on} | changes)


if __name__ == "__main__":
    from scroll.runtime.command_line import run_command
    from scroll.training.loop import fit

    def main() -> None:
        folder, steps, *changes = sys.argv[1:]
        more = dict(change.split("=") for change in changes)
        fit(stored_task(Path(folder)), training_on(more.pop("augment_on"), steps=int(steps), **more))

    run_command(main)

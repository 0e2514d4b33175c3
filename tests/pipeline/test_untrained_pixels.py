"""Whatever a label says where it is not known, held out, or off the papyrus: no weight and no validation loss changes by a bit."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn

import stage1_3d.train
import stage2_2d.ink.train
from ensemble.end_to_end.dataset import EndToEndPatches
from scroll.config.schema import AugmentSettings, DataSettings, MemberSettings, Settings, TrainingSettings
from scroll.data.augment.augment import augmented
from scroll.data.folds import make_folds
from scroll.data.fragments import Fragment, find_fragments
from scroll.data.sample import Sample, Space, as_item
from scroll.training.loop import LossOf, Task, fit
from stage1_3d.fragments.dataset import InkPatches
from stage2_2d.ink.dataset import StackPatches
from tests.data.scroll_fragments import write_fragment

SHAPE = (96, 80)
REGIONS = ("unsupervised", "validation", "off the papyrus")
AUGMENT = {"depth_jitter": 1, "turn_degrees": 20, "zoom": 0.2, "elastic_vox": 1, "mixup": 0.3, "cutmix": 0.3}
TRAINING = {
    "steps": 5, "train_batch_size": 2, "validation_batch_size": 2, "validation_patches": 4, "validate_every": 2, "warmup_steps": 1,
    "precision": "fp32", "loader": {"workers": 0, "pin_memory": False},
}  # fmt: skip
LOSS = {"bce": 0.5, "dice": 0.5, "skeleton_recall": 0.5}


def region(name: str) -> np.ndarray:
    there = np.zeros(SHAPE, bool)
    there[:, {"off the papyrus": slice(0, 8), "unsupervised": slice(8, 24), "validation": slice(56, 80)}[name]] = True
    return there


def fragments_of(root: Path, greys: bool, changed: str | None = None, **data: object) -> list[Fragment]:
    """Two fragments with labels of letters, or of greys; the label is the other way round in the region `changed`."""
    rng = np.random.default_rng(0)
    for name in ("1", "2"):
        coarse = rng.random((12, 10))
        ink = np.kron(np.where(coarse < 0.3, 1 - coarse if greys else 1.0, 0.1 * greys), np.ones((8, 8)))
        layers = rng.integers(0, 60_000, (8, *SHAPE), dtype=np.uint16)
        folder = write_fragment(root / "train" / name, layers, ~region("off the papyrus"))
        values = np.rint(255 * ink).astype(np.uint8)
        label = np.where(region(changed), 255 - values, values) if changed else values
        for kind, pixels in (
            ("inklabels", label),
            (f"{name}_supervision_mask", 255 * ~region("unsupervised")),
            ("validation_mask_v3", 255 * region("validation")),
        ):
            Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{kind}.png")
    how = {"root": root, "cache_dir": root / "cache", "depth": (-2, 2), "grey_labels": "soft" if greys else "refuse"}
    settings = DataSettings.model_validate(how | data)
    return find_fragments(root / "train", settings, margin=1)


def trained(folder: Path, patches: Callable[..., object], model: nn.Module, loss: LossOf) -> dict[str, list[bytes]]:
    """The bits of the weights after a few steps, and of every loss on the way."""
    task = Task(
        label="tiny", folder=folder, key="key", seed=3, model=model, loss_of=loss, train=patches(is_training=True),
        validation=patches(is_training=False), about={}, made_with={},
    )  # fmt: skip
    fit(task, TrainingSettings.model_validate(TRAINING))
    weights = load_file(folder / "weights.safetensors")
    history = [
        (line.get("loss"), line.get("validation_loss"))
        for line in map(json.loads, (folder / "history.jsonl").read_text().splitlines())
    ]
    assert any(validation is not None for _, validation in history)
    return {"weights": [weights[name].numpy().tobytes() for name in sorted(weights)], "history": history}


def convolutions(channels: int, axes: int) -> nn.Module:
    torch.manual_seed(0)
    conv = nn.Conv3d if axes == 3 else nn.Conv2d
    return nn.Sequential(conv(channels, 4, 3, padding=1), nn.ReLU(), conv(4, 1, 3, padding=1))


def settings_of(data: DataSettings) -> Settings:
    member = {"network": "cnn3d", "patch_size": (4, 32, 32), "augment": AUGMENT, "loss": LOSS, "training": TRAINING}
    stage2 = {"patch_size": (32, 32), "loss": LOSS, "augment": {**AUGMENT, "depth_jitter": 0}, "training": TRAINING}
    end_to_end = {"member": "a", "patch_size_yx": (32, 32), "training": TRAINING}
    return Settings.model_validate(
        {
            "run_dir": "none",
            "data": data,
            "stage1": {"members": {"a": member}},
            "stage2": stage2,
            "end_to_end": end_to_end,
        }
    )


def everything_trained(fragments: list[Fragment], out: Path) -> dict[str, dict[str, list[bytes]]]:
    """Stage one by depth pooling and in a band, stage two and end-to-end training, each on the first fold."""
    settings = settings_of(fragments[0].data)
    fold, found = make_folds(fragments, settings.folds)[0], {}
    member = settings.stage1.members["a"]
    for how in ("depth_pool", "band"):
        one = MemberSettings.model_validate(
            member.model_dump() | {"supervision": how, "ink_depth": (-1, 1), "network": "cnn3d"}
        )
        found[how] = trained(
            out / how,
            lambda is_training, one=one: InkPatches(fragments, fold, one, 1, is_training),
            convolutions(1, 3),
            stage1_3d.train.loss_of(one),
        )
    shape = fragments[0].label.target.shape
    stacks = [np.random.default_rng(1).standard_normal((2, *shape)).astype(np.float32) for _ in fragments]
    loss = stage2_2d.ink.train.loss_of(settings.stage2)
    found["stage2"] = trained(
        out / "stage2",
        lambda is_training: StackPatches(fragments, stacks, fold, settings.stage2, 1, is_training),
        convolutions(2, 2),
        loss,
    )
    found["end_to_end"] = trained(
        out / "end_to_end",
        lambda is_training: EndToEndPatches(settings, fragments, stacks, fold, is_training),
        convolutions(2 + 4, 2),
        loss,
    )
    return found


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, dict[str, dict[str, list[bytes]]]]:
    """By whether labels are grey."""
    made = {}
    for greys in (False, True):
        root = tmp_path_factory.mktemp("plain")
        made[greys] = everything_trained(fragments_of(root, greys), root / "out")
    return made


@pytest.mark.parametrize("changed", REGIONS)
@pytest.mark.parametrize("greys", [False, True], ids=["hard", "soft"])
def test_no_weight_and_no_validation_loss_sees_what_is_not_trained_on(plain, tmp_path, greys, changed):
    assert everything_trained(fragments_of(tmp_path, greys, changed), tmp_path / "out") == plain[greys]


def test_what_is_trained_on_does_change_them(plain, tmp_path):
    fragments = fragments_of(tmp_path, False, "validation")
    for fragment in fragments:
        (fragment.folder / "validation_mask_v3.png").unlink()
    found = everything_trained(fragments, tmp_path / "out")
    assert all(found[name] != plain[False][name] for name in found)


@pytest.mark.parametrize("bin_yx", [1, 2])
def test_soft_targets_that_are_0_and_1_train_to_the_same_bits_as_hard_ones(tmp_path, bin_yx):
    found = []
    for how in ("refuse", "soft"):
        fragments = fragments_of(tmp_path / how, False, bin_yx=bin_yx, grey_labels=how)
        assert fragments[0].label.target.dtype == (np.float32 if how == "soft" else bool)
        found.append(everything_trained(fragments, tmp_path / how / "out"))
    assert found[0] == found[1]


def test_greys_are_trained_on_as_greys(plain, tmp_path):
    found = everything_trained(fragments_of(tmp_path, True, grey_labels=128), tmp_path / "out")
    assert all(found[name] != plain[True][name] for name in found)


class Voxels(torch.utils.data.Dataset):
    """Boxes in scroll space, as of cubes: a third of the voxels is unlabelled, and `under` is what the target holds there."""

    def __init__(self, under: bool, is_training: bool) -> None:
        self.under, self.is_training = under, is_training

    def __len__(self) -> int:
        return 0 if self.is_training else 4

    def __getitem__(self, n: int) -> dict[str, Tensor]:
        rng = np.random.default_rng((n, self.is_training))
        augment = AugmentSettings.model_validate({**AUGMENT, "across_sheets": True, "depth_jitter": 0})
        settings = settings_of(DataSettings()).stage1.members["a"].loss
        return as_item(augmented(rng, self.cut, augment, Space.SCROLL), Space.SCROLL, settings)

    def cut(self, rng: np.random.Generator, augment: AugmentSettings) -> Sample:
        image = rng.standard_normal((16, 16, 16)).astype(np.float32)
        values = np.kron(rng.integers(0, 3, (4, 4, 4)), np.ones((4, 4, 4), np.int64))
        return Sample(image, np.where(values == 2, self.under, values == 1), values == 2)


def test_whatever_lies_under_unlabelled_voxels_of_a_cube_changes_no_weight(tmp_path):
    """A value of 2 is the label; the claim is of what a sample holds beneath."""
    member = settings_of(DataSettings()).stage1.members["a"].model_copy(update={"supervision": "band"})
    found = [
        trained(
            tmp_path / str(under),
            lambda is_training, under=under: Voxels(under, is_training),
            convolutions(1, 3),
            stage1_3d.train.loss_of(member),
        )
        for under in (False, True)
    ]
    assert found[0] == found[1]

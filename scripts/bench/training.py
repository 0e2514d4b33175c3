"""Patches a second of a loading process beside a raw memory map, and a training step in bf16 beside fp32."""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from scripts.bench.timing import Times, beside, in_turns
from scroll.config.schema import AugmentSettings, DataSettings, LossSettings, MemberSettings, TrainingSettings
from scroll.data.folds import Fold
from scroll.data.fragments import Fragment
from scroll.inference.fold_ensemble import has_bf16
from scroll.phantom.dataset import make_fragments
from scroll.phantom.settings import fragment_settings
from scroll.training.compile import in_layout
from scroll.training.dataloader import training_batches
from scroll.training.losses import loss_terms
from stage1_3d.fragments.dataset import InkPatches
from stage1_3d.network import build_network

PLAIN = {"depth_jitter": 0, "layer_dropout": 0, "cutout": 0, "noise": 0, "brightness": 0, "contrast": 0}


def run(arguments: argparse.Namespace) -> None:
    """Print both tables."""
    with tempfile.TemporaryDirectory() as folder:
        loading(Path(folder), arguments.patches)
    precision(tuple(arguments.step_patch), arguments.steps)


def loading(folder: Path, patches: int) -> None:
    """Time every layer of the way from disk to batch on a phantom fragment of 65 x 1024 x 1024 uint16, cut to 72^2 ... 136^2."""
    member, fragment = unet_member(), phantom_fragment(folder)
    training = ink_patches(fragment, member)
    shape = np.array(fragment.ct.shape)
    corners = (np.random.default_rng(0).random((patches, 3)) * (shape - member.patch_size + 1)).astype(int)
    mapped = _raw_map(folder, fragment)
    ways: dict[str, Callable[[int], Any]] = {
        "raw memory map, copied": lambda n: np.array(mapped[_box(corners[n], member.patch_size)]),
        "training cache (working copy)": lambda n: fragment.ct[_box(corners[n], member.patch_size)],
        "normalised, float32": lambda n: fragment.patch(
            int(corners[n][0]), int(corners[n][1]), int(corners[n][2]), member.patch_size
        ),
        "whole item, no augmentation": ink_patches(fragment, member, PLAIN).__getitem__,
        "whole item, default augmentation": training.__getitem__,
    }
    rates = {name: _rate(read, patches) for name, read in ways.items()}
    for workers in (1, 2):
        rates[f"loader, {workers} worker{'s' if workers > 1 else ''}, per worker"] = _loader_rate(
            training, workers, patches
        )
    limit = rates["raw memory map, copied"]
    print(f"patches of {member.patch_size} uint16 from {fragment.ct.shape}, one thread, page cache warm")
    for name, rate in rates.items():
        print(f"  {name:<36} {rate:8.1f} patches/s  {rate / limit:6.3f} of the memory map")


def _box(corner: np.ndarray, size: tuple[int, int, int]) -> tuple[slice, ...]:
    return tuple(slice(int(c), int(c) + s) for c, s in zip(corner, size, strict=True))


def unet_member() -> MemberSettings:
    """A U-Net on patches of 64 x 128 x 128."""
    return MemberSettings(network="unet3d", patch_size=(64, 128, 128))


def phantom_fragment(folder: Path) -> Fragment:
    """A phantom of 65 x 1024 x 1024 voxels, written into `folder`, with its working copy beside it."""
    make_fragments(folder, fragment_settings("default", (65, 1024, 1024)), 0, train=1, test=0)
    data = DataSettings(root=folder, depth=(-32, 32), cache_dir=folder / "cache")
    return Fragment("1", next((folder / "train").iterdir()), data)


def _raw_map(folder: Path, fragment: Fragment) -> np.ndarray:
    path = folder / "raw.npy"
    np.save(path, fragment.ct[:])
    return np.asarray(np.load(path, mmap_mode="r"))


def ink_patches(fragment: Fragment, member: MemberSettings, augment: dict[str, int] | None = None) -> Any:
    """Training patches of the fragment without end, augmented by default but for what `augment` sets."""
    changes = {"depth_jitter": 0} if augment is None else augment
    member = member.model_copy(update={"augment": AugmentSettings.model_validate(changes)})
    return InkPatches([fragment], Fold(0, {}, {}), member, 1, True)


def _rate(read: Callable[[int], Any], patches: int) -> float:
    for n in range(min(20, patches)):
        read(n)
    times = Times()
    with times.one():
        for n in range(patches):
            read(n)
    return patches / times.median


def _loader_rate(dataset: Any, workers: int, patches: int) -> float:
    """Patches a second of wall clock for each worker, the time that the processes need to start left out."""
    settings = TrainingSettings.model_validate({"loader": {"workers": workers}, "train_batch_size": 2})
    warm = 10 * workers
    batches = training_batches(dataset, [[2 * n, 2 * n + 1] for n in range(patches // 2 + warm)], settings)
    for _ in range(warm):
        next(batches)
    times = Times()
    with times.one():
        count = sum(2 for _ in batches)
    return count / times.wall[0] / workers


def precision(patch: tuple[int, int, int], steps: int) -> None:
    """Time a training step of a small U-Net (channels 8 to 64) in fp32 and in bf16 with channels last, in turn."""
    print(
        f"training step of a U-Net (8, 16, 32, 64), batch 1, patch {patch}, {torch.get_num_threads()} threads, median of {steps}"
    )
    print(
        f"  this processor computes bf16 {'itself' if has_bf16() else 'in software: expect it to be slower than fp32'}"
    )
    names = ("fp32", "fp32 + channels last", "bf16", "bf16 + channels last")
    print(beside(in_turns({name: _step(patch, name) for name in names}, steps), "fp32"))


def _step(patch: tuple[int, int, int], name: str) -> Callable[[], None]:
    options = {"channels": [8, 16, 32, 64], "strides": [[1, 1, 1], [2, 2, 2], [2, 2, 2], [2, 2, 2]]}
    is_last = name.endswith("last")
    torch.manual_seed(0)
    network: nn.Module = in_layout(
        build_network(MemberSettings(network="unet3d", options=options, patch_size=patch)), is_last
    )
    ct: torch.Tensor = in_layout(torch.randn(1, 1, *patch), is_last)
    batch = {"target": torch.rand(1, *patch) > 0.8, "ignore": torch.zeros(1, *patch, dtype=torch.bool)}
    optimiser = torch.optim.AdamW(network.parameters())

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=name.startswith("bf16")):
            loss = loss_terms(network(ct).squeeze(1), batch, LossSettings())
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()

    return step

"""Training patches of stage two: patch n is a pure function of (seed, n)."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from scroll.config.schema import AugmentSettings, Stage2Settings
from scroll.data.augment.augment import patch
from scroll.data.folds import Fold, check_no_leak
from scroll.data.patch_sampler import draw
from scroll.data.sample import Sample, Space, as_item
from scroll.data.sheets import Sheet

TRAINING, VALIDATION = 2, 3  # streams of random numbers, other than stage one's


class StackPatches(Dataset[dict[str, Tensor]]):
    """Patches of flattened stacks with their ink label.

    Item n is {"stack": (C, Y, X) float32, "target" and "ignore": (Y, X) bool, and like them "skeleton" where the loss asks
    for it}; training patches are augmented (with
    mixup the target is float32) and never touch the fold's closed rows, validation patches are plain and lie within the held-out rows.
    """

    space = Space.STACK

    def __init__(
        self,
        fragments: Sequence[Sheet],
        stacks: list[NDArray[np.float32]],
        fold: Fold,
        stage2: Stage2Settings,
        seed: int,
        is_training: bool,
    ) -> None:
        self.fragments, self.stacks, self.fold, self.stage2 = fragments, stacks, fold, stage2
        self.seed, self.is_training = seed, is_training
        self.labels = [f.label for f in fragments]
        self.sampler = fold.sampler(fragments, stage2.patch_size, stage2.ink_share, is_training)

    def __len__(self) -> int:
        return 0 if self.is_training else self.stage2.training.validation_patches

    def __getitem__(self, n: int) -> dict[str, Tensor]:
        """Patch number n."""
        rng = draw(self.seed, n, TRAINING if self.is_training else VALIDATION)
        augment = self.stage2.augment if self.is_training else None
        return as_item(patch(rng, self.cut, augment, self.space), self.space, self.stage2.loss)

    def cut(self, rng: np.random.Generator, augment: AugmentSettings) -> Sample:
        """A patch from the caller's random numbers, unchanged: channels are not layers, so `depth_jitter` is nothing.

        Raises:
            InputError: a training patch would see held-out rows.
        """
        place = self.sampler.place(rng)
        height, width = self.stage2.patch_size
        if self.is_training:
            check_no_leak(self.fold, self.fragments[place.source].id, place.y, place.y + height)
        window = (slice(place.y, place.y + height), slice(place.x, place.x + width))
        stack, label = self.stacks[place.source][:, *window], self.labels[place.source]
        return Sample(stack, label.target[window], label.ignore[window]).each(np.ascontiguousarray)

"""Training patches of stage two: patch n is a pure function of (seed, n)."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from scroll.augment import change_image, draw_symmetry
from scroll.config import Stage2Settings
from scroll.folds import Fold, check_no_leak
from scroll.patches import draw
from scroll.sheets import Sheet
from scroll.skeleton import skeleton_tube

TRAINING, VALIDATION = 2, 3  # streams of random numbers, other than stage one's


class StackPatches(Dataset[dict[str, Tensor]]):
    """Patches of flattened stacks with their ink label.

    Item n is {"stack": (C, Y, X) float32, "target" and "ignore": (Y, X) bool, and like them "skeleton" where the
    loss asks for it}; training patches are augmented and never
    touch the fold's closed rows, validation patches are plain and lie within the held-out rows.
    """

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
        place = self.sampler.place(rng)
        height, width = self.stage2.patch_size
        window = (slice(place.y, place.y + height), slice(place.x, place.x + width))
        stack, label = self.stacks[place.source][:, *window], self.labels[place.source]
        target, ignore = label.target[window], label.ignore[window]
        if self.is_training:
            check_no_leak(self.fold, self.fragments[place.source].id, place.y, place.y + height)
            symmetry = draw_symmetry(rng, self.stage2.augment, is_square=height == width)
            stack, target, ignore = symmetry.apply(stack), symmetry.apply(target), symmetry.apply(ignore)
            stack = change_image(rng, stack, self.stage2.augment)
        arrays = {"stack": np.ascontiguousarray(stack, np.float32), "target": target, "ignore": ignore}
        if self.stage2.loss.skeleton_recall:
            arrays["skeleton"] = skeleton_tube(target, ignore)
        return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}

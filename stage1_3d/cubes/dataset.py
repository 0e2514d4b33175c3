"""Training patches of stage one on cubes: boxes of CT with the surface that was labelled in them."""

from collections.abc import Sequence

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset

from scroll.config.schema import AugmentSettings, MemberSettings
from scroll.data.augment.augment import patch
from scroll.data.cubes import Cube
from scroll.data.folds import Fold, check_no_leak
from scroll.data.patch_sampler import draw
from scroll.data.sample import Sample, Space, as_item
from stage1_3d.cubes.boxes import CubeBoxes
from stage1_3d.fragments.dataset import TRAINING, VALIDATION


class CubePatches(Dataset[dict[str, Tensor]]):
    """Boxes of CT out of whole cubes.

    Item n is {"ct": (1, Z, Y, X) float32, "target" and "ignore": (Z, Y, X) bool, and like them "skeleton" where the loss
    asks for it}. Training boxes lie in cubes that the fold
    does not hold out, and are augmented; validation boxes lie in those it does, and are plain. What hangs over a cube
    repeats its edge and is ignored.
    """

    space = Space.SCROLL

    def __init__(
        self, cubes: Sequence[Cube], fold: Fold, member: MemberSettings, seed: int, is_training: bool, count: int
    ) -> None:
        self.fold, self.member = fold, member
        self.seed, self.is_training, self.count = seed, is_training, count
        self.boxes = CubeBoxes(cubes, fold, member, is_training)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, n: int) -> dict[str, Tensor]:
        """Patch number n."""
        rng = draw(self.seed, n, TRAINING if self.is_training else VALIDATION)
        augment = self.member.augment if self.is_training else None
        return as_item(patch(rng, self.cut, augment, self.space), self.space, self.member.loss)

    def cut(self, rng: np.random.Generator, augment: AugmentSettings) -> Sample:
        """A box from the caller's random numbers, unchanged: no axis of a cube is depth, so `depth_jitter` is nothing.

        Raises:
            InputError: a training box would lie in a held-out cube.
        """
        box = self.boxes.place(rng)
        if self.is_training:
            row = box.corner[1]
            check_no_leak(self.fold, box.cube.id, row, row + self.member.patch_size[1])
        return Sample(box.cube.patch(box.corner, self.member.patch_size), box.label.target, box.label.ignore)

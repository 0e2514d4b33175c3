"""Training patches of stage one on cubes: boxes of CT with the surface that was labelled in them."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from scroll.augment import change_image, draw_symmetry
from scroll.config import MemberSettings
from scroll.cubes import Cube
from scroll.folds import Fold, check_no_leak
from scroll.labels import Label
from scroll.patches import draw
from stage1_3d.cube_boxes import CubeBoxes
from stage1_3d.dataset import TRAINING, VALIDATION


class CubePatches(Dataset[dict[str, Tensor]]):
    """Boxes of CT out of whole cubes.

    Item n is {"ct": (1, Z, Y, X) float32, "target" and "ignore": (Z, Y, X) bool}. Training boxes lie in cubes that the fold
    does not hold out, and are augmented; validation boxes lie in those it does, and are plain. What hangs over a cube
    repeats its edge and is ignored.
    """

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
        box = self.boxes.place(rng)
        ct, label = box.cube.patch(box.corner, self.member.patch_size), box.label
        if self.is_training:
            row = box.corner[1]
            check_no_leak(self.fold, box.cube.id, row, row + self.member.patch_size[1])
            ct, label = self._augmented(rng, ct, label)
        return {
            "ct": torch.from_numpy(ct)[None],
            "target": torch.from_numpy(label.target),
            "ignore": torch.from_numpy(label.ignore),
        }

    def _augmented(
        self, rng: np.random.Generator, ct: NDArray[np.float32], label: Label
    ) -> tuple[NDArray[np.float32], Label]:
        symmetry = draw_symmetry(rng, self.member.augment, is_square=ct.shape[-1] == ct.shape[-2])
        changed = change_image(rng, symmetry.apply(ct), self.member.augment)
        return changed, Label(symmetry.apply(label.target), symmetry.apply(label.ignore))

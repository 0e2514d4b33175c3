"""Training patches of stage one on cubes: boxes of CT with the surface that was labelled in them."""

from collections.abc import Sequence

import numpy as np

from scroll.config.schema import AugmentSettings, MemberSettings
from scroll.data.cubes import Cube
from scroll.data.folds import Fold, check_no_leak
from scroll.data.patch_dataset import STAGE1, PatchDataset
from scroll.data.sample import Sample, Space
from stage1_3d.cubes.boxes import CubeBoxes


class CubePatches(PatchDataset):
    """Boxes of CT out of whole cubes, those that the fold holds out or the others.

    What hangs over a cube repeats its edge and is ignored.
    """

    space, streams = Space.SCROLL, STAGE1

    def __init__(self, cubes: Sequence[Cube], fold: Fold, member: MemberSettings, seed: int, is_training: bool) -> None:
        super().__init__(member, seed, is_training)
        self.fold, self.member = fold, member
        self.boxes = CubeBoxes(cubes, fold, member, is_training)

    def cut(self, rng: np.random.Generator, augment: AugmentSettings, turn: int = 0) -> Sample:
        """A box from the caller's random numbers, unchanged: no axis of a cube is depth, so `depth_jitter` is nothing.

        Raises:
            InputError: a training box would lie in a held-out cube.
        """
        box = self.boxes.place(rng)
        if self.is_training:
            row = box.corner[1]
            check_no_leak(self.fold, box.cube.id, row, row + self.member.patch_size[1])
        ct = box.cube.patch(box.corner, self.member.patch_size, self.seen_as(box.cube.id, box.cube))
        return Sample(ct, box.label.target, box.label.ignore, grey_scale=box.cube.grey_scale)

"""Patches of joint training, CT and flattened stack of the same place: patch n is a pure function of (seed, n)."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from ensemble.end_to_end.settings import joint_of
from scroll.config.schema import AugmentSettings, Settings
from scroll.data.augment.augment import change_image
from scroll.data.augment.symmetries import draw_symmetry
from scroll.data.folds import Fold, check_no_leak
from scroll.data.fragments import Fragment
from scroll.data.patch_dataset import END_TO_END
from scroll.data.patch_sampler import draw
from scroll.data.sample import Sample, Space, as_item


class JointPatches(Dataset[dict[str, Tensor]]):
    """Patches of CT and of stage two's channels at the same place, with their ink label.

    Item n is {"stack": (Z + C, Y, X) float32, the whole depth window of normalised CT and then stage two's channels,
    "target" and "ignore": (Y, X) bool}. Training patches never touch the fold's closed rows. Both are mirrored and turned
    by quarters alike, in ways that both settings allow; the grey values of the CT are changed as the member's settings say
    (contrast to cut-out, see `change_image`) and those of the channels as stage two's. Nothing else of `augment` is applied:
    no turns by other angles, zoom, elastic displacement, mixing or moving through depth, whatever the settings say.
    Validation patches are plain and lie within the held-out rows.

    `stacks` are (C, Y, X), one for each fragment; of each fragment's margin, the CT is shifted by up to as many layers.
    """

    def __init__(
        self,
        settings: Settings,
        fragments: Sequence[Fragment],
        stacks: Sequence[NDArray[np.float32]],
        fold: Fold,
        is_training: bool,
    ) -> None:
        joint = joint_of(settings)
        self.fragments, self.stacks, self.fold, self.is_training = fragments, stacks, fold, is_training
        self.seed, self.count = joint_seed(settings, fold), 0 if is_training else joint.training.validation_patches
        self.size = (settings.data.depth[1] - settings.data.depth[0], *joint.patch_size_yx)
        self.of_ct, self.of_stack = settings.stage1.members[joint.member].augment, settings.stage2.augment
        self.loss = settings.stage2.loss
        self.labels = [fragment.label for fragment in fragments]
        self.sampler = fold.sampler(fragments, joint.patch_size_yx, settings.stage2.ink_share, is_training)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, n: int) -> dict[str, Tensor]:
        """Patch number n."""
        rng = draw(self.seed, n, END_TO_END[0 if self.is_training else 1])
        place = self.sampler.place(rng)
        fragment, label = self.fragments[place.source], self.labels[place.source]
        shift = int(rng.integers(-fragment.margin, fragment.margin + 1)) if self.is_training else 0
        ct = fragment.patch(fragment.margin + shift, place.y, place.x, self.size)
        window = (slice(place.y, place.y + self.size[1]), slice(place.x, place.x + self.size[2]))
        stack, target, ignore = self.stacks[place.source][:, *window], label.target[window], label.ignore[window]
        if self.is_training:
            check_no_leak(self.fold, fragment.id, place.y, place.y + self.size[1])
            symmetry = draw_symmetry(rng, self._allowed_by_both(), Space.SHEET, ct.shape)
            target, ignore = symmetry.apply(target), symmetry.apply(ignore)
            ct = change_image(rng, symmetry.apply(ct), self.of_ct, Space.SHEET)
            stack = change_image(rng, symmetry.apply(stack), self.of_stack, Space.STACK)
        return as_item(Sample(np.concatenate([ct, stack]), target, ignore), Space.STACK, self.loss)

    def _allowed_by_both(self) -> AugmentSettings:
        return AugmentSettings(
            flips=self.of_ct.flips and self.of_stack.flips,
            quarter_turns=self.of_ct.quarter_turns and self.of_stack.quarter_turns,
        )


def joint_seed(settings: Settings, fold: Fold) -> int:
    """The seed of one fold's joint training, other than those of the two stages."""
    return settings.seed * 1000 + joint_of(settings).seed * 100 + fold.number + 75

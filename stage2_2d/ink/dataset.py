"""Training patches of stage two on flattened stacks."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from scroll.config.schema import AugmentSettings, Stage2Settings
from scroll.data.folds import Fold, check_no_leak
from scroll.data.patch_dataset import STAGE2, PatchDataset
from scroll.data.patch_sampler import Place
from scroll.data.sample import Sample, Space
from scroll.data.shares import Shares
from scroll.data.sheets import Sheet


class StackPatches(PatchDataset):
    """Patches of flattened stacks with their ink label; training patches never touch the fold's closed rows."""

    space, streams = Space.STACK, STAGE2

    def __init__(
        self,
        fragments: Sequence[Sheet],
        stacks: Sequence[NDArray[np.float32]],
        fold: Fold,
        stage2: Stage2Settings,
        seed: int,
        is_training: bool,
        shares: Shares | None = None,
    ) -> None:
        super().__init__(stage2, seed, is_training)
        self.fragments, self.stacks, self.fold, self.stage2 = fragments, stacks, fold, stage2
        self.labels = fold.labels(fragments, is_training, stage2.loss.proposed_weight)
        self.sampler = fold.sampler(fragments, stage2.patch_size, stage2.foreground_share, is_training, shares)

    def cut(self, rng: np.random.Generator, augment: AugmentSettings, turn: int = 0) -> Sample:
        """A patch from the caller's random numbers, unchanged: channels are not layers, so `depth_jitter` is nothing.

        Raises:
            InputError: a training patch would see held-out rows.
        """
        return self.at(self.sampler.place(rng, turn)).each(np.ascontiguousarray)

    def at(self, place: Place) -> Sample:
        """What is at a place.

        Raises:
            InputError: a training patch would see held-out rows.
        """
        height, width = self.stage2.patch_size
        if self.is_training:
            check_no_leak(self.fold, self.fragments[place.source].id, place.y, place.y + height)
        window = (slice(place.y, place.y + height), slice(place.x, place.x + width))
        stack, label = self.stacks[place.source][:, *window], self.labels[place.source].at(window)
        return Sample(stack, label.target, label.ignore, label.proposed)

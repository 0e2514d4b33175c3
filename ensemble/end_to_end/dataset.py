"""Patches of end-to-end training, CT and flattened stack of the same place: patch n is a pure function of (seed, n)."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ensemble.end_to_end.settings import end_to_end_of
from scroll.config.schema import AugmentSettings, Settings
from scroll.data.augment.augment import change_image
from scroll.data.augment.symmetries import draw_symmetry
from scroll.data.folds import Fold
from scroll.data.fragments import Fragment
from scroll.data.patch_dataset import END_TO_END
from scroll.data.patch_sampler import draw
from scroll.data.sample import Space, as_item
from scroll.data.shares import shares_of
from stage2_2d.ink.dataset import StackPatches


class EndToEndPatches(StackPatches):
    """Patches of CT and of stage two's channels at the same place, with their ink label.

    Item n is {"stack": (Z + C, Y, X) float32, the whole depth window of normalised CT and then stage two's channels,
    "target" and "ignore", and "proposed" where anything is: (Y, X) bool}. Training patches never touch the fold's closed rows.
    Both are mirrored and turned by quarters alike, in ways that both settings allow; the grey values of the CT are changed as the
    member's settings say (contrast to cut-out, see `change_image`) and those of the channels as stage two's. Nothing else of
    `augment` is applied: no turns by other angles, zoom, elastic displacement, mixing or moving through depth, whatever the
    settings say.
    Validation patches are plain and lie within the held-out rows.

    `stacks` are (C, Y, X), one for each fragment; of each fragment's margin, the CT is shifted by up to as many layers.
    """

    streams = END_TO_END
    fragments: Sequence[Fragment]

    def __init__(
        self,
        settings: Settings,
        fragments: Sequence[Fragment],
        stacks: Sequence[NDArray[np.float32]],
        fold: Fold,
        is_training: bool,
    ) -> None:
        end_to_end, depth = end_to_end_of(settings), settings.data.depth
        how = settings.stage2.model_copy(
            update={"patch_size": end_to_end.patch_size_yx, "training": end_to_end.training}
        )
        super().__init__(
            fragments,
            stacks,
            fold,
            how,
            end_to_end_seed(settings, fold),
            is_training,
            shares_of(fragments, settings.sampling),
        )
        self.size = (depth[1] - depth[0], *end_to_end.patch_size_yx)
        self.of_ct, self.of_stack = settings.stage1.members[end_to_end.member].augment, how.augment

    def __getitem__(self, n: int) -> dict[str, Tensor]:
        """Patch number n."""
        rng = draw(self.seed, n, self.streams[0 if self.is_training else 1])
        place = self.sampler.place(rng, n)
        fragment, sample = self.fragments[place.source], self.at(place)
        shift = int(rng.integers(-fragment.margin, fragment.margin + 1)) if self.is_training else 0
        ct = fragment.patch(fragment.margin + shift, place.y, place.x, self.size)
        if self.is_training:
            symmetry = draw_symmetry(rng, self._allowed_by_both(), Space.SHEET, ct.shape)
            ct = change_image(rng, symmetry.apply(ct), self.of_ct, Space.SHEET)
            sample = sample.each(symmetry.apply)
            sample = replace(sample, image=change_image(rng, sample.image, self.of_stack, Space.STACK))
        return as_item(replace(sample, image=np.concatenate([ct, sample.image])), self.space, self.loss)

    def deferred(self) -> None:
        """None: they are augmented here, for CT and channels lie in spaces of their own."""
        return

    def _allowed_by_both(self) -> AugmentSettings:
        return AugmentSettings(
            flips=self.of_ct.flips and self.of_stack.flips,
            quarter_turns=self.of_ct.quarter_turns and self.of_stack.quarter_turns,
        )


def end_to_end_seed(settings: Settings, fold: Fold) -> int:
    """The seed of one fold's end-to-end training, other than those of the two stages."""
    return settings.seed * 1000 + end_to_end_of(settings).seed * 100 + fold.number + 75

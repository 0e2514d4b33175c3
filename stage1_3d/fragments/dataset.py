"""Training patches of stage one on flattened fragments."""

import numpy as np

from scroll.config.schema import AugmentSettings, MemberSettings
from scroll.data.folds import Fold, check_no_leak
from scroll.data.fragments import Fragment
from scroll.data.labels import Label, ink_band
from scroll.data.patch_dataset import STAGE1, PatchDataset
from scroll.data.patch_sampler import Place
from scroll.data.sample import Sample, Space
from scroll.data.shares import Shares


class InkPatches(PatchDataset):
    """Patches of CT with their ink label: (Y, X) for depth-pooled supervision, (Z, Y, X) for a band.

    Training patches never touch the fold's closed rows; validation patches lie within the held-out rows.
    """

    space, streams = Space.SHEET, STAGE1

    def __init__(
        self,
        fragments: list[Fragment],
        fold: Fold,
        member: MemberSettings,
        seed: int,
        is_training: bool,
        shares: Shares | None = None,
    ) -> None:
        super().__init__(member, seed, is_training)
        self.fragments, self.fold, self.member = fragments, fold, member
        self.labels = fold.labels(fragments, is_training, member.loss.proposed_weight)
        self.sampler = fold.sampler(fragments, member.patch_size[1:], member.foreground_share, is_training, shares)

    def cut(self, rng: np.random.Generator, augment: AugmentSettings, turn: int = 0) -> Sample:
        """A patch from the caller's random numbers, unchanged but for the depth jitter.

        Raises:
            InputError: a training patch would see held-out rows.
        """
        place = self.sampler.place(rng, turn)
        fragment = self.fragments[place.source]
        jitter = min(augment.depth_jitter, fragment.margin)
        shift = int(rng.integers(-jitter, jitter + 1))
        if self.is_training:
            check_no_leak(self.fold, fragment.id, place.y, place.y + self.member.patch_size[1])
        first, seen_as = self._first_layer(fragment) + shift, self.seen_as(fragment.id, fragment)
        ct = fragment.patch(first, place.y, place.x, self.member.patch_size, seen_as)
        label = self._label(fragment, place, shift)
        return Sample(ct, label.target, label.ignore, label.proposed, fragment.grey_scale)

    def _first_layer(self, fragment: Fragment) -> int:
        """The patch's first layer in the working copy: the middle of the depth window, where the patch is thinner than it."""
        return (fragment.ct.shape[0] - self.member.patch_size[0]) // 2

    def _label(self, fragment: Fragment, place: Place, shift: int) -> Label:
        _, height, width = self.member.patch_size
        window = (slice(place.y, place.y + height), slice(place.x, place.x + width))
        flat = self.labels[place.source].at(window)
        if self.member.supervision == "depth_pool":
            return flat
        sheet_layer = -fragment.data.depth[0] + fragment.margin - self._first_layer(fragment) - shift
        return ink_band(flat, self.member.patch_size[0], sheet_layer, self.member.ink_depth)

"""Training patches of stage one: patch n is a pure function of (seed, n)."""

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset

from scroll.config.schema import AugmentSettings, MemberSettings
from scroll.data.augment.augment import patch
from scroll.data.folds import Fold, check_no_leak
from scroll.data.fragments import Fragment
from scroll.data.labels import Label, ink_band
from scroll.data.patch_sampler import Place, draw
from scroll.data.sample import Sample, Space, as_item

TRAINING, VALIDATION = 0, 1  # streams of random numbers


class InkPatches(Dataset[dict[str, Tensor]]):
    """Patches of CT with their ink label.

    Item n is {"ct": (1, Z, Y, X) float32, "target" and "ignore": bool, (Y, X) for depth-pooled supervision or (Z, Y, X) for a
    band, and like them "skeleton" where the loss asks for it}. Training patches are augmented (with mixup the target is
    float32) and never touch the fold's closed rows; validation patches are plain and lie within the held-out rows.
    """

    space = Space.SHEET

    def __init__(
        self, fragments: list[Fragment], fold: Fold, member: MemberSettings, seed: int, is_training: bool, count: int
    ) -> None:
        self.fragments, self.fold, self.member = fragments, fold, member
        self.seed, self.is_training, self.count = seed, is_training, count
        self.sampler = fold.sampler(fragments, member.patch_size[1:], member.ink_share, is_training)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, n: int) -> dict[str, Tensor]:
        """Patch number n."""
        rng = draw(self.seed, n, TRAINING if self.is_training else VALIDATION)
        augment = self.member.augment if self.is_training else None
        return as_item(patch(rng, self.cut, augment, self.space), self.space, self.member.loss)

    def cut(self, rng: np.random.Generator, augment: AugmentSettings) -> Sample:
        """A patch from the caller's random numbers, unchanged but for the depth jitter.

        Raises:
            InputError: a training patch would see held-out rows.
        """
        place = self.sampler.place(rng)
        fragment = self.fragments[place.source]
        jitter = min(augment.depth_jitter, fragment.margin)
        shift = int(rng.integers(-jitter, jitter + 1))
        if self.is_training:
            check_no_leak(self.fold, fragment.id, place.y, place.y + self.member.patch_size[1])
        ct = fragment.patch(self._first_layer(fragment) + shift, place.y, place.x, self.member.patch_size)
        label = self._label(fragment, place, shift)
        return Sample(ct, label.target, label.ignore)

    def _first_layer(self, fragment: Fragment) -> int:
        """The patch's first layer in the working copy: the middle of the depth window, where the patch is thinner than it."""
        return (fragment.ct.shape[0] - self.member.patch_size[0]) // 2

    def _label(self, fragment: Fragment, place: Place, shift: int) -> Label:
        _, height, width = self.member.patch_size
        window = (slice(place.y, place.y + height), slice(place.x, place.x + width))
        flat = Label(fragment.label.target[window], fragment.label.ignore[window])
        if self.member.supervision == "depth_pool":
            return flat
        sheet_layer = -fragment.data.depth[0] + fragment.margin - self._first_layer(fragment) - shift
        return ink_band(flat, self.member.patch_size[0], sheet_layer, self.member.ink_depth)

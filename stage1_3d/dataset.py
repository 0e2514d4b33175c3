"""Training patches of stage one: patch n is a pure function of (seed, n)."""

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from scroll.augment import change_image, draw_symmetry
from scroll.config import MemberSettings
from scroll.folds import Fold, check_no_leak
from scroll.fragments import Fragment
from scroll.labels import Label, ink_band
from scroll.patches import Place, draw
from scroll.skeleton import skeleton_tube

TRAINING, VALIDATION = 0, 1  # streams of random numbers


class InkPatches(Dataset[dict[str, Tensor]]):
    """Patches of CT with their ink label.

    Item n is {"ct": (1, Z, Y, X) float32, "target" and "ignore": bool, (Y, X) for depth-pooled supervision or (Z, Y, X) for a
    band, and like them "skeleton" where the loss asks for it}. Training patches are augmented and never touch the fold's
    closed rows; validation patches are plain and lie within the held-out rows.
    """

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
        place = self.sampler.place(rng)
        fragment = self.fragments[place.source]
        shift = int(rng.integers(-fragment.margin, fragment.margin + 1)) if self.is_training else 0
        ct = fragment.patch(self._first_layer(fragment) + shift, place.y, place.x, self.member.patch_size)
        label = self._label(fragment, place, shift)
        if self.is_training:
            check_no_leak(self.fold, fragment.id, place.y, place.y + self.member.patch_size[1])
            ct, label = self._augmented(rng, ct, label)
        arrays = {"ct": ct[None], "target": label.target, "ignore": label.ignore}
        if self.member.loss.skeleton_recall:
            arrays["skeleton"] = skeleton_tube(label.target, label.ignore)
        return {name: torch.from_numpy(array) for name, array in arrays.items()}

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

    def _augmented(self, rng: np.random.Generator, ct: np.ndarray, label: Label) -> tuple[np.ndarray, Label]:
        symmetry = draw_symmetry(rng, self.member.augment, is_square=ct.shape[-1] == ct.shape[-2])
        changed = change_image(rng, symmetry.apply(ct), self.member.augment)
        return changed, Label(symmetry.apply(label.target), symmetry.apply(label.ignore))

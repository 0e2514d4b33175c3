"""Patches by number, as a loader asks for them: patch n is a pure function of (seed, n)."""

from abc import ABC, abstractmethod
from functools import partial
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset

from scroll.config.schema import AugmentSettings, MemberSettings, Stage2Settings
from scroll.data.augment.augment import NOTHING, augmented
from scroll.data.intensity import AsStored, Intensity, Scaled
from scroll.data.patch_sampler import draw
from scroll.data.sample import Sample, Space, as_item

if TYPE_CHECKING:
    from scroll.data.deferred import DeferredPatches

STAGE1, STAGE2, END_TO_END = (0, 1), (2, 3), (4, 5)  # streams of random numbers, of training and of validation


class PatchDataset(Dataset[dict[str, Tensor]], ABC):
    """Patches with their label; a subclass says where one is cut, and what its axes are.

    Item n is {"ct": (1, Z, Y, X) or, in the space of stacks, "stack": (C, Y, X), float32; "target" and "ignore": bool, (Y, X)
    or (Z, Y, X), and like them "skeleton" where the loss asks for it, and "proposed" where any of the labels is}. Training
    patches are augmented (with mixup the target is float32) and see nothing that the fold holds out; validation patches are
    plain, lie within that, and see what people said there, where anybody said anything.

    Attributes:
        space: what the axes of a patch are.
        streams: of random numbers, for training and for validation, so that no two datasets of a seed draw alike.
        cuts_as_stored: whether patches are cut with the grey values that are stored, to be normalised by whoever augments them;
            those of a member with an `intensity` of its own are always scaled where they are cut.
    """

    space: ClassVar[Space]
    streams: ClassVar[tuple[int, int]]
    cuts_as_stored = False

    def __init__(self, how: MemberSettings | Stage2Settings, seed: int, is_training: bool) -> None:
        """`how` they are changed, what the loss asks of them, and how many are validated on."""
        self.seed, self.is_training = seed, is_training
        self.count = 0 if is_training else how.training.validation_patches  # training has no end
        self.augment, self.loss = how.augment if is_training else None, how.loss
        given = how.intensity if isinstance(how, MemberSettings) else None
        self.intensity = None if given is None else Intensity.of_settings(given)
        self.fixed: dict[str, Intensity] = {}  # by item

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, n: int) -> dict[str, Tensor]:
        """Patch number n."""
        rng, augment = self.rng_of(n), self.augment
        cut = partial(self.cut, turn=n)
        sample = cut(rng, NOTHING) if augment is None else augmented(rng, cut, augment, self.space)
        return as_item(sample, self.space, self.loss)

    def rng_of(self, n: int) -> np.random.Generator:
        """The random numbers of patch n."""
        return draw(self.seed, n, self.streams[0 if self.is_training else 1])

    def deferred(self) -> "DeferredPatches | None":
        """The same training patches, augmented in batches on the device that trains; None where they cannot be."""
        from scroll.data.deferred import DeferredPatches

        return None if self.augment is None else DeferredPatches(self, self.augment)

    def seen_as(self, name: str, item: Scaled) -> Intensity | AsStored | None:
        """How `cut` is to scale grey values of the item of that name; None: as robust z-scores of their own scale."""
        if self.intensity is None:
            return AsStored(Intensity.by_z_score(item.grey_scale)) if self.cuts_as_stored else None
        if name not in self.fixed:
            self.fixed[name] = self.intensity.fixed_for(item)
        return self.fixed[name]

    @abstractmethod
    def cut(self, rng: np.random.Generator, augment: AugmentSettings, turn: int = 0) -> Sample:
        """A patch from the caller's random numbers, unchanged but for the depth jitter of `augment`, where an axis is depth.

        `turn`: the patch's number, which says of which scroll it is where each has its share.
        """

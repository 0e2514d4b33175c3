"""Training patches whose augmentation is left to the device that trains: a loading process draws it, reads and cuts."""

import copy
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from scroll.config.schema import AugmentSettings, LossSettings
from scroll.data.augment.augment import put_together
from scroll.data.augment.draws import draw_changes
from scroll.data.augment.on_device import IGNORE, PROPOSED, TARGET, Cuts, Source, augmented_batch
from scroll.data.labels import is_grey
from scroll.data.sample import Sample, Space, as_item

Parts = dict[str, Any]  # of an item or a batch: tensors, and lists under these two names
SOURCES, CHANGES = "sources", "changes"  # names in a batch of what is no tensor


class Patches(Protocol):
    """Patches that are cut by number, as a `PatchDataset` does."""

    space: ClassVar[Space]
    cuts_as_stored: bool
    loss: LossSettings

    def rng_of(self, n: int) -> np.random.Generator:
        """The random numbers of patch n."""

    def cut(self, rng: np.random.Generator, augment: AugmentSettings, turn: int = 0) -> Sample:
        """A patch, not augmented."""


class DeferredPatches(Dataset[Parts]):
    """Patches by number, not augmented yet: patch n is a pure function of (seed, n).

    Item n is {"image": (P, L, Y, X), the one to three patches that it is made of, of the type that is stored or float32; "sources" and
    "changes": how each was cut, and what happens to them; "codes": (P, *label) uint8, and "shares": float32, where targets are}.
    Where the loss asks for skeletons, which are those of the moved label, labels are moved here, and the item holds "target",
    "ignore", "skeleton" and "proposed" (1, *label) in their place. What is drawn is what `augmented` draws.
    """

    def __init__(self, patches: Patches, augment: AugmentSettings) -> None:
        """Training patches, and how they are augmented; `patches` themselves stay as they are."""
        self.patches = copy.copy(patches)
        self.patches.cuts_as_stored = True
        self.augment, self.space = augment, patches.space

    def __getitem__(self, n: int) -> Parts:
        """Patch number n, not augmented yet."""
        rng, cut = self.patches.rng_of(n), partial(self.patches.cut, turn=n)
        samples, changes = draw_changes(rng, cut, self.augment, self.space)
        sources = [
            Source(
                None if sample.image.dtype == np.float32 else sample.grey_scale,
                is_grey(sample.target, sample.ignore),
                sample.proposed is not None,
            )
            for sample in samples
        ]
        images = _of_one_type([torch.from_numpy(np.array(sample.image[None], order="C")) for sample in samples])
        item: Parts = {SOURCES: sources, CHANGES: [changes], "image": images}
        if self.patches.loss.skeleton_recall:
            without_image = [replace(sample, image=sample.image[:0]) for sample in samples]
            label = as_item(put_together(without_image, changes, self.space), self.space, self.patches.loss)
            return item | {name: part[None] for name, part in label.items() if name not in ("ct", "stack")}
        item["codes"] = torch.from_numpy(np.stack([codes_of(sample) for sample in samples]))
        if any(sample.target.dtype != bool for sample in samples):
            item["shares"] = torch.from_numpy(np.stack([sample.target.astype(np.float32) for sample in samples]))
        return item

    def collate(self, items: Sequence[Parts]) -> Parts:
        """A batch of items, what they hold one behind the other; numbers (of whoever adds them) become (B,)."""
        batch: Parts = {}
        for name, first in items[0].items():
            parts = [item[name] for item in items]
            if isinstance(first, list):
                batch[name] = [one for part in parts for one in part]
            else:
                batch[name] = _of_one_type(parts) if first.ndim else torch.stack(parts)
        return batch

    def finish(self, batch: Parts, device: torch.device) -> dict[str, Tensor]:
        """A batch as the network sees it, on the device: what plain patches give, augmented here. One that is whole stays as it is."""
        parts = {
            name: part.to(device, non_blocking=True) for name, part in batch.items() if name not in (SOURCES, CHANGES)
        }
        if CHANGES not in batch:
            return parts
        cuts = Cuts(parts.pop("image"), parts.pop("codes", None), parts.pop("shares", None))
        done = augmented_batch(cuts, batch[SOURCES], batch[CHANGES], self.space)
        image = {"stack": done.image} if self.space is Space.STACK else {"ct": done.image[:, None]}
        label = {"target": done.target, "ignore": done.ignore, "proposed": done.proposed}
        return image | parts | {name: part for name, part in label.items() if part is not None}


def codes_of(sample: Sample) -> NDArray[np.uint8]:
    """A label as bits: target (a soft one from above 1/2 on), ignore mask, and what is proposed."""
    codes = (sample.target > 0.5).astype(np.uint8) * np.uint8(TARGET)
    codes |= sample.ignore.astype(np.uint8) * np.uint8(IGNORE)
    if sample.proposed is not None:
        codes |= sample.proposed.astype(np.uint8) * np.uint8(PROPOSED)
    return codes


def _of_one_type(parts: list[Tensor]) -> Tensor:
    """Parts one behind the other; as float32 where their types differ."""
    if len({part.dtype for part in parts}) > 1:
        parts = [part.float() for part in parts]
    return torch.cat(parts)

"""Training patches of stage one in scroll space: boxes of CT about traced sheets, with the ink label lifted into them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from scroll.config.schema import AugmentSettings, MemberSettings
from scroll.data.boxes import filled_up
from scroll.data.folds import Fold
from scroll.data.labels import Label
from scroll.data.patch_dataset import STAGE1, PatchDataset
from scroll.data.sample import Sample, Space
from scroll.data.segments import TracedVolume
from scroll.data.shares import Shares
from stage1_3d.segments.boxes import Box, Boxes
from stage1_3d.segments.lifted_labels import INK, UNKNOWN, open_lifted, soft_ink


@dataclass(frozen=True)
class LabelledVolume:
    """A volume, and where its lifted label is on disk: (Z, Y, X) uint8, 0 unknown, 1 no ink, 2 ink, or up to 255 where labels are soft.

    `proposed_path`: where its lifted proposals are; None where there are none in all of the data.
    """

    traced: TracedVolume
    label_path: Path
    proposed_path: Path | None = None

    @cached_property
    def lifted(self) -> Any:
        """The lifted label, opened when first asked for."""
        return open_lifted(self.label_path, self.traced.data.cache_mb)

    @cached_property
    def proposals(self) -> Any:
        """The lifted proposals, opened when first asked for; None where there are none."""
        return None if self.proposed_path is None else open_lifted(self.proposed_path, self.traced.data.cache_mb)

    def label(self, corner: Box, size: Box) -> Label:
        """The label of a box; what is beyond the volume is unknown."""
        box = tuple(slice(c, c + s) for c, s in zip(corner, size, strict=True))
        values = filled_up(self.lifted[box], size, beyond=UNKNOWN)
        target = soft_ink(values) if self.traced.data.grey_labels == "soft" else values == INK
        if self.proposals is None:
            return Label(target, values == UNKNOWN)
        marked = filled_up(self.proposals[box], size, beyond=UNKNOWN)
        return Label(target, values == UNKNOWN, (marked != UNKNOWN) & (values != UNKNOWN))


class SegmentPatches(PatchDataset):
    """Boxes of CT around points of the sheets.

    A training box is drawn around an open row and holds no voxel of a closed row's band, whichever segment of the volume that
    belongs to. A validation box is drawn around a held-out row.
    """

    space, streams = Space.SCROLL, STAGE1

    def __init__(
        self,
        volumes: Sequence[LabelledVolume],
        fold: Fold,
        member: MemberSettings,
        seed: int,
        is_training: bool,
        shares: Shares | None = None,
    ) -> None:
        super().__init__(member, seed, is_training)
        self.member = member
        self.labelled = {one.traced.name: one for one in volumes}
        self.boxes = Boxes([one.traced for one in volumes], fold, member, is_training, shares)
        self.sees_people_alone = fold.sees_people_alone(self.boxes.segments, is_training, member.loss.proposed_weight)

    def cut(self, rng: np.random.Generator, augment: AugmentSettings, turn: int = 0) -> Sample:
        """A box from the caller's random numbers, unchanged: in scroll space no axis is depth, so `depth_jitter` is nothing.

        Raises:
            InputError: every one of many boxes touches a held-out sheet.
        """
        volume, corner = self.boxes.place(rng, turn)
        label = self.labelled[volume.name].label(corner, self.member.patch_size)
        label = label.human if self.sees_people_alone else label
        ct = volume.patch(corner, self.member.patch_size, self.seen_as(volume.name, volume))
        return Sample(ct, label.target, label.ignore, label.proposed, volume.grey_scale)

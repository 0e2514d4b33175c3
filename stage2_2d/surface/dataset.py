"""Training patches of stage two on sheets traced in cubes: is the sheet there, and how far from where it was traced."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from scroll.config.schema import AugmentSettings, Stage2Settings
from scroll.data.boxes import filled_up
from scroll.data.folds import Fold
from scroll.data.patch_dataset import STAGE2, PatchDataset
from scroll.data.sample import Sample, Space
from scroll.errors import InputError
from stage2_2d.surface.corruption import corrupted
from stage2_2d.surface.stack import CT, MOST_OFFSET_VOX, TracedSheet, Truth


class SheetPatches(PatchDataset):
    """Patches of the sheets in the cubes that a fold trains on, corrupted and augmented, or plain ones of those it holds out.

    Item n is {"stack": (C, Y, X) float32, "target": (2, Y, X) float32, "ignore": (2, Y, X) bool}: presence 0 or 1, and the
    offset from -5 to 5 voxels as 0 to 1, which is known only where a sheet is.

    Raises:
        InputError: no pixel of these sheets is labelled.
    """

    space, streams = Space.STACK, STAGE2

    def __init__(
        self,
        sheets: Sequence[tuple[TracedSheet, Truth]],
        fold: Fold,
        stage2: Stage2Settings,
        seed: int,
        is_training: bool,
    ) -> None:
        self.sheets = [
            one
            for one in sheets
            if (one[0].cube_id not in fold.closed if is_training else one[0].cube_id in fold.held_out)
        ]
        super().__init__(stage2, seed, is_training)
        self.stage2 = stage2
        self._known_below = np.cumsum([int((~truth.unknown).sum()) for _, truth in self.sheets], dtype=np.int64)
        if not self.sheets or not self._known_below[-1]:
            raise InputError(
                f"fold {fold.number}: none of its {len(self.sheets)} traced sheets is where the cubes are labelled; train stage one "
                "longer, or lower tracing.min_prob"
            )

    def cut(self, rng: np.random.Generator, augment: AugmentSettings, turn: int = 0) -> Sample:
        """A patch from the caller's random numbers about a labelled pixel; beyond the sheet its edge is repeated, and unknown."""
        number = int(np.searchsorted(self._known_below, rng.integers(self._known_below[-1]), side="right"))
        sheet, truth = self.sheets[number]
        places = np.flatnonzero(~truth.unknown)
        middle = np.unravel_index(int(places[rng.integers(places.size)]), truth.unknown.shape)
        box = [
            self._span(rng, int(m), n, p)
            for m, n, p in zip(middle, truth.unknown.shape, self.stage2.patch_size, strict=True)
        ]
        stack = sheet.channels(*box)
        shift = np.zeros(stack.shape[1:], np.float32)
        if self.is_training:
            layers = 2 * sheet.reach_vox + 1
            members = sum(source != CT for source in sheet.sources)
            hurt, shift = corrupted(rng, stack.reshape(-1, layers, *stack.shape[1:]), members, self.stage2.corruption)
            stack = hurt.reshape(stack.shape)
        rows, columns = box
        present, unknown = truth.present[rows, columns], truth.unknown[rows, columns]
        offset = truth.offset_vox[rows, columns] - shift
        target = np.stack([present, encoded(offset)]).astype(np.float32)
        ignore = np.stack([unknown, ~present | (np.abs(offset) > MOST_OFFSET_VOX)])
        size = self.stage2.patch_size
        return Sample(filled_up(stack, size), filled_up(target, size), filled_up(ignore, size, beyond=True))

    def _span(self, rng: np.random.Generator, middle: int, length: int, patch: int) -> slice:
        start = round(middle - patch / 2 + rng.uniform(-0.25, 0.25) * patch)
        start = min(max(start, 0), max(0, length - patch))
        return slice(start, min(start + patch, length))


def encoded(offset_vox: NDArray[np.float32]) -> NDArray[np.float32]:
    """Offsets of -5 to 5 voxels as 0 to 1, what a sigmoid can say; farther ones are cut off."""
    return np.clip(0.5 + offset_vox / (2 * MOST_OFFSET_VOX), 0, 1)


def decoded(value: NDArray[np.floating]) -> NDArray[np.float32]:
    """The offset in voxels that `encoded` stands for."""
    return ((np.asarray(value, np.float32) - 0.5) * 2 * MOST_OFFSET_VOX).astype(np.float32)

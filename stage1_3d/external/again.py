"""What a member of others predicted, made again as its own arithmetic has it, a few rows at a time."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scroll.config.schema import Settings
from scroll.data.cubes import Cube
from scroll.data.members.others import MemberOfOthers
from scroll.data.sheets import Sheet
from scroll.inference.sliding_window import Prediction
from scroll.volumes import open_volume
from scroll.volumes.binning import block_mean
from stage1_3d.external import nnunet
from stage1_3d.external.maps import prediction_of


@dataclass(frozen=True)
class CubeAgain:
    """A whole cube by an nnU-Net, of which a few rows cost what all of them do."""

    other: MemberOfOthers
    cube: Cube
    folds: Sequence[int]

    def rows(self, first: int, end: int) -> NDArray[np.float32]:
        """Rows [first, end), (1, Z, end - first, X)."""
        card = self.other.card
        networks = [nnunet.network(self.other.folder, card, fold) for fold in self.folds]
        return nnunet.probabilities(card, networks, np.asarray(open_volume(self.cube.image)[...]))[None, :, first:end]


@dataclass(frozen=True)
class MapAgain:
    """A map of a sheet at working resolution."""

    full: Prediction
    bin_yx: int

    def rows(self, first: int, end: int) -> NDArray[np.float32]:
        """Rows [first, end) at working resolution, (1, end - first, X)."""
        last = min(end * self.bin_yx, self.full.shape[0])
        return np.asarray(block_mean(self.full.rows(first * self.bin_yx, last)[0], (self.bin_yx,) * 2)[None])


def map_again(settings: Settings, name: str, sheet: Sheet, folds: Sequence[int]) -> MapAgain:
    """A member's folds over a sheet."""
    return MapAgain(prediction_of(settings, name, sheet, folds), settings.data.bin_yx)

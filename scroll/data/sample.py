"""A training patch with its label, and the space it is in: that says which changes leave the label true."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scroll.config.schema import LossSettings
from scroll.data.intensity import GreyScale

if TYPE_CHECKING:
    from torch import Tensor


class Space(Enum):
    """What the axes of a patch are.

    `SHEET`: depth through a flattened sheet, y, x. Ink is on one face, and depth tells which.
    `STACK`: channels of a flattened sheet, y, x. Channels have no order.
    `SCROLL`: z along the scroll's axis, y, x. Labels lie on the recto, the face towards the axis: a mirror along z keeps the
    faces in their places, one along y or x, or a turn, does not.
    """

    SHEET = "sheet"
    STACK = "stack"
    SCROLL = "scroll"

    @property
    def moving_axes(self) -> int:
        """How many of the last axes are moved by what moves the patch: (Y, X) of sheets, (Z, Y, X) of scrolls."""
        return 3 if self is Space.SCROLL else 2


@dataclass(frozen=True)
class Sample:
    """A patch.

    Attributes:
        image: (L, Y, X), L layers or channels: float32, normalised; or of another type, as it is stored.
        target: (Y, X) or (L, Y, X), bool; float32 from 0 to 1 where labels are soft or patches were mixed.
        ignore: bool, as the target; true where the target says nothing.
        proposed: bool, as the target; true where the target is proposed by a round. None: nowhere in the whole data.
        grey_scale: what an image that is as it is stored is to be normalised with.
    """

    image: NDArray[Any]
    target: NDArray[Any]
    ignore: NDArray[np.bool_]
    proposed: NDArray[np.bool_] | None = None
    grey_scale: GreyScale | None = None

    def each(self, change: Callable[[NDArray[Any]], NDArray[Any]]) -> "Sample":
        """The same change of all of them."""
        proposed = None if self.proposed is None else change(self.proposed)
        return replace(
            self, image=change(self.image), target=change(self.target), ignore=change(self.ignore), proposed=proposed
        )


def as_item(sample: Sample, space: Space, loss: LossSettings) -> "dict[str, Tensor]":
    """What a dataset gives for a patch: "ct" (1, Z, Y, X) or "stack" (C, Y, X), "target", "ignore", "skeleton" where the loss asks.

    And "proposed" where the sample has it.
    """
    import torch

    image = {"stack": sample.image} if space is Space.STACK else {"ct": sample.image[None]}
    arrays = {**image, "target": sample.target, "ignore": sample.ignore}
    if sample.proposed is not None:
        arrays["proposed"] = sample.proposed
    if loss.skeleton_recall:
        arrays["skeleton"] = skeleton_tube(sample.target, sample.ignore)
    return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}


def skeleton_tube(target: NDArray[np.bool_] | NDArray[np.float32], ignore: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The skeleton of a label (Y, X) or (Z, Y, X), thickened by one voxel within the label, where it is known.

    A volume is thinned slice by slice along z and the slices' skeletons united: of a sheet that crosses the slices that
    leaves its middle surface, where thinning in 3D would leave a bush of lines. A sheet that is along the slices, as ink
    does in a flattened stack, keeps the strokes' middle lines at each of its layers. A soft target is cut at 1/2.

    >>> skeleton_tube(np.ones((5, 11), bool), np.zeros((5, 11), bool)).astype(int)[:, 4:7].tolist()
    [[0, 0, 0], [1, 1, 1], [1, 1, 1], [1, 1, 1], [0, 0, 0]]

    Source: Kirchhoff et al. 2024, "Skeleton recall loss ...". Ours differs: the tube is two voxels thinner than theirs (one
    dilation and not two), since strokes and sheets may be 3 voxels thick, and volumes are thinned by slices.
    """
    from skimage.morphology import skeletonize

    known = (target >= 0.5) & ~ignore
    volume = known.reshape((-1, *known.shape[-2:]))  # (Z, Y, X); a picture is one slice
    lines = np.stack([skeletonize(layer) if layer.any() else layer for layer in volume])
    return np.asarray(_thickened(lines).reshape(known.shape) & known)


def _thickened(lines: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Lines (N, Y, X) with the four neighbours of every voxel within its slice."""
    wide = lines.copy()
    wide[:, 1:] |= lines[:, :-1]
    wide[:, :-1] |= lines[:, 1:]
    wide[:, :, 1:] |= lines[:, :, :-1]
    wide[:, :, :-1] |= lines[:, :, 1:]
    return wide

"""Skeleton recall: how much of the label's skeleton is found."""

from torch import Tensor

from scroll.errors import InputError
from scroll.training.loss_terms.voxels import Voxels


def skeleton_recall(voxels: Voxels) -> Tensor:
    """1 - share of the label's skeleton that is found, (sum of p over it + 1) / (its size + 1), over the batch's known voxels.

    Each counts by its weight. The skeleton is the loader's (`scroll.data.sample`). No skeleton, or none that is known: 0. False
    ink costs nothing here, so it goes with a term that sees it.

    Raises:
        InputError: the batch holds no skeleton.

    Source: Kirchhoff et al. 2024, "Skeleton recall loss for connectivity conserving and resource efficient segmentation of
    thin tubular structures".
    """
    if voxels.skeleton is None:
        raise InputError(
            "loss.skeleton_recall is above 0, but these patches come without the label's skeleton; set it to 0 here"
        )
    line = voxels.weighed(voxels.skeleton.float() * voxels.known)
    return 1 - ((line * voxels.prob).sum() + 1) / (line.sum() + 1)

"""Soft centreline Dice: does the prediction's centreline lie in the label, and the label's in the prediction?"""

from torch import Tensor

from scroll.runtime.lean_imports import BESIDE_MONAI, without
from scroll.training.loss_terms.voxels import Voxels

# strokes are up to some 30 pixels wide, sheets and the ink on them up to some 10 voxels thick; in 3D each one costs
EROSIONS = {2: 15, 3: 5}


def cldice(voxels: Voxels) -> Tensor:
    """1 - soft centreline Dice of logits (B, Y, X) or (B, Z, Y, X), summed over the known voxels of the batch.

    A centreline is found by some erosions, fewer in 3D: what is wider than about twice their number in every direction
    has none and counts for nothing. The unknown is background to both sides alike, so that a centreline that bends off it
    does so in prediction and label. What is proposed is seen as it is, and counts less in the sums. Nothing known: 0.

    Source: Shit et al. 2021, "clDice - a novel topology-preserving loss function for tubular structure segmentation".
    Ours differs: it is summed over the batch, as our Dice is, and sums only what is known.
    """
    with without(BESIDE_MONAI):
        from monai.losses.cldice import soft_skel  # many seconds when cold, and most runs need it not

    erosions = EROSIONS[voxels.logits.ndim - 1]
    found_line = soft_skel(voxels.prob[:, None], erosions)[:, 0]  # (B, 1, ...) -> (B, ...); 0 where the probability is
    target_line = soft_skel(voxels.known_target[:, None], erosions)[:, 0]
    found_line, target_line = voxels.weighed(found_line), voxels.weighed(target_line)
    precision = ((found_line * voxels.known_target).sum() + 1) / (found_line.sum() + 1)
    recall = ((target_line * voxels.prob).sum() + 1) / (target_line.sum() + 1)
    return 1 - 2 * precision * recall / (precision + recall)

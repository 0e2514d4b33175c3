"""Binary cross-entropy over the known voxels."""

from torch import Tensor
from torch.nn import functional

from scroll.training.loss_terms.voxels import Voxels


def bce(voxels: Voxels) -> Tensor:
    """Mean binary cross-entropy of the known voxels by their weights, in nats, against the smoothed target; nothing known: 0."""
    smoothing = voxels.label_smoothing
    target = voxels.target * (1 - smoothing) + smoothing / 2
    summed = functional.binary_cross_entropy_with_logits(voxels.logits, target, weight=voxels.weight, reduction="sum")
    return summed / voxels.total_weight

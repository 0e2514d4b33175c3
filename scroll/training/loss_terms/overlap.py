"""Overlap of prediction and label: soft Dice and soft F-beta."""

from torch import Tensor

from scroll.training.loss_terms.voxels import Voxels

BETA = 0.5  # of the ink competition's score: precision weighs more than recall


def dice(voxels: Voxels) -> Tensor:
    """1 - soft Dice, which is soft F1."""
    return 1 - soft_fbeta(voxels, 1.0)


def fbeta(voxels: Voxels) -> Tensor:
    """1 - soft F0.5: a voxel of false ink costs four times what a missed one does."""
    return 1 - soft_fbeta(voxels, BETA)


def soft_fbeta(voxels: Voxels, beta: float) -> Tensor:
    """((1 + b^2) I + 1) / (P + b^2 T + 1), with I = sum of p t, P = sum of p, T = sum of t over the known voxels; nothing known: 1.

    Each voxel counts in the sums by its weight. The same as Tversky's index with 1 / (1 + b^2) on false and b^2 / (1 + b^2)
    on missed ink. It is summed over the whole batch, so that a patch without ink is neither a division by zero nor a perfect
    share of the mean. Against a target between 0 and 1 the index cannot reach 1, not even with p = t.

    Source: Salehi et al. 2017, "Tversky loss function for image segmentation using 3D fully convolutional deep networks".
    """
    both = voxels.weighed(voxels.prob * voxels.known_target).sum()
    found, known_target = voxels.weighed(voxels.prob).sum(), voxels.weighed(voxels.known_target).sum()
    weight = beta**2
    return ((1 + weight) * both + 1) / (found + weight * known_target + 1)

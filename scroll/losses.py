"""Losses under an ignore mask, and the depth pooling that lets a 2D label teach a 3D network."""

import math

import torch
from torch import Tensor
from torch.nn import functional

from scroll.errors import InputError

TOPK_SHARE = 0.25


def dice_bce(logits: Tensor, target: Tensor, ignore: Tensor, dice_share: float = 0.5) -> Tensor:
    """`(1 - dice_share) * BCE + dice_share * (1 - Dice)` over the known voxels of the batch.

    Args:
        logits, target, ignore: one shape, any number of axes; target 0 to 1, ignore true where nothing is known.

    Nothing known: 0, with zero gradient. Dice is summed over the whole batch, so that a patch without ink is no division by zero.
    """
    logits = logits.float()
    known = (~ignore).float()
    count = known.sum()
    bce = functional.binary_cross_entropy_with_logits(
        logits, target.float(), weight=known, reduction="sum"
    ) / count.clamp(min=1)
    prob = torch.sigmoid(logits) * known
    wanted = target.float() * known
    dice = (2 * (prob * wanted).sum() + 1) / (prob.sum() + wanted.sum() + 1)
    return (1 - dice_share) * bce + dice_share * (1 - dice)  # nothing known: 0 and a Dice of 1


def pool_depth(values: Tensor, how: str, dim: int = -3) -> Tensor:
    """Pool logits (or other scores) over depth, (..., Z, Y, X) -> (..., Y, X).

    `logsumexp` is the smooth maximum, less log Z, so that a constant stays itself. `topk` is the mean of the highest quarter.
    """
    if how == "max":
        return values.amax(dim)
    if how == "mean":
        return values.mean(dim)
    if how == "logsumexp":
        return torch.logsumexp(values, dim) - math.log(values.shape[dim])
    if how == "topk":
        return values.topk(max(1, round(values.shape[dim] * TOPK_SHARE)), dim).values.mean(dim)
    raise InputError(f"unknown depth pooling '{how}'; there are max, mean, logsumexp, topk")

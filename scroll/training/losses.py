"""Losses under an ignore mask, and the depth pooling that lets a 2D label teach a 3D network."""

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from scroll.config.schema import LossSettings
from scroll.errors import InputError
from scroll.training.loss_terms.bce import bce
from scroll.training.loss_terms.cldice import cldice
from scroll.training.loss_terms.overlap import dice, fbeta
from scroll.training.loss_terms.skeleton_recall import skeleton_recall
from scroll.training.loss_terms.topology import topology
from scroll.training.loss_terms.voxels import Voxels, seen

TOPK_SHARE = 0.25
Terms = dict[str, Callable[[Voxels], Tensor]]
OF_VOXELS: Terms = {"bce": bce, "dice": dice, "fbeta": fbeta}
OF_SHAPE: Terms = {"cldice": cldice, "skeleton_recall": skeleton_recall, "topology": topology}


def loss_terms(logits: Tensor, batch: Mapping[str, Tensor], settings: LossSettings) -> Tensor:
    """The terms of the loss times their shares, added up; a term whose share is 0 is not computed.

    Args:
        logits: (B, Y, X) or (B, Z, Y, X), any float type; all is computed in float32.
        batch: "target" (bool, or float 0 to 1) and "ignore" (bool, true where nothing is known) in the shape of the logits;
            where `settings.skeleton_recall` is above 0 also "skeleton" (bool); where any of the label is proposed also "proposed"
            (bool), which counts `settings.proposed_weight` where the rest counts 1.

    What the logits are where `ignore` is true changes neither the loss nor its gradient. Nothing known: 0, with zero gradient.
    """
    return loss_of_heads([logits], batch, settings)


def loss_of_heads(
    heads: Sequence[Tensor], batch: Mapping[str, Tensor], settings: LossSettings, of_shape: Terms = OF_SHAPE
) -> Tensor:
    """The loss of a network with several outputs, finest first, each as the logits of `loss_terms`.

    BCE, Dice and F-beta are means over the heads with weights 1, 1/2, 1/4, ..., normalised to one. The terms that look at
    shape (`of_shape`) see the finest head alone, with their whole share: they cost the most, and a coarse head has no fine shape.

    Source: Lee et al. 2015, "Deeply-supervised nets"; the weights are those of nnU-Net (Isensee et al. 2021).
    """
    views = [seen(logits, batch, settings.label_smoothing, settings.proposed_weight) for logits in heads]
    weights = [0.5**i for i in range(len(views))]
    values = _weighed(of_shape, views[0], settings, 1.0)
    for weight, view in zip(weights, views, strict=True):
        of_head = _weighed(OF_VOXELS, view, settings, weight / sum(weights))
        # processes that train together wait for the gradient of every weight, also of a head that nothing asks for
        values += of_head or [0 * view.prob.sum()]
    return torch.stack(values).sum()


def _weighed(terms: Terms, voxels: Voxels, settings: LossSettings, weight: float) -> list[Tensor]:
    shares = {name: float(getattr(settings, name)) for name in terms}
    return [weight * shares[name] * term(voxels) for name, term in terms.items() if shares[name]]


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

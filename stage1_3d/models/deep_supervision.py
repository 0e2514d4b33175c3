"""Networks that give the logits of several levels: of coarser levels in their own size, then all in the size of the CT."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


class FullSize(nn.Module):
    """Brings logits of any size to that of the CT, by trilinear interpolation.

    A network of several levels gives a list, finest first: while training, the first `levels` of it are kept; otherwise the
    finest alone.
    """

    def __init__(self, network: nn.Module, levels: int = 1) -> None:
        super().__init__()
        self.network = network
        self.levels = levels

    def forward(self, ct: Tensor) -> "Tensor | list[Tensor]":
        """(B, 1, Z, Y, X) CT -> logits of that size; a list of them where there are several levels to train on."""
        scores: Tensor | list[Tensor] = self.network(ct)
        if isinstance(scores, Tensor):
            return _of_size(scores, ct)
        return [_of_size(level, ct) for level in scores[: self.levels]] if self.training else _of_size(scores[0], ct)


class DynUNetLevels(nn.Module):
    """MONAI's DynUNet with its heads' own logits: asked directly, it brings them to full size by repeating voxels."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, ct: Tensor) -> list[Tensor]:
        """(B, 1, Z, Y, X) CT -> logits of all levels that have a head, finest first."""
        finest = self.network.output_block(self.network.skip_layers(ct))
        coarser = list(self.network.heads)
        # a tensor left here would keep its graph alive, and be in the way of copying the network
        self.network.heads[:] = [torch.empty(0)] * len(coarser)
        return [finest, *coarser]


def _of_size(scores: Tensor, ct: Tensor) -> Tensor:
    size = ct.shape[-3:]
    if scores.shape[-3:] == size:
        return scores
    return functional.interpolate(scores, size=size, mode="trilinear", align_corners=False)

"""A three-dimensional stem that hands a two-dimensional body what it saw: summed by attention over depth, and at its strongest.

Source: ScrollPrize/villa, vesuvius/ink_detection/models/hybrid_3d2d.py, with its names of tensors.
"""

import torch
from torch import Tensor, nn

from stage1_3d.models.over_depth import OverDepth


class DepthFusion(nn.Module):
    """Two convolutions of 3 x 3 x 3, then two ways to leave depth. The attention begins as a plain mean."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inside in (1, channels):
            layers += [
                nn.Conv3d(inside, channels, kernel_size=3, padding=1, bias=False),
                nn.InstanceNorm3d(channels, affine=True),
                nn.LeakyReLU(inplace=True),
            ]
        self.features = nn.Sequential(*layers)
        self.attention_logits = nn.Conv3d(channels, 1, kernel_size=1)
        nn.init.zeros_(self.attention_logits.weight)
        nn.init.zeros_(self.attention_logits.bias)  # type: ignore[arg-type]

    def forward(self, ct: Tensor) -> Tensor:
        """(B, 1, Z, Y, X) CT -> (B, 2 * channels, Y, X): the weighted sums, then the maxima."""
        features = self.features(ct)
        weights = self.attention_logits(features).softmax(dim=2)  # (B, 1, Z, Y, X)
        return torch.cat([(features * weights).sum(dim=2), features.amax(dim=2)], dim=1)


class StemAndBody(OverDepth):
    """The stem, then any network from (B, 2 * channels, Y, X) to (B, 1, y, x) logits."""

    def __init__(self, stem: DepthFusion, body: nn.Module) -> None:
        super().__init__()
        self.depth_fusion = stem
        self.network = body

    def sheet_map(self, ct: Tensor) -> Tensor:
        """(B, 1, Z, Y, X) CT -> (B, 1, y, x) logits, as coarse as the body gives them."""
        logits: Tensor = self.network(self.depth_fusion(ct))
        return logits


class SegformerLogits(nn.Module):
    """transformers' SegFormer as a function of tensors: a quarter of the size."""

    def __init__(self, segformer: nn.Module) -> None:
        super().__init__()
        self.segformer = segformer

    def forward(self, channels: Tensor) -> Tensor:
        """(B, C, Y, X) -> (B, 1, Y / 4, X / 4)."""
        logits: Tensor = self.segformer(pixel_values=channels).logits
        return logits

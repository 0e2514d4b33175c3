"""The decoders of resnet3d: from the features of four stages, finest first, to one map of the sheet at a quarter of its size.

Layouts and names as in ScrollPrize/villa, ink-detection/optimized_inference: `model_resnet3d.py` and `model_resnet3d_3d_decoder.py`.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import gcd

import torch
from torch import Tensor, nn
from torch.nn import functional

from stage1_3d.models.over_depth import OverDepth

MOST_GROUPS = 32  # of a group normalisation


class SheetResNet(OverDepth):
    """Encoder and decoder, with a normalisation of the CT before them where it is asked for."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module, input_norm: bool) -> None:
        super().__init__()
        self.normalization = nn.BatchNorm3d(1) if input_norm else nn.Identity()
        self.backbone = encoder
        self.decoder = decoder

    def sheet_map(self, ct: Tensor) -> Tensor:
        """(B, 1, Z, Y, X) CT -> (B, 1, Y / 4, X / 4) logits."""
        logits: Tensor = self.decoder(self.backbone(self.normalization(ct)))
        return logits


class MaximumDecoder(nn.Module):
    """The maximum over depth of each stage, then up in two dimensions: doubled, joined to the finer stage, convolved."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(fine + coarse, fine, kernel_size=3, padding=1, bias=False), nn.BatchNorm2d(fine), nn.ReLU()
            )
            for fine, coarse in pairwise(widths)
        )
        self.logit = nn.Conv2d(widths[0], 1, kernel_size=1)

    def forward(self, stages: list[Tensor]) -> Tensor:
        """Four of (B, C, Z, Y, X), each half as large in-plane as the one before -> (B, 1, Y, X) of the first."""
        *finer, features = [stage.max(dim=2).values for stage in stages]
        for fine, convolve in zip(reversed(finer), reversed(self.convs), strict=True):
            doubled = functional.interpolate(features, scale_factor=2, mode="bilinear", align_corners=False)
            features = convolve(torch.cat([fine, doubled], dim=1))
        logits: Tensor = self.logit(features)
        return logits


class AttentionDecoder(nn.Module):
    """Fewer channels, up in three dimensions, then a mean over depth that is weighted by what the voxels say of themselves."""

    def __init__(self, widths: Sequence[int], reduced: Sequence[int]) -> None:
        super().__init__()
        self.channel_reduce = nn.ModuleList(
            nn.Sequential(nn.Conv3d(width, few, kernel_size=1, bias=False), _group_norm(few), nn.ReLU())
            for width, few in zip(widths, reduced, strict=True)
        )
        self.decoder_blocks = nn.ModuleList(  # coarsest first
            ResidualPair(fine + coarse, fine) for fine, coarse in reversed(list(pairwise(reduced)))
        )
        self.depth_collapse = DepthAttention(reduced[0])
        self.logit = nn.Conv2d(reduced[0], 1, kernel_size=1)

    def forward(self, stages: list[Tensor]) -> Tensor:
        """Four of (B, C, Z, Y, X), finest first -> (B, 1, Y, X) of the first."""
        *finer, features = [reduce(stage) for reduce, stage in zip(self.channel_reduce, stages, strict=True)]
        for fine, convolve in zip(reversed(finer), self.decoder_blocks, strict=True):
            grown = functional.interpolate(features, size=fine.shape[2:], mode="trilinear", align_corners=False)
            features = convolve(torch.cat([grown, fine], dim=1))
        logits: Tensor = self.logit(self.depth_collapse(features))
        return logits


class ResidualPair(nn.Module):
    """Two convolutions beside a projection."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(inside, outside, kernel_size=3, padding=1, bias=False)
        self.gn1 = _group_norm(outside)
        self.conv2 = nn.Conv3d(outside, outside, kernel_size=3, padding=1, bias=False)
        self.gn2 = _group_norm(outside)
        self.shortcut = nn.Conv3d(inside, outside, kernel_size=1, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, Z, Y, X) -> (B, K, Z, Y, X)."""
        inner = functional.relu(self.gn1(self.conv1(features)))
        return functional.relu(self.gn2(self.conv2(inner)) + self.shortcut(features))


class DepthAttention(nn.Module):
    """The mean over depth, weighted by a softmax over depth of one number for each voxel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.attn_conv = nn.Conv3d(channels, 1, kernel_size=1)

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, Z, Y, X) -> (B, C, Y, X)."""
        return (features * self.attn_conv(features).softmax(dim=2)).sum(dim=2)


def _group_norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(gcd(MOST_GROUPS, channels), channels)

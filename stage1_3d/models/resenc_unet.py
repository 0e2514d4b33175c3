"""nnU-Net's U-Net with a residual encoder (ResEnc M and L): deep residual stages down, one convolution per level up.

The defaults are what nnU-Net plans for patches of about 128 voxels (Isensee et al. 2024, "nnU-Net Revisited"); its M and L
differ in patch and batch, not in depth. The network itself is dynamic_network_architectures' ResidualEncoderUNet.
"""

from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from scroll.config.schema import Count
from stage1_3d.models.levels import LevelOptions, Stride, divisor

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Options", "build", "divisor"]

STRIDES: tuple[Stride, ...] = ((1, 1, 1), (2, 2, 2), (2, 2, 2), (2, 2, 2), (2, 2, 2), (2, 2, 2))


class Options(LevelOptions):
    """What a YAML may set for resenc_unet."""

    channels: tuple[Count, ...] = Field(
        (32, 64, 128, 256, 320, 320), min_length=3, description="channels of each level"
    )
    strides: tuple[Stride, ...] = Field(
        STRIDES,
        description="downsampling on the way into each level (z, y, x), as many as channels; a first one above 1 is undone "
        "by interpolation at the end, but saves less than in unet3d: the stem still runs at full size",
    )
    blocks: tuple[Count, ...] = Field(
        (1, 3, 4, 6, 6, 6), description="residual blocks of two convolutions in each level, as many as channels"
    )
    squeeze_excitation: Literal["none", "channel", "scse"] = Field(
        "none",
        exclude_if=lambda kind: kind == "none",
        description="weighs each residual block's features: channel by channel, or that and place by place, added up (scse)",
    )
    squeeze_reduction: Count = Field(
        16,
        exclude_if=lambda reduction: reduction == 16,
        description="squeeze_excitation: how many times fewer channels there are within it, to the nearest multiple of 8",
    )

    @model_validator(mode="after")
    def _as_many_blocks_as_channels(self) -> "Options":
        if len(self.blocks) != len(self.channels):
            raise ValueError(
                f"{len(self.blocks)} blocks for {len(self.channels)} channels; give as many of one as of the other"
            )
        return self


def build(options: Options, patch_size: tuple[int, int, int]) -> "nn.Module":
    """(B, 1, Z, Y, X) -> (B, 1, Z, Y, X) logits; works for any legal patch, whatever `patch_size`.

    With `deep_supervision` a list of them while training, finest first.
    """
    from stage1_3d.models.deep_supervision import FullSize
    from stage1_3d.models.resenc_layers import residual_encoder_unet
    from stage1_3d.models.squeeze_excitation import squeeze_blocks

    further = options.deep_supervision
    network = residual_encoder_unet(3, 1, options, further)
    if options.squeeze_excitation != "none":
        squeeze_blocks(network, options.squeeze_excitation, options.squeeze_reduction)
    return FullSize(network, 1 + further)

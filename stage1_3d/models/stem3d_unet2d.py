"""A short 3D stem before a long 2D body: ink is a matter of depth, a letter one of the sheet, in one network.

The winner of the 2023 ink competition trained the two apart, a linear 3D filter and a SegFormer; here one loss reaches both.
The bodies are dynamic_network_architectures' ResidualEncoderUNet in two dimensions, and transformers' SegFormer.
"""

from math import prod
from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from scroll.config.schema import Count, Frozen
from scroll.errors import InputError

if TYPE_CHECKING:
    from torch import nn

SEGFORMER_STRIDES = 4, 2, 2, 2
SEGFORMER_HEADS = 1, 2, 5, 8  # of the four stages (Xie et al. 2021)


class Options(Frozen):
    """What a YAML may set for stem3d_unet2d."""

    stem_channels: Count = Field(16, description="channels of the 3D stem; the body is given twice as many")
    body: Literal["unet", "segformer"] = Field("unet", description="what reads the sheet, in two dimensions")
    channels: tuple[Count, ...] = Field(
        (32, 64, 128, 256, 320), min_length=3, description="unet: channels of each level"
    )
    strides: tuple[Count, ...] = Field(
        (1, 2, 2, 2, 2),
        description="unet: downsampling on the way into each level (y and x alike), as many as channels; a first one above 1 "
        "is undone by interpolation at the end",
    )
    blocks: tuple[Count, ...] = Field(
        (1, 3, 4, 6, 6), description="unet: residual blocks of two convolutions in each level, as many as channels"
    )
    segformer_depths: tuple[Count, Count, Count, Count] = Field(
        (2, 2, 2, 2), description="segformer: blocks of each of the four stages; the defaults are the paper's b0"
    )
    segformer_channels: tuple[Count, Count, Count, Count] = Field(
        (32, 64, 160, 256), description="segformer: channels of each stage; multiples of 1, 2, 5 and 8"
    )
    segformer_decoder: Count = Field(256, description="segformer: channels of its decoder")
    dropout: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="unet: share of channels that is blanked while training; segformer: the same at the end, "
        "and the chance that a residual branch is passed over",
    )

    @model_validator(mode="after")
    def _as_many_of_each(self) -> "Options":
        levels = len(self.channels)
        for name, given in (("strides", self.strides), ("blocks", self.blocks)):
            if len(given) != levels:
                raise ValueError(f"{len(given)} {name} for {levels} channels; give as many of one as of the other")
        if any(width % heads for width, heads in zip(self.segformer_channels, SEGFORMER_HEADS, strict=True)):
            raise ValueError(
                f"segformer_channels {self.segformer_channels} are no multiples of {SEGFORMER_HEADS}; make them so"
            )
        return self


def divisor(options: Options) -> tuple[int, int, int]:
    """Multiples that a patch must be of, (z, y, x): the product of the body's strides in-plane, any number of layers."""
    each = prod(options.strides if options.body == "unet" else SEGFORMER_STRIDES)
    return 1, each, each


def check(options: Options, patch_size: tuple[int, int, int]) -> None:
    """Refuse a legal patch of which the U-Net's coarsest level is one pixel: it cannot be normalised.

    Raises:
        InputError: it is one.
    """
    if options.body == "unet" and patch_size[1:] == divisor(options)[1:]:
        raise InputError(
            f"patch_size {patch_size} leaves one pixel at the coarsest level of 'stem3d_unet2d', and normalising needs "
            "two; make patch_size larger in y or x"
        )


def build(options: Options, patch_size: tuple[int, int, int]) -> "nn.Module":
    """(B, 1, Z, Y, X) -> (B, 1, Z, Y, X) logits, the same in each layer; works for any legal patch, whatever `patch_size`."""
    from stage1_3d.models.depth_fusion import DepthFusion, StemAndBody
    from stage1_3d.models.resenc_layers import residual_encoder_unet

    is_unet = options.body == "unet"
    body = residual_encoder_unet(2, 2 * options.stem_channels, options) if is_unet else _segformer(options)
    return StemAndBody(DepthFusion(options.stem_channels), body)


def _segformer(options: Options) -> "nn.Module":
    """(B, 2 * stem_channels, Y, X) -> (B, 1, Y / 4, X / 4)."""
    from scroll.runtime.torchvision_schemas import import_torchvision

    import_torchvision()
    from transformers import SegformerConfig, SegformerForSemanticSegmentation

    from stage1_3d.models.depth_fusion import SegformerLogits

    config = SegformerConfig(
        num_channels=2 * options.stem_channels,
        num_labels=1,
        depths=list(options.segformer_depths),
        hidden_sizes=list(options.segformer_channels),
        strides=list(SEGFORMER_STRIDES),
        num_attention_heads=list(SEGFORMER_HEADS),
        decoder_hidden_size=options.segformer_decoder,
        classifier_dropout_prob=options.dropout,
        drop_path_rate=options.dropout,
    )
    return SegformerLogits(SegformerForSemanticSegmentation(config))

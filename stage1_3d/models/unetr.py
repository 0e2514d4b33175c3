"""MONAI's UNETR: a vision transformer over 16^3 tokens with a convolutional decoder; fixed to its patch size."""

from typing import TYPE_CHECKING

from pydantic import Field, model_validator

from scroll.config.schema import Frozen
from scroll.runtime.lean_imports import BESIDE_MONAI, without

if TYPE_CHECKING:
    from torch import nn


class Options(Frozen):
    """What a YAML may set for unetr."""

    feature_size: int = Field(16, ge=1, le=65536, description="channels of the decoder at full resolution")
    hidden_size: int = Field(768, ge=1, le=65536, description="width of a token; a multiple of num_heads")
    mlp_dim: int = Field(3072, ge=1, le=65536, description="width within the transformer's blocks")
    num_heads: int = Field(12, ge=1, le=65536, description="attention heads of each block")
    conv_block: bool = Field(True, description="a convolution after each upsampling between tokens and decoder")
    dropout: float = Field(0.0, ge=0, lt=1, description="share of activations that is blanked while training")

    @model_validator(mode="after")
    def _heads_share_the_hidden_size(self) -> "Options":
        if self.hidden_size % self.num_heads:
            raise ValueError(
                f"hidden_size {self.hidden_size} is no multiple of num_heads {self.num_heads}; make it one"
            )
        return self


def divisor(options: Options) -> tuple[int, int, int]:
    """Multiples that a patch must be of, (z, y, x): the edge of a token."""
    return 16, 16, 16


def build(options: Options, patch_size: tuple[int, int, int]) -> "nn.Module":
    """(B, 1, Z, Y, X) -> (B, 1, Z, Y, X) logits for patches of exactly `patch_size`."""
    with without(BESIDE_MONAI):
        from monai.networks.nets.unetr import UNETR
    from torch import nn

    network = UNETR(
        in_channels=1,
        out_channels=1,
        img_size=patch_size,
        feature_size=options.feature_size,
        hidden_size=options.hidden_size,
        mlp_dim=options.mlp_dim,
        num_heads=options.num_heads,
        norm_name="instance",
        conv_block=options.conv_block,
        dropout_rate=options.dropout,
    )
    for block in network.vit.blocks:
        block.norm_cross_attn = nn.Identity()  # never used; several GPUs wait for ever on a parameter without gradient
    return network

"""Primus: a plain vision transformer over tokens of voxels with a thin decoder, so that attention does the work; fixed to its patch size.

The defaults are Primus-S (Wald et al. 2025, "Primus: Enforcing attention usage for 3D medical image segmentation") as nnU-Net trains
it; B is `dim: 792, heads: 12`, M `dim: 864, depth: 16, heads: 12`, L `dim: 1056, depth: 24, heads: 16`. The network, with its names of
tensors, is dynamic_network_architectures' Primus.
"""

from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from scroll.config.schema import Count, Frozen

if TYPE_CHECKING:
    from torch import nn

Edge = Literal[1, 2, 4, 8, 16, 32]
OF_A_HEAD = 6  # a head's width is a multiple of it: rotations of pairs along three axes
BRANCH_SCALE = 0.1  # of each residual branch at the beginning


class Options(Frozen):
    """What a YAML may set for primus."""

    dim: Count = Field(396, description="width of a token; a multiple of 6 * heads")
    depth: Count = Field(12, description="blocks of attention")
    heads: Count = Field(6, description="attention heads of each block")
    token_vox: tuple[Edge, Edge, Edge] = Field((8, 8, 8), description="edges of a token (z, y, x); not all 1")
    drop_path: float = Field(
        0.2,
        ge=0,
        lt=1,
        description="chance that the last block's branches are passed over while training; less in earlier blocks",
    )
    dropout: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="share of activations that is blanked while training, after attention and within the blocks",
    )

    @model_validator(mode="after")
    def _heads_share_the_width(self) -> "Options":
        least = OF_A_HEAD * self.heads
        if self.dim % least:
            down = max(self.dim // least, 1) * least
            raise ValueError(f"dim {self.dim} is no multiple of {least}, 6 * heads; set it to {down} or {down + least}")
        if max(self.token_vox) == 1:
            raise ValueError("token_vox (1, 1, 1) makes every voxel a token; set one of them to 2 or more")
        return self


def divisor(options: Options) -> tuple[int, int, int]:
    """Multiples that a patch must be of, (z, y, x): the edges of a token."""
    return options.token_vox


def build(options: Options, patch_size: tuple[int, int, int]) -> "nn.Module":
    """(B, 1, Z, Y, X) -> (B, 1, Z, Y, X) logits for patches of exactly `patch_size`."""
    from scroll.runtime.torchvision_schemas import import_torchvision

    import_torchvision()  # timm asks for it
    from dynamic_network_architectures.architectures.primus import Primus

    network: nn.Module = Primus(
        input_channels=1,
        embed_dim=options.dim,
        patch_embed_size=options.token_vox,
        num_classes=1,
        eva_depth=options.depth,
        eva_numheads=options.heads,
        input_shape=patch_size,
        drop_path_rate=options.drop_path,
        proj_drop_rate=options.dropout,
        init_values=BRANCH_SCALE,
        scale_attn_inner=True,
    )
    return network

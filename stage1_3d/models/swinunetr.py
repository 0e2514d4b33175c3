"""MONAI's SwinUNETR: a transformer over shifted windows of tokens, at five scales, with a convolutional decoder."""

from typing import TYPE_CHECKING

from pydantic import Field

from scroll.config.schema import Frozen
from scroll.runtime.lean_imports import BESIDE_MONAI, without

if TYPE_CHECKING:
    from torch import nn


class Options(Frozen):
    """What a YAML may set for swinunetr."""

    feature_size: int = Field(
        48, ge=12, le=65536, multiple_of=12, description="channels at full resolution; a multiple of 12"
    )
    window_size: int = Field(
        7, ge=2, le=65536, description="edge of the attention's window in tokens; memory grows with its sixth power"
    )
    v2: bool = Field(True, description="a residual convolution block at the beginning of each stage (He et al. 2023)")
    checkpointing: bool = Field(
        True, description="keep half as much for the backward pass, and compute the rest again then; same result"
    )
    dropout: float = Field(0.0, ge=0, lt=1, description="share of activations that is blanked while training")
    drop_path: float = Field(
        0.0, ge=0, lt=1, description="chance that a residual branch is passed over, in the last stage"
    )


def divisor(options: Options) -> tuple[int, int, int]:
    """Multiples that a patch must be of, (z, y, x): tokens of 2^3 voxels, halved four times."""
    return 32, 32, 32


def build(options: Options, patch_size: tuple[int, int, int]) -> "nn.Module":
    """(B, 1, Z, Y, X) -> (B, 1, Z, Y, X) logits; works for any legal patch, whatever `patch_size`."""
    with without(BESIDE_MONAI):
        from monai.networks.nets.swin_unetr import SwinUNETR

    network: nn.Module = SwinUNETR(
        in_channels=1,
        out_channels=1,
        feature_size=options.feature_size,
        window_size=options.window_size,
        norm_name="instance",
        drop_rate=options.dropout,
        dropout_path_rate=options.drop_path,
        use_checkpoint=options.checkpointing,
        use_v2=options.v2,
    )
    return network

"""A U-Net in the manner of nnU-Net: two convolutions per level, instance norm, strided downsampling; MONAI's DynUNet."""

from math import prod
from typing import TYPE_CHECKING

from pydantic import Field, PositiveInt, model_validator

from scroll.config import Frozen

if TYPE_CHECKING:
    from torch import nn

Stride = tuple[PositiveInt, PositiveInt, PositiveInt]


class Options(Frozen):
    """What a YAML may set for unet3d."""

    channels: tuple[PositiveInt, ...] = Field((32, 64, 128, 256), min_length=3, description="channels of each level")
    strides: tuple[Stride, ...] = Field(
        ((1, 1, 1), (2, 2, 2), (2, 2, 2), (2, 2, 2)),
        description="downsampling on the way into each level (z, y, x), as many as channels; a first one above 1 saves most "
        "of the work and memory and is undone by interpolation at the end",
    )
    dropout: float = Field(0.0, ge=0, lt=1)

    @model_validator(mode="after")
    def _as_many_strides_as_channels(self) -> "Options":
        if len(self.strides) != len(self.channels):
            raise ValueError(
                f"{len(self.strides)} strides for {len(self.channels)} channels; give as many of one as of the other"
            )
        return self


def divisor(options: Options) -> tuple[int, int, int]:
    """Multiples that a patch must be of, (z, y, x)."""
    z, y, x = (prod(stride[axis] for stride in options.strides) for axis in range(3))
    return z, y, x


def build(options: Options, patch_size: tuple[int, int, int]) -> "nn.Module":
    """(B, 1, Z, Y, X) -> (B, 1, Z, Y, X) logits; works for any legal patch, whatever `patch_size`."""
    from monai.networks.nets.dynunet import DynUNet
    from torch import nn

    network = DynUNet(
        spatial_dims=3,
        in_channels=1,
        out_channels=1,
        kernel_size=[3] * len(options.channels),
        strides=options.strides,
        upsample_kernel_size=options.strides[1:],
        filters=options.channels,
        norm_name=("INSTANCE", {"affine": True}),
        dropout=options.dropout or None,
    )
    if options.strides[0] == (1, 1, 1):
        return network
    scale = tuple(float(stride) for stride in options.strides[0])
    return nn.Sequential(network, nn.Upsample(scale_factor=scale, mode="trilinear", align_corners=False))

"""A plain stack of convolutions: keeps full depth resolution and sees context by dilation.

By default normalised and non-linear. The winner of the 2023 ink competition had a linear one, and so can a YAML:
`{channels: [4, 8, 16, 32], dilations: [1, 1, 1, 1], stride_yx: 1, norm: none, activation: none}`. There the 32 channels
went on to a SegFormer, after a maximum over depth; here the final convolution of kernel 1 makes logits per voxel of them.
"""

from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from scroll.config.schema import Count, Frozen

if TYPE_CHECKING:
    from torch import nn


class Options(Frozen):
    """What a YAML may set for cnn3d."""

    channels: tuple[Count, ...] = Field((16, 32, 32), min_length=1, description="output channels of each convolution")
    stride_yx: int = Field(
        2, ge=1, le=65536, description="in-plane stride of the first convolution, undone by interpolation at the end"
    )
    norm: Literal["instance", "batch", "none"] = Field(
        "instance", description="batch and none keep the patch's overall brightness in sight"
    )
    activation: Literal["gelu", "none"] = Field("gelu", description="none: the whole network is one linear filter")
    dilations: tuple[Count, ...] = Field(
        (1, 1, 2), description="in-plane dilation of each convolution, as many as channels"
    )

    @model_validator(mode="after")
    def _as_many_dilations_as_channels(self) -> "Options":
        if len(self.dilations) != len(self.channels):
            raise ValueError(
                f"{len(self.dilations)} dilations for {len(self.channels)} channels; give as many of one as of the other"
            )
        return self


def divisor(options: Options) -> tuple[int, int, int]:
    """Multiples that a patch must be of, (z, y, x)."""
    return 1, options.stride_yx, options.stride_yx


def build(options: Options, patch_size: tuple[int, int, int]) -> "nn.Module":
    """(B, 1, Z, Y, X) -> (B, 1, Z, Y, X) logits; works for any legal patch, whatever `patch_size`."""
    from torch import nn

    s = options.stride_yx
    edge = max(3, 2 * s - 1)  # leaves no pixel unseen between two steps of s
    layers: list[nn.Module] = [
        nn.Conv3d(1, options.channels[0], (3, edge, edge), stride=(1, s, s), padding=(1, edge // 2, edge // 2)),
        *_norm_and_activation(options.channels[0], options),
    ]
    for inside, outside, reach in zip(options.channels, options.channels[1:], options.dilations[1:], strict=False):
        layers.append(nn.Conv3d(inside, outside, kernel_size=3, padding=(1, reach, reach), dilation=(1, reach, reach)))
        layers += _norm_and_activation(outside, options)
    layers.append(nn.Conv3d(options.channels[-1], 1, kernel_size=1))
    if s > 1:
        layers.append(nn.Upsample(scale_factor=(1.0, float(s), float(s)), mode="trilinear", align_corners=False))
    return nn.Sequential(*layers)


def _norm_and_activation(channels: int, options: Options) -> "list[nn.Module]":
    from torch import nn

    layers: list[nn.Module] = []
    if options.norm != "none":
        kind = nn.BatchNorm3d if options.norm == "batch" else nn.InstanceNorm3d
        layers.append(kind(channels, affine=True))
    if options.activation == "gelu":
        layers.append(nn.GELU())
    return layers

"""A plain stack of convolutions, normalised and non-linear; keeps full depth resolution and sees context by dilation."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field, PositiveInt, model_validator

from scroll.config import Frozen

if TYPE_CHECKING:
    from torch import nn


class Options(Frozen):
    """What a YAML may set for cnn3d."""

    channels: tuple[PositiveInt, ...] = Field(
        (16, 32, 32), min_length=1, description="output channels of each convolution"
    )
    stride_yx: int = Field(
        2, ge=1, description="in-plane stride of the first convolution, undone by interpolation at the end"
    )
    norm: Literal["instance", "batch"] = Field(
        "instance", description="batch keeps the patch's overall brightness in sight"
    )
    dilations: tuple[PositiveInt, ...] = Field(
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
    layers: list[nn.Module] = [
        # a kernel of 2 s - 1 leaves no pixel unseen between two steps of s
        nn.Conv3d(1, options.channels[0], (3, 2 * s - 1, 2 * s - 1), stride=(1, s, s), padding=(1, s - 1, s - 1)),
        *_norm_and_gelu(options.channels[0], options.norm),
    ]
    for inside, outside, reach in zip(options.channels, options.channels[1:], options.dilations[1:], strict=False):
        layers.append(nn.Conv3d(inside, outside, kernel_size=3, padding=(1, reach, reach), dilation=(1, reach, reach)))
        layers += _norm_and_gelu(outside, options.norm)
    layers.append(nn.Conv3d(options.channels[-1], 1, kernel_size=1))
    if s > 1:
        layers.append(nn.Upsample(scale_factor=(1.0, float(s), float(s)), mode="trilinear", align_corners=False))
    return nn.Sequential(*layers)


def _norm_and_gelu(channels: int, norm: str) -> "list[nn.Module]":
    from torch import nn

    kind = nn.BatchNorm3d if norm == "batch" else nn.InstanceNorm3d
    return [kind(channels, affine=True), nn.GELU()]

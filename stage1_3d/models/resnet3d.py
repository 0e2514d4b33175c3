"""A 3D ResNet that keeps the layers apart at first, then one map of the sheet at a quarter of the size.

The encoder is that of Hara et al. 2018, "Can spatiotemporal 3D CNNs retrace the history of 2D CNNs and ImageNet?", for one
channel of CT in place of three of film. Both decoders, and the names of all tensors, are those of the checkpoints that are shared
in this field (ScrollPrize/villa, ink-detection/optimized_inference). Of what stands there, two things are not built here, because
no logit depends on them and several GPUs wait for ever on a parameter without gradient: see `NOT_BUILT`.
"""

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from scroll.config.schema import Frozen
from scroll.errors import InputError

if TYPE_CHECKING:
    from torch import nn

NOT_BUILT = ("backbone.fc.", "decoder.aux_head_s1.", "decoder.aux_head_s2.")  # names in public checkpoints begin so
BLOCKS: dict[int, tuple[int, int, int, int]] = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
    200: (3, 24, 36, 3),
}
LEAST_BOTTLENECK = 50  # the two smaller ones have blocks of two convolutions


class Options(Frozen):
    """What a YAML may set for resnet3d."""

    depth: Literal[18, 34, 50, 101, 152, 200] = Field(
        50, description="layers of the encoder; from 50 on in bottlenecks, with four times the channels"
    )
    width: float = Field(1.0, ge=1 / 32, le=16, description="factor on all channels; shared weights are of 1")
    input_norm: bool = Field(False, description="batch normalisation of the CT itself, as some shared weights have it")
    decoder: Literal["2d", "3d"] = Field(
        "2d",
        description="2d: maximum over depth of each stage, then up; 3d: up in three dimensions, then an attention over depth",
    )


def divisor(options: Options) -> tuple[int, int, int]:
    """Multiples that a patch must be of, (z, y, x): in-plane it is halved five times; any number of layers is legal."""
    return 1, 32, 32


def check(options: Options, patch_size: tuple[int, int, int]) -> None:
    """Refuse a legal patch whose coarsest stage has one voxel: it cannot be normalised.

    Raises:
        InputError: it has one.
    """
    z, y, x = patch_size
    if z <= 8 and (y, x) == (32, 32):
        raise InputError(
            f"patch_size {patch_size} leaves one voxel at the coarsest level of 'resnet3d', and normalising needs two; "
            "make patch_size larger"
        )


def build(options: Options, patch_size: tuple[int, int, int]) -> "nn.Module":
    """(B, 1, Z, Y, X) -> (B, 1, Z, Y, X) logits, the same in each layer; works for any legal patch, whatever `patch_size`."""
    from stage1_3d.models.resnet3d_decoders import AttentionDecoder, MaximumDecoder, SheetResNet
    from stage1_3d.models.resnet3d_encoder import Encoder

    widths = [max(1, int(channels * options.width)) for channels in (64, 128, 256, 512)]
    encoder = Encoder(BLOCKS[options.depth], widths, is_bottleneck=options.depth >= LEAST_BOTTLENECK)
    decoder = MaximumDecoder(encoder.widths) if options.decoder == "2d" else AttentionDecoder(encoder.widths, widths)
    return SheetResNet(encoder, decoder, options.input_norm)

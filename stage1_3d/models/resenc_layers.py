"""dynamic_network_architectures' ResidualEncoderUNet in two or three dimensions, without what is not trained or saved here."""

from collections.abc import Sequence
from typing import Any, Protocol

from torch import nn

OF_DIMENSIONS = {  # convolution, normalisation, dropout
    2: (nn.Conv2d, nn.InstanceNorm2d, nn.Dropout2d),
    3: (nn.Conv3d, nn.InstanceNorm3d, nn.Dropout3d),
}


class Levels(Protocol):
    """What a U-Net is built by: as many strides and blocks as channels."""

    @property
    def channels(self) -> Sequence[int]:
        """Of each level, finest first."""

    @property
    def strides(self) -> Sequence[Any]:
        """On the way into each level: a number, or one an axis."""

    @property
    def blocks(self) -> Sequence[int]:
        """Residual blocks of each level."""

    @property
    def dropout(self) -> float:
        """Share of channels that is blanked while training."""


def residual_encoder_unet(dimensions: int, input_channels: int, options: Levels, further_heads: int = 0) -> nn.Module:
    """(B, input_channels, *size) -> (B, 1, *size / first stride) logits; a list, finest first, with `further_heads` while training."""
    from dynamic_network_architectures.architectures.unet import ResidualEncoderUNet

    convolution, norm, dropout = OF_DIMENSIONS[dimensions]
    network: nn.Module = ResidualEncoderUNet(
        input_channels=input_channels,
        n_stages=len(options.channels),
        features_per_stage=options.channels,
        conv_op=convolution,
        kernel_sizes=3,
        strides=options.strides,
        n_blocks_per_stage=options.blocks,
        num_classes=1,
        n_conv_per_stage_decoder=1,
        conv_bias=True,
        norm_op=norm,
        norm_op_kwargs={"eps": 1e-5, "affine": True},
        dropout_op=dropout if options.dropout else None,
        dropout_op_kwargs={"p": options.dropout} if options.dropout else None,
        nonlin=nn.LeakyReLU,
        nonlin_kwargs={"inplace": True},
        deep_supervision=further_heads > 0,
    )
    network.apply(ResidualEncoderUNet.initialize)
    _drop_idle_heads(network, further_heads)
    _drop_second_names(network)
    return network


def _drop_idle_heads(network: Any, most: int) -> None:
    """Leave the finest head and `most` more: several GPUs wait for ever on a parameter without gradient."""
    heads = network.decoder.seg_layers  # coarsest first
    for number in range(len(heads) - 1 - most):
        heads[number] = nn.Identity()


def _drop_second_names(network: Any) -> None:
    """Leave each layer one name: the library gives it up to four, and weights are saved once for every name."""
    from dynamic_network_architectures.building_blocks.simple_conv_blocks import ConvDropoutNormReLU

    del network.decoder.encoder
    for block in network.modules():
        if isinstance(block, ConvDropoutNormReLU):
            for name in [name for name, _ in block.named_children() if name != "all_modules"]:
                delattr(block, name)

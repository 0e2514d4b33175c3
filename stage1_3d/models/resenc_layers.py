"""What dynamic_network_architectures' ResidualEncoderUNet holds beyond what is trained and saved here, taken off."""

from typing import Any

from torch import nn


def drop_idle_heads(network: Any, wanted: int) -> None:
    """Leave the finest head and `wanted` more: several GPUs wait for ever on a parameter without gradient."""
    heads = network.decoder.seg_layers  # coarsest first
    for number in range(len(heads) - 1 - wanted):
        heads[number] = nn.Identity()


def drop_second_names(network: Any) -> None:
    """Leave each layer one name: the library gives it up to four, and weights are saved once for every name."""
    from dynamic_network_architectures.building_blocks.simple_conv_blocks import ConvDropoutNormReLU

    del network.decoder.encoder
    for block in network.modules():
        if isinstance(block, ConvDropoutNormReLU):
            for name in [name for name, _ in block.named_children() if name != "all_modules"]:
                delattr(block, name)

"""Squeeze and excitation of residual blocks: features weighed by channel, by place, or by both added up (scSE).

Source: Roy et al. 2018, "Concurrent spatial and channel squeeze & excitation in fully convolutional networks". Names of tensors are
those of ScrollPrize/villa's recto network. dynamic_network_architectures has the weighing by channel too, but in three dimensions it
averages over z and y alone; here, as in villa's network, it is over the whole patch.
"""

from torch import Tensor, nn

MULTIPLE = 8  # of the channels within, and the fewest there are


def squeezed_channels(channels: int, reduction: int) -> int:
    """Channels within the weighing by channel: one of `reduction`, to the nearest multiple of 8.

    >>> [squeezed_channels(n, 16) for n in (32, 256, 320)]
    [8, 16, 24]
    """
    return max(MULTIPLE, int(channels / reduction + MULTIPLE / 2) // MULTIPLE * MULTIPLE)


class ChannelSE(nn.Module):
    """Each channel times a share from 0 to 1, found from the means of all.

    After an instance normalisation these means are its biases, and the shares are the same for every patch.
    """

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        within = squeezed_channels(channels, reduction)
        self.fc1 = nn.Conv3d(channels, within, 1)
        self.fc2 = nn.Conv3d(within, channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, Z, Y, X) -> the same shape."""
        means = features.mean((2, 3, 4), keepdim=True)
        shares: Tensor = self.fc2(self.fc1(means).relu()).sigmoid()
        return features * shares


class SpatialSE(nn.Module):
    """Each place times a share from 0 to 1, found from its channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(channels, 1, 1)

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, Z, Y, X) -> the same shape."""
        shares: Tensor = self.conv(features).sigmoid()
        return features * shares


class ChannelSpatialSE(nn.Module):
    """Both, added up."""

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        self.cSE = ChannelSE(channels, reduction)
        self.sSE = SpatialSE(channels)

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, Z, Y, X) -> the same shape."""
        weighed: Tensor = self.cSE(features) + self.sSE(features)
        return weighed


def squeeze_blocks(network: nn.Module, kind: str, reduction: int) -> None:
    """Put a weighing of a `kind` other than none before the sum of every residual block, in place."""
    from dynamic_network_architectures.architectures.unet import ResidualEncoderUNet
    from dynamic_network_architectures.building_blocks.residual import BasicBlockD

    for block in (module for module in network.modules() if isinstance(module, BasicBlockD)):
        channels = block.output_channels
        weighing = ChannelSE(channels, reduction) if kind == "channel" else ChannelSpatialSE(channels, reduction)
        weighing.apply(ResidualEncoderUNet.initialize)
        block.apply_se, block.squeeze_excitation = True, weighing

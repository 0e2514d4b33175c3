"""The recto surface network as ScrollPrize/villa builds and saves it, small and with random weights."""

from collections.abc import Callable

import torch
from dynamic_network_architectures.building_blocks.residual import BasicBlockD
from dynamic_network_architectures.building_blocks.residual_encoders import ResidualEncoder
from dynamic_network_architectures.building_blocks.unet_decoder import UNetDecoder
from torch import Tensor, nn
from torch.nn.functional import linear

CHANNELS, BLOCKS, STRIDES = [8, 16, 24, 24], [1, 2, 1, 2], [[1, 1, 1], [2, 2, 2], [1, 2, 2], [2, 2, 2]]
WINDOW = (16, 32, 32)


class Weighing(nn.Module):
    """scSE, or its half by channel, by products of matrices: (B, C, Z, Y, X) -> the same shape."""

    def __init__(self, channels: int, within: int, is_both: bool) -> None:
        super().__init__()
        by_channel = nn.Module() if is_both else self
        by_channel.fc1, by_channel.fc2 = nn.Conv3d(channels, within, 1), nn.Conv3d(within, channels, 1)
        self.is_both = is_both
        if is_both:
            self.cSE, self.sSE = by_channel, nn.Module()
            self.sSE.conv = nn.Conv3d(channels, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        of = self.cSE if self.is_both else self
        first, second = ((layer.weight[:, :, 0, 0, 0], layer.bias) for layer in (of.fc1, of.fc2))
        shares = torch.sigmoid(linear(torch.relu(linear(x.mean((2, 3, 4)), *first)), *second))
        weighed = x * shares[:, :, None, None, None]
        return weighed + x * torch.sigmoid(self.sSE.conv(x)) if self.is_both else weighed


class Recto(nn.Module):
    """Encoder and decoder by nnU-Net's own parts, which the published network copies, under the names that it gives them."""

    def __init__(
        self, squeeze: str = "scse", classes: int = 2, within: Callable[[int], int] = lambda channels: 8
    ) -> None:
        super().__init__()
        self.shared_encoder = ResidualEncoder(
            1, 4, CHANNELS, nn.Conv3d, 3, STRIDES, BLOCKS, True, nn.InstanceNorm3d, {"affine": True, "eps": 1e-5},
            nonlin=nn.LeakyReLU, nonlin_kwargs={"inplace": True}, return_skips=True, squeeze_excitation=squeeze != "none",
        )  # fmt: skip
        for block in self.shared_encoder.modules():
            if isinstance(block, BasicBlockD) and squeeze != "none":
                channels = block.output_channels
                block.squeeze_excitation = Weighing(channels, within(channels), squeeze == "scse")
        decoder = UNetDecoder(self.shared_encoder, classes, 1, deep_supervision=False)
        self.task_decoders = nn.ModuleDict({"surface": decoder})

    def forward(self, windows: Tensor) -> Tensor:
        found: Tensor = self.task_decoders["surface"](self.shared_encoder(windows))
        return found

    def saved(self, before: str = "") -> dict[str, Tensor]:
        return {before + name: tensor for name, tensor in self.state_dict().items() if ".encoder." not in name}


def made(squeeze: str = "scse", classes: int = 2, **changes: object) -> Recto:
    """With random weights that say something."""
    torch.manual_seed(0)
    network = Recto(squeeze, classes, **changes).eval()  # type: ignore[arg-type]
    with torch.no_grad():
        for tensor in network.parameters():
            tensor.add_(0.2 * torch.randn_like(tensor))
    return network

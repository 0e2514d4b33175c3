"""The encoder of resnet3d: a stem and four stages of residual blocks, with the features of each stage.

Source: Hara et al. 2018; strides in depth as in younader/Vesuvius-Grandprize-Winner, models/resnetall.py: the stem keeps every
layer, and each stage after the first halves them.
"""

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional

STEM_KERNEL = 7
GAIN = 4  # channels out of a bottleneck, for each within it


class Shape(NamedTuple):
    """One convolution of a block."""

    kernel: int
    stride: int
    channels: int


class Block(nn.Module):
    """Convolutions `conv1`, `conv2`, ..., each normalised, beside a shortcut that is projected where shapes differ."""

    def __init__(self, inside: int, shapes: Sequence[Shape]) -> None:
        super().__init__()
        self.count = len(shapes)
        before, stride = inside, 1
        for number, shape in enumerate(shapes, start=1):
            convolution = nn.Conv3d(
                before, shape.channels, shape.kernel, shape.stride, padding=shape.kernel // 2, bias=False
            )
            self.add_module(f"conv{number}", convolution)
            self.add_module(f"bn{number}", nn.BatchNorm3d(shape.channels))
            before, stride = shape.channels, stride * shape.stride
        self.downsample: nn.Module | None = None
        if stride != 1 or inside != before:
            self.downsample = nn.Sequential(
                nn.Conv3d(inside, before, kernel_size=1, stride=stride, bias=False), nn.BatchNorm3d(before)
            )

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, Z, Y, X) -> (B, K, Z / stride, Y / stride, X / stride), rounded up."""
        shortcut = features if self.downsample is None else self.downsample(features)
        for number in range(1, self.count + 1):
            features = getattr(self, f"bn{number}")(getattr(self, f"conv{number}")(features))
            if number < self.count:
                features = functional.relu(features, inplace=True)
        return functional.relu(features + shortcut, inplace=True)


class Encoder(nn.Module):
    """Stem, then `layer1` to `layer4`; `widths` are the channels that each of these gives."""

    def __init__(self, blocks: Sequence[int], widths: Sequence[int], is_bottleneck: bool) -> None:
        super().__init__()
        self.widths = [width * GAIN if is_bottleneck else width for width in widths]
        self.conv1 = nn.Conv3d(
            1, widths[0], STEM_KERNEL, stride=(1, 2, 2), padding=STEM_KERNEL // 2, bias=False
        )  # (B, C, Z, Y / 2, X / 2)
        self.bn1 = nn.BatchNorm3d(widths[0])
        inside = widths[0]
        for number, (count, width) in enumerate(zip(blocks, widths, strict=True), start=1):
            stage = nn.Sequential()
            for index in range(count):
                stride = 2 if number > 1 and index == 0 else 1
                shapes = block_shapes(width, stride, is_bottleneck)
                stage.append(Block(inside, shapes))
                inside = shapes[-1].channels
            self.add_module(f"layer{number}", stage)
        self.apply(_initialise)

    def forward(self, ct: Tensor) -> list[Tensor]:
        """(B, 1, Z, Y, X) -> features of the four stages, finest first: (B, C, Z, Y / 4, X / 4), ..., (B, C, Z / 8, Y / 32, X / 32)."""
        features = functional.relu(self.bn1(self.conv1(ct)), inplace=True)
        features = functional.max_pool3d(features, kernel_size=(1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1))
        stages = []
        for number in range(1, 5):
            features = getattr(self, f"layer{number}")(features)
            stages.append(features)
        return stages


def block_shapes(width: int, stride: int, is_bottleneck: bool) -> list[Shape]:
    """The convolutions of one block of `width` channels.

    >>> [shape.channels for shape in block_shapes(64, 1, is_bottleneck=True)]
    [64, 64, 256]
    """
    if is_bottleneck:
        return [Shape(1, 1, width), Shape(3, stride, width), Shape(1, 1, width * GAIN)]
    return [Shape(3, stride, width), Shape(3, 1, width)]


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv3d):  # He et al. 2015, as the paper's authors do
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

"""A U-Net in the manner of nnU-Net: two convolutions per level, instance norm, strided downsampling; MONAI's DynUNet."""

from typing import TYPE_CHECKING

from scroll.runtime.lean_imports import BESIDE_MONAI, without
from stage1_3d.models.levels import LevelOptions, divisor

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Options", "build", "divisor"]


class Options(LevelOptions):
    """What a YAML may set for unet3d."""


def build(options: Options, patch_size: tuple[int, int, int]) -> "nn.Module":
    """(B, 1, Z, Y, X) -> (B, 1, Z, Y, X) logits; works for any legal patch, whatever `patch_size`.

    With `deep_supervision` a list of them while training, finest first.
    """
    with without(BESIDE_MONAI):
        from monai.networks.nets.dynunet import DynUNet
    from torch import nn

    from stage1_3d.models.deep_supervision import DynUNetLevels, FullSize

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
        deep_supervision=options.deep_supervision > 0,
        deep_supr_num=max(1, options.deep_supervision),
    )
    if options.deep_supervision:
        return FullSize(DynUNetLevels(network), 1 + options.deep_supervision)
    if options.strides[0] == (1, 1, 1):
        return network
    scale = tuple(float(stride) for stride in options.strides[0])
    return nn.Sequential(network, nn.Upsample(scale_factor=scale, mode="trilinear", align_corners=False))

"""The TimeSformer of the 2023 Grand Prize: layers are the frames of a film, and 16 logits are the sheet in 4 x 4 fields.

Attention runs in turn along the layers and within each (Bertasius et al. 2021, "Is space-time attention all you need for video
understanding?"). The network is the package timesformer-pytorch's, an optional one; arguments and names of tensors are those of
younader/Vesuvius-Grandprize-Winner: 26 layers of 64 x 64 pixels in tokens of 16 x 16.
"""

from importlib.util import find_spec
from math import isqrt
from typing import TYPE_CHECKING

from pydantic import Field, model_validator

from scroll.config.schema import Frozen
from scroll.errors import InputError

if TYPE_CHECKING:
    from torch import nn

PACKAGE = "timesformer_pytorch"


class Options(Frozen):
    """What a YAML may set for timesformer."""

    dim: int = Field(512, ge=1, le=65536, description="width of a token")
    token_px: int = Field(16, ge=1, le=65536, description="edge of a token; a patch holds whole ones")
    classes: int = Field(
        16, ge=1, le=65536, description="logits of a patch, a square number: 16 are 4 x 4 fields, then interpolated"
    )
    depth: int = Field(8, ge=1, le=65536, description="blocks of attention along the layers, then within them")
    heads: int = Field(6, ge=1, le=65536, description="attention heads of each block")
    dim_head: int = Field(64, ge=4, le=65536, multiple_of=4, description="width of a head; a multiple of 4")
    attn_dropout: float = Field(
        0.1, ge=0, lt=1, description="after attention, the share that is blanked while training"
    )
    ff_dropout: float = Field(0.1, ge=0, lt=1, description="the same within the feed-forward layers")
    input_norm: bool = Field(False, description="batch normalisation of the CT itself, as some shared weights have it")

    @model_validator(mode="after")
    def _classes_are_a_square(self) -> "Options":
        edge = isqrt(self.classes)
        if edge**2 != self.classes:
            raise ValueError(f"classes {self.classes} is no square number; set it to {edge**2} or {(edge + 1) ** 2}")
        return self


def divisor(options: Options) -> tuple[int, int, int]:
    """Multiples that a patch must be of, (z, y, x): whole tokens; `check` adds that it is square."""
    return 1, options.token_px, options.token_px


def check(options: Options, patch_size: tuple[int, int, int]) -> None:
    """Refuse a patch that is not square, and a Python without the package.

    Raises:
        InputError: either is so.
    """
    z, y, x = patch_size
    if y != x:
        raise InputError(
            f"patch_size {patch_size} does not suit 'timesformer', which needs as many pixels in y as in x; "
            f"set it to {(z, y, y)} or {(z, x, x)}"
        )
    if find_spec(PACKAGE) is None:
        raise InputError(
            "network 'timesformer' needs a package that is not installed; run pip install timesformer-pytorch, "
            "or choose another network"
        )


def build(options: Options, patch_size: tuple[int, int, int]) -> "nn.Module":
    """(B, 1, Z, Y, X) -> (B, 1, Z, Y, X) logits, the same in each layer, for patches of exactly `patch_size` in y and x.

    Raises:
        InputError: the patch is not square, or the package is not installed.
    """
    check(options, patch_size)
    from timesformer_pytorch import TimeSformer

    from stage1_3d.models.timesformer_map import SheetTimeSformer

    layers, edge, _ = patch_size
    backbone = TimeSformer(
        dim=options.dim,
        image_size=edge,
        patch_size=options.token_px,
        num_frames=layers,
        num_classes=options.classes,
        channels=1,
        depth=options.depth,
        heads=options.heads,
        dim_head=options.dim_head,
        attn_dropout=options.attn_dropout,
        ff_dropout=options.ff_dropout,
    )
    return SheetTimeSformer(backbone, edge, isqrt(options.classes), options.input_norm)

"""What the U-Nets share: the settings of their levels, and the divisor that follows."""

from math import prod

from pydantic import Field, model_validator

from scroll.config.schema import Count, Frozen

Stride = tuple[Count, Count, Count]


class LevelOptions(Frozen):
    """What a YAML may set for any U-Net."""

    channels: tuple[Count, ...] = Field((32, 64, 128, 256), min_length=3, description="channels of each level")
    strides: tuple[Stride, ...] = Field(
        ((1, 1, 1), (2, 2, 2), (2, 2, 2), (2, 2, 2)),
        description="downsampling on the way into each level (z, y, x), as many as channels; a first one above 1 saves most "
        "of the work and memory and is undone by interpolation at the end",
    )
    dropout: float = Field(0.0, ge=0, lt=1, description="share of channels that is blanked while training")
    deep_supervision: int = Field(
        0,
        ge=0,
        le=65536,
        description="further outputs that are trained on, one from each of so many levels below the finest; at most two "
        "fewer than there are levels",
    )

    @model_validator(mode="after")
    def _as_many_strides_as_channels(self) -> "LevelOptions":
        levels = len(self.channels)
        if len(self.strides) != levels:
            raise ValueError(f"{len(self.strides)} strides for {levels} channels; give as many of one as of the other")
        if self.deep_supervision > levels - 2:
            raise ValueError(
                f"deep_supervision {self.deep_supervision} with {levels} levels; set it to at most {levels - 2}"
            )
        return self


def divisor(options: LevelOptions) -> tuple[int, int, int]:
    """Multiples that a patch must be of, (z, y, x): the product of the strides."""
    z, y, x = (prod(stride[axis] for stride in options.strides) for axis in range(3))
    return z, y, x

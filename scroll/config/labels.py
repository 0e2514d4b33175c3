"""The settings of labels: which versions of their files are read, and what becomes of grey ones."""

from typing import Annotated, Literal

from pydantic import Field

from scroll.config.training import Frozen

Version = Annotated[int, Field(ge=0, le=10**9)]
Threshold = Annotated[int, Field(ge=1, le=255)]
GreyLabels = Threshold | Literal["refuse", "soft"]


class LabelVersions(Frozen):
    """Which `_v<N>` of each kind of label file is read; a name without number is version 0. None: the greatest number there is."""

    inklabels: Version | None = Field(None, description="of <id>_inklabels_v<N>")
    supervision_mask: Version | None = Field(
        None, description="of <id>_supervision_mask_v<N>: where the label is known"
    )
    validation_mask: Version | None = Field(
        None, description="of <id>_validation_mask_v<N>: where it is known and never trained on"
    )
    proposed_mask: Version | None = Field(
        None, exclude_if=lambda version: version is None,
        description="of <id>_proposed_mask_v<N>: where the label is proposed by a round, and no person's",
    )  # fmt: skip

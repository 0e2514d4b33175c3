"""The settings by which sheets are traced in probability. Everything else: scroll/config/schema.py."""

from pydantic import Field

from scroll.config.training import Frozen


class TracingSettings(Frozen):
    """How sheets are traced in the mean probability of the members; lengths in voxels."""

    min_prob: float = Field(0.3, gt=0, lt=1, description="a ridge of probability reaches at least this")
    step_vox: float = Field(1.0, gt=0, le=64, description="largest misfit of a ridge to where the sheet's slope leads")
    gap_vox: float = Field(12.0, ge=0, le=1024, description="gaps up to twice this width are bridged")
    claim_vox: float = Field(2.5, ge=0, le=1024, description="ridges as close to a traced sheet belong to it")
    least_area_vox: float = Field(3000.0, ge=0, le=1e9, description="smaller sheets are dropped, in square voxels")
    least_spacing_vox: float = Field(
        4.5,
        ge=0,
        le=1024,
        description="two sheets lie at least so far apart: where one was not seen, it keeps off the other",
    )
    follow_vox: float = Field(
        48.0,
        ge=0,
        le=4096,
        description="how far a sheet that ran into another is guessed to go on beside it; stage two says where it does",
    )
    margin_vox: float = Field(4.0, ge=0, le=1024, description="how far a sheet goes on beyond what was seen of it")
    reach_vox: int = Field(
        8, ge=1, le=256, description="layers of the flattened stack on either side of the sheet, a voxel apart"
    )

"""The settings of a run's data: where it is, how it is looked at, how it is split, and what of it is drawn how often."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from scroll.config.labels import GreyLabels, LabelVersions
from scroll.config.training import Frozen
from scroll.runtime.scroll_names import ItemName


def _first_before_end(span: tuple[int, int]) -> tuple[int, int]:
    if span[0] >= span[1]:
        raise ValueError("expected (first, end) with first < end, such as [-8, 8]")
    return span


Place = Annotated[int, Field(ge=-4096, le=4096)]
Layers = Annotated[tuple[Place, Place], AfterValidator(_first_before_end)]
Share = Annotated[float, Field(gt=0, le=1e9)]


UNKNOWN_TO = {  # settings that a kind of data does not know
    "segments": ("pool", "pool_from", "depth_offsets"),
    "cubes": ("pool", "pool_from", "labels", "label_versions", "grey_labels", "shares", "depth_offsets"),
}


class DataSettings(Frozen):
    """Where the CT is and which part of it the networks see."""

    kind: Literal["fragments", "segments", "cubes"] = Field(
        "fragments",
        description="flattened layer stacks, surfaces traced in scroll volumes, or cubes of CT with labelled surfaces",
    )
    root: Path = Field(
        Path("data/ink"),
        description="folder with train/<id>/ (and test/<id>/), or with train_images/<id>.tif: the competition's layout",
    )
    train: tuple[ItemName, ...] = Field(
        (), description="ids under train/ to use, or scroll/segment of `catalogue`; empty: all of them"
    )
    catalogue: str | None = Field(
        None, exclude_if=lambda source: source is None,
        description="path or address of a catalogue, from which scroll/segment in `train` is added where it is not there",
    )  # fmt: skip
    voxel_um: float = Field(7.91, ge=0.01, le=1e4, description="edge of a voxel, for areas and scale bars")
    depth: Layers = Field((-8, 8), description="layers seen, from (first, end) relative to the sheet's centre layer")
    pool: int = Field(
        1, ge=1, le=64, exclude_if=lambda pool: pool == 1,
        description="fragments: voxels of this many along z, y and x become one before anything else, which then is a voxel",
    )  # fmt: skip
    pool_from: Annotated[int, Field(ge=0, le=15)] | Literal["coarsest"] = Field(
        "coarsest", exclude_if=lambda level: level == "coarsest",
        description="fragments: level of a zarr's pyramid that is pooled; coarsest: of those that go into data.pool, as published ones are",
    )  # fmt: skip
    bin_yx: int = Field(1, ge=1, le=16, description="in-plane block mean before anything else; 2 quarters the work")
    cache_dir: Path = Field(
        Path("data/cache"), description="where working copies of layer stacks, and fetched chunks, are kept"
    )
    volume: str | None = Field(
        None, description="segments: path or URL of the OME-Zarr they lie in, where no volume_source.txt says so"
    )
    level: int = Field(0, ge=0, le=8, description="segments: level of the volume's pyramid that the 3D networks see")
    normal_sign: Literal[1, -1] = Field(
        1, description="segments: which way depth grows; 1: along dP/dcolumn x dP/drow, out of the scroll"
    )
    cache_mb: int = Field(
        512,
        ge=1,
        le=2**24,
        description="decoded chunks of zarrs kept in memory, for each volume that is open; loading processes share it out",
    )
    cache_gb: float = Field(
        50.0, ge=0, le=10**6, exclude_if=lambda limit: limit == 50.0,
        description="GiB of what is fetched over a network that are kept in cache_dir/chunks, as it is stored there; 0: nothing",
    )  # fmt: skip
    labels: Path | None = Field(
        None, exclude_if=lambda folder: folder is None,
        description="folder with <id>/ for each training sheet, whose labels and masks are read in place of those beside the CT",
    )  # fmt: skip
    label_versions: LabelVersions = Field(
        LabelVersions(), exclude_if=lambda versions: versions == LabelVersions(),
        description="which numbered label files are read; where none is requested the greatest number, each kind by itself",
    )  # fmt: skip
    grey_labels: GreyLabels = Field(
        "refuse", exclude_if=lambda how: how == "refuse",
        description="ink labels with greys: refused; a number, from which on (of 255) a pixel is ink; or soft: the share of white "
        "is the target",
    )  # fmt: skip

    @model_validator(mode="after")
    def _each_kind_has_its_own(self) -> "DataSettings":
        for name in UNKNOWN_TO.get(self.kind, ()):
            value, default = getattr(self, name, None), DataSettings.model_fields.get(name)
            if default is not None and value != default.get_default():
                raise ValueError(f"{name} is {value}, which {self.kind} do not know: leave it out")
        return self

    @model_validator(mode="after")
    def _names_of_a_catalogue_need_one(self) -> "DataSettings":
        named = next((name for name in self.train if "/" in name), None)
        if named is not None and self.kind == "cubes":
            raise ValueError(f"train names '{named}', and cubes are in no catalogue; give ids of cubes")
        if named is not None and self.catalogue is None:
            raise ValueError(
                f"train names '{named}' and catalogue is not set; set data.catalogue to the path or address of a catalogue, such as "
                "s3://vesuvius-challenge-open-data/metadata.json, or name the folder"
            )
        return self


class FoldSettings(Frozen):
    """How the training data is split so that every prediction used for fitting is out of fold."""

    by: Literal["fragment", "region", "volume", "scroll"] = Field(
        "fragment",
        description="whole fragments (or segments), bands of rows within each, whole volumes, or whole scrolls "
        "(of sheets as catalogue.json says)",
    )
    count: int = Field(2, ge=2, le=20, description="how many; every member is trained once for each")
    buffer_px: int = Field(
        128,
        ge=0,
        le=2**20,
        description="region only: rows of working resolution between training and held-out band; at least a patch",
    )


class SamplingSettings(Frozen):
    """What of the training data is drawn how often."""

    shares: dict[str, Share] | Literal["by_area"] = Field(
        {},
        description="share of every batch by scroll, in any unit; none: equal where several scrolls are trained together that a catalogue "
        "names; by_area: wherever there is papyrus",
    )

    def deciding(self) -> list[Any]:
        """For a training's key: what decides which patches it sees, where it is set; runs of before knew no shares."""
        return [self.model_dump(mode="json")] if self.shares else []

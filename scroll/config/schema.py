"""Every setting of a run: its type, its default, its unit or a sentence; frozen, and no key beyond those declared."""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from scroll.config.data import UNKNOWN_TO, DataSettings, FoldSettings, Layers, SamplingSettings
from scroll.config.intensity import IntensitySettings
from scroll.config.rounds import DepthOffsets, RoundSettings
from scroll.config.tracing import TracingSettings
from scroll.config.training import AugmentSettings, Frozen, LossSettings, TrainingSettings
from scroll.config.yaml_text import with_numbers
from scroll.runtime.names import Name, all_different, distinguishable
from scroll.runtime.run_folder import RunFolder

MOST_SEED = 2**32 - 1


def _below_one(overlap: float | tuple[float, ...]) -> float | tuple[float, ...]:
    for share in overlap if isinstance(overlap, tuple) else (overlap,):
        if not 0 <= share < 1:
            raise ValueError(f"expected 0 <= overlap < 1, found {share}")
    return overlap


Overlap = Annotated[float | tuple[float, ...], AfterValidator(_below_one)]


def _finite(content: Any) -> Any:
    """Options have no types here; their network's own check them, but for NaN and infinity, which no option means."""
    parts = content.values() if isinstance(content, dict) else content if isinstance(content, list | tuple) else ()
    for part in parts:
        _finite(part)
    if isinstance(content, float) and not math.isfinite(content):
        raise ValueError(f"expected finite numbers, found {content}")
    return content


def _off(mode: Any) -> Any:
    return "off" if mode is False else mode  # as YAML reads the word


Edge = Annotated[int, Field(gt=0, le=8192)]
Count = Annotated[int, Field(gt=0, le=65536)]  # of a network's channels, blocks, heads
Prob = Annotated[float, Field(ge=0, le=1)]
Length = Annotated[float, Field(ge=0, le=256)]  # voxels
Radius = Annotated[int, Field(ge=0, le=64)]
Voxels = Annotated[int, Field(ge=0, le=10**10)]
Options = Annotated[dict[str, Any], BeforeValidator(with_numbers), AfterValidator(_finite)]


class MemberSettings(Frozen):
    """One member of the stage-one ensemble."""

    network: str = Field(
        description="cnn3d, unet3d, resenc_unet, segresnet, unetr, swinunetr, primus, resnet3d, timesformer or stem3d_unet2d: "
        "a file of stage1_3d/models",
    )
    member: Path | None = Field(
        None, exclude_if=lambda folder: folder is None,
        description="in its place: the folder of a network of others, with its card (scripts/import_member.py); it is not trained",
    )  # fmt: skip
    resample: bool = Field(
        False, exclude_if=lambda is_on: not is_on,
        description="of a member of others: voxels of another size than it was trained at are resampled to that, up to 4 times as wide "
        "or narrow, and what it says is brought back; else they are refused",
    )  # fmt: skip
    weight: Literal["fitted", "equal_share"] | None = Field(
        None, exclude_if=lambda weight: weight is None,
        description="equal_share: an equal part in the blend, and none in stage two or any fit; none: that for a member of others "
        "that has seen all training items, else fitted; fitted: it is refused where it has",
    )  # fmt: skip
    init: Path | None = Field(
        None, exclude_if=lambda source: source is None,
        description="weights to begin from: a checkpoint, or a member's folder with its card; what fits by name and shape is taken",
    )  # fmt: skip
    options: Options = Field({}, description="the network's own options")
    patch_size: tuple[Edge, Edge, Edge] = Field(
        (16, 96, 96), description="z, y, x in voxels of working resolution; the network says which multiples it needs"
    )
    auto_pad: bool = Field(False, description="pad patches to the network's next legal size instead of refusing them")
    intensity: IntensitySettings | None = Field(
        None, exclude_if=lambda intensity: intensity is None,
        description="how the network sees grey values; none: by median and half the 16-84 % range of the item, cut at 8; brightness and "
        "noise of augment are in units of what it sees",
    )  # fmt: skip
    supervision: Literal["depth_pool", "band"] = Field(
        "depth_pool",
        description="loss on depth-pooled logits, or (band) voxel by voxel, as scroll space and cubes need it",
    )
    pool: Literal["max", "mean", "logsumexp", "topk"] = Field(
        "max", description="depth_pool only: how logits are pooled over depth; topk: mean of the highest quarter"
    )
    ink_depth: Layers = Field((-3, 3), description="band only: layers that hold ink, relative to the sheet's centre")
    foreground_share: float = Field(
        0.5,
        ge=0,
        le=1,
        serialization_alias="ink_share",
        description="share of patches drawn around ink, or the surface of cubes",
    )
    seed: int = Field(0, ge=0, le=MOST_SEED, description="added to the run's: tells apart members of the same network")
    training: TrainingSettings = TrainingSettings()
    loss: LossSettings = LossSettings()
    augment: AugmentSettings = AugmentSettings()

    @model_validator(mode="before")
    @classmethod
    def _one_of_others_has_no_network(cls, content: Any) -> Any:
        if not isinstance(content, dict):
            return content
        if content.get("member") is None:  # one of ours is fitted, said or not
            if content.get("resample"):
                raise ValueError(
                    "resample is of the folder that member names; a network that is trained here sees the voxels of its data"
                )
            return {key: value for key, value in content.items() if (key, value) != ("weight", "fitted")}
        if content.get("network"):
            raise ValueError("give network (which is trained) or member (the folder of one that was), one of the two")
        if content.get("intensity") is not None:
            raise ValueError(
                "intensity is that of a network that is trained here; what member names has its own on its card"
            )
        return content | {"network": ""}


class FlattenSettings(Frozen):
    """How a volume of probabilities becomes an image on the sheet."""

    reduce: Literal["max", "mean", "logsumexp", "topk", "layers"] = Field(
        "max", description="how depth is pooled; topk: mean of the highest quarter; layers: every layer is a channel"
    )
    window: Layers | None = Field(None, description="layers relative to the sheet's centre; none: all predicted ones")
    ct: Literal["none", "max", "mean", "layers"] = Field("none", description="the CT as further channels of stage two")


class WindowSettings(Frozen):
    """Sliding-window prediction."""

    overlap: Overlap = Field(
        0.5,
        description="share of a window that the next one sees again: one number, or one for each axis, (z, y, x) or (y, x)",
    )
    blend: Literal["hann", "gaussian", "uniform"] = Field(
        "hann", description="how windows are weighted where they overlap"
    )
    tta: Literal["none", "flips", "dihedral"] = Field("none", description="test-time symmetries: 1, 4 or 8 views")
    average: Literal["logits", "probabilities"] = Field(
        "logits", description="what of windows, views and folds is averaged"
    )
    batch_size: int = Field(4, ge=1, le=65536, description="windows per forward pass")
    compile: bool = Field(
        False, exclude_if=lambda is_on: not is_on,
        description="torch.compile of the networks that predict; tried on the first windows, left alone where it fails or changes scores",
    )  # fmt: skip

    def overlap_along(self, axes: int) -> tuple[float, ...]:
        """The overlap along each of so many axes.

        Raises:
            ValueError: it has numbers for another number of axes.
        """
        shares = self.overlap if isinstance(self.overlap, tuple) else (self.overlap,) * axes
        if len(shares) != axes:
            names = ("z", "y", "x")[-axes:]
            raise ValueError(f"overlap has {len(shares)} numbers; give one, or one for each of {', '.join(names)}")
        return shares


class Stage1WindowSettings(WindowSettings):
    """Sliding-window prediction by the members of stage one."""

    depth_offsets: DepthOffsets = Field(
        (), exclude_if=lambda offsets: not offsets,
        description="fragments: layers by which the depth window is shifted too, such as [-2, 2]; a member's prediction is the mean of "
        "the probabilities of all these windows and of the one that is not shifted, which always counts; each costs a prediction",
    )  # fmt: skip

    @property
    def depth_shifts(self) -> tuple[int, ...]:
        """By how many layers each depth window is shifted, the one that is not first."""
        return (0, *self.depth_offsets)


def _for_axes(axes: int) -> AfterValidator:
    def check(window: WindowSettings) -> WindowSettings:
        window.overlap_along(axes)
        return window

    return AfterValidator(check)


class Stage1Settings(Frozen):
    """The 3D ensemble; `defaults` in the YAML is merged under every member before validation."""

    members: Annotated[dict[Name, MemberSettings], AfterValidator(distinguishable)] = Field(min_length=1)
    flatten: FlattenSettings = FlattenSettings()
    window: Annotated[Stage1WindowSettings, _for_axes(3)] = Stage1WindowSettings()
    seen_all: tuple[str, ...] = Field(
        (), exclude_if=lambda names: not names,
        description="members of others without a weight here that have seen all training items; written by stage one, not set",
    )  # fmt: skip

    @property
    def trained(self) -> dict[str, MemberSettings]:
        """The members that are trained here; the others were elsewhere."""
        return {name: member for name, member in self.members.items() if member.member is None}

    @property
    def fitted(self) -> list[str]:
        """The members whose weight is fitted, and that stage two sees."""
        stated = {name for name, member in self.members.items() if member.weight == "equal_share"}
        open_ones = {name for name, member in self.members.items() if member.weight is None}
        return [name for name in self.members if name not in stated | open_ones.intersection(self.seen_all)]

    @property
    def sources(self) -> list[str]:
        """Whose flattened channels stage two sees: every member that is fitted, then the CT if asked for."""
        return [*self.fitted, *(["ct"] if self.flatten.ct != "none" else [])]


class CorruptionSettings(Frozen):
    """Corruption of the members' probabilities on a traced sheet while stage two is trained: chances for each patch."""

    holes: float = Field(0.5, ge=0, le=1, description="blots where no member sees anything")
    bridges: float = Field(0.3, ge=0, le=1, description="blots where the ridge is drawn out to a neighbouring sheet")
    specks: float = Field(
        0.3, ge=0, le=1, serialization_alias="dust", description="specks of probability above and below the sheet"
    )
    shift_vox: float = Field(
        1.0, ge=0, le=64, description="standard deviation of how far the sheet is traced beside the ridge"
    )


class Stage2Settings(Frozen):
    """The 2D network on the flattened stack."""

    network: str = Field("segformer", description="segformer, or smp.<decoder> such as smp.unet")
    init: Path | None = Field(
        None, exclude_if=lambda source: source is None,
        description="weights to begin from: a checkpoint, or <run>/stage2; what fits by name and shape is taken",
    )  # fmt: skip
    options: Options = Field({}, description="the network's own options")
    skip: bool = Field(
        True, description="add a weighted sum of the input channels to the logits: the network learns what to change"
    )
    patch_size: tuple[Edge, Edge] = Field(
        (256, 256), description="y, x in pixels of working resolution; multiples of 32"
    )
    foreground_share: float = Field(
        0.5, ge=0, le=1, serialization_alias="ink_share", description="share of patches drawn around ink"
    )
    seed: int = Field(0, ge=0, le=MOST_SEED, description="added to the run's")
    training: TrainingSettings = TrainingSettings()
    loss: LossSettings = LossSettings()
    offset_share: float = Field(
        0.5, ge=0, le=1e6, description="cubes only: share of the loss for how far off the sheet is"
    )
    augment: AugmentSettings = AugmentSettings(depth_jitter=0)
    corruption: CorruptionSettings = Field(
        CorruptionSettings(),
        serialization_alias="damage",
        description="cubes only: what is drawn in, so that it is mended",
    )
    window: Annotated[WindowSettings, _for_axes(2)] = WindowSettings()


class EndToEndSettings(Frozen):
    """One stage-one network, its flattening and stage two trained on end to end, from the weights of the two passes."""

    member: str = Field(description="the member of stage one that is trained on; the others' channels stay as they are")
    patch_size_yx: tuple[Edge, Edge] = Field(
        (256, 256), description="in pixels of working resolution; all of data.depth is seen"
    )
    seed: int = Field(0, ge=0, le=MOST_SEED, description="added to the run's")
    training: TrainingSettings = TrainingSettings(learning_rate=1e-4)


class PostProcessingSettings(Frozen):
    """What is tried when the post-processing of cubes is fitted: values of each step; an empty list leaves the step out."""

    thresholds: tuple[Prob, ...] = Field(
        (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7), min_length=1, description="of the probability, rising"
    )
    smooth_sigma_vox: tuple[Length, ...] = Field((0.5, 1.0, 1.5, 2.0), description="blur of the probability")
    strong: tuple[Prob, ...] = Field((0.3, 0.5, 0.7, 0.85), description="a component needs one voxel of so much")
    small_components_vox: tuple[Voxels, ...] = Field(
        (100, 500, 2000, 10000), serialization_alias="dust_vox", description="smaller 6-connected components go"
    )
    thickness_vox: tuple[Length, ...] = Field((2.0, 3.0, 4.0, 5.0), description="of sheets, about the ridges")
    even: tuple[tuple[Length, Prob], ...] = Field(
        ((1.0, 0.5), (1.5, 0.4), (1.5, 0.5), (2.0, 0.3), (2.0, 0.4)),
        description="blur of the mask in voxels, and the level at which it is cut again",
    )
    closing_radius_vox: tuple[Radius, ...] = Field((1, 2, 3, 4), description="gaps up to twice as wide are closed")
    fill_holes_radius_vox: tuple[Radius, ...] = Field(
        (2, 3, 5), serialization_alias="plug_radius_vox", description="gaps filled one by one where that mends topology"
    )
    cavity_vox: tuple[Voxels, ...] = Field((100, 1_000_000), description="the largest cavity that is filled")
    remains_vox: tuple[Voxels, ...] = Field(
        (100, 500, 2000, 5000), description="as small_components_vox, after the other steps"
    )
    octant_small_components_vox: tuple[Voxels, ...] = Field(
        (10, 100, 300, 1000),
        serialization_alias="octant_dust_vox",
        description="as small_components_vox, in each octant of the score",
    )
    cubes: int = Field(
        32,
        ge=1,
        le=10**5,
        description="as many are fitted on, taken from every scroll in turn: each takes seconds a try",
    )
    min_gain: float = Field(5e-4, ge=0, le=1, description="of the mean score; a step that brings no more is left out")
    passes: int = Field(2, ge=1, le=100, description="times that all steps are gone through")


class EnsembleSettings(Frozen):
    """From probability maps to a submission."""

    weights: Literal["fitted", "equal"] = Field("fitted", description="of the members' maps; fitted out of fold")
    threshold: Prob | Literal["fitted"] = Field(
        "fitted", description="probability from which a pixel is ink; fitted: the highest F0.5 out of fold"
    )
    min_area_um2: float = Field(20_000.0, ge=0, le=1e12, description="smaller ink components are dropped")
    when_empty: Literal["refuse", "one_pixel"] = Field(
        "refuse", description="what an empty prediction becomes in the submission"
    )
    lift_thickness_vox: int = Field(
        3, ge=1, le=256, description="thickness of the ink layer lifted into the volume for surface Dice"
    )
    post_processing: PostProcessingSettings = Field(PostProcessingSettings(), serialization_alias="chain")


class PreflightSettings(Frozen):
    """What is done before a prediction with a stack that does not lie as in training."""

    mode: Annotated[Literal["correct", "refuse", "warn", "off"], BeforeValidator(_off)] = Field(
        "correct",
        description="turn and shift what clearly needs it and refuse the rest, refuse both, only say so, or do not look",
    )
    windows: int = Field(24, ge=1, le=1000, description="squares of 128 pixels that are looked at in each stack")


class Settings(Frozen):
    """Everything a run needs; saved resolved in the run folder."""

    run_dir: Path = Field(description="folder that everything made by this run goes to")
    seed: int = Field(0, ge=0, le=MOST_SEED, description="of all that is drawn at random")
    data: DataSettings = DataSettings()
    folds: FoldSettings = FoldSettings()
    sampling: SamplingSettings = Field(SamplingSettings(), exclude_if=lambda sampling: sampling == SamplingSettings())
    stage1: Stage1Settings
    tracing: TracingSettings = Field(
        TracingSettings(), description="cubes only: sheets between stage one and stage two"
    )
    stage2: Stage2Settings = Stage2Settings()
    end_to_end: EndToEndSettings | None = Field(
        None, serialization_alias="joint", description="`make end-to-end` after stage two; none: left out"
    )
    ensemble: EnsembleSettings = EnsembleSettings()
    preflight: PreflightSettings = PreflightSettings()
    rounds: RoundSettings = Field(RoundSettings(), exclude_if=lambda rounds: rounds == RoundSettings())
    plan: Annotated[dict[str, tuple[Any, Any]], BeforeValidator(with_numbers)] = Field(
        {},
        description="what a plan (`--set @plan.yaml`) changed: each setting's value before and after; written, not set",
    )
    trackers: Annotated[tuple[Literal["wandb", "mlflow"], ...], AfterValidator(all_different)] = Field(
        (),
        description="where curves go besides history.jsonl and TensorBoard; offline unless their own variables say so",
    )

    @model_validator(mode="after")
    def _what_is_set_is_known(self) -> "Settings":
        if self.sampling.shares and "shares" in UNKNOWN_TO.get(self.data.kind, ()):
            raise ValueError(f"sampling.shares is set, which {self.data.kind} do not know: leave it out")
        if self.stage1.window.depth_offsets and "depth_offsets" in UNKNOWN_TO.get(self.data.kind, ()):
            raise ValueError(
                f"stage1.window.depth_offsets is set, which {self.data.kind} do not know, for no axis of theirs is depth: leave it out"
            )
        return self

    @property
    def folder(self) -> RunFolder:
        """The places of the run."""
        return RunFolder(self.run_dir)

    def with_seen_all(self, names: Iterable[str]) -> "Settings":
        """The same, and these members have seen all training items."""
        return self.model_copy(update={"stage1": self.stage1.model_copy(update={"seen_all": tuple(names)})})

"""One YAML per run -> frozen settings; unknown keys are errors that say what was probably meant."""

import difflib
from collections.abc import Sequence
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PositiveInt, ValidationError

from scroll.errors import InputError, MissingInputError
from scroll.files import write_text


def _first_before_end(span: tuple[int, int]) -> tuple[int, int]:
    if span[0] >= span[1]:
        raise ValueError("expected (first, end) with first < end, such as [-8, 8]")
    return span


Layers = Annotated[tuple[int, int], AfterValidator(_first_before_end)]
Name = Annotated[str, Field(coerce_numbers_to_str=True)]  # YAML reads the fragments 1, 2, 3 as numbers


class Frozen(BaseModel):
    """A group of settings: immutable, and no key beyond those declared."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class DataSettings(Frozen):
    """Where the CT lies and which part of it the networks see."""

    kind: Literal["fragments", "segments"] = Field(
        "fragments", description="flattened layer stacks, or surfaces traced in scroll volumes"
    )
    root: Path = Field(
        Path("data/ink"), description="folder with train/<id>/ (and test/<id>/), in the competition's layout"
    )
    train: tuple[Name, ...] = Field((), description="ids under train/ to use; empty: all of them")
    voxel_um: float = Field(7.91, gt=0, description="edge of a voxel, for areas and scale bars")
    depth: Layers = Field((-8, 8), description="layers seen, from (first, end) relative to the sheet's centre layer")
    bin_yx: int = Field(1, ge=1, le=16, description="in-plane block mean before anything else; 2 quarters the work")
    cache_dir: Path = Field(Path("data/cache"), description="where working copies of layer stacks are kept")
    volume: str | None = Field(
        None, description="segments: path or URL of the OME-Zarr they lie in, where no volume_source.txt says so"
    )
    level: int = Field(0, ge=0, le=8, description="segments: level of the volume's pyramid that the 3D networks see")
    normal_sign: Literal[1, -1] = Field(
        1, description="segments: which way depth grows; 1: along dP/dcolumn x dP/drow, out of the scroll"
    )
    cache_mb: int = Field(
        512, ge=1, description="segments: decoded chunks kept in memory, for each volume that is open in a process"
    )


class FoldSettings(Frozen):
    """How the training data is split so that every prediction used for fitting is out of fold."""

    by: Literal["fragment", "region", "volume"] = Field(
        "fragment", description="whole fragments (or segments), bands of rows within each, or whole scroll volumes"
    )
    count: int = Field(2, ge=2, le=20)
    buffer_px: int = Field(
        128, ge=0, description="region only: rows of working resolution between training and held-out band"
    )


class AugmentSettings(Frozen):
    """Random changes of a training patch; the same draw moves image, label and ignore mask."""

    flips: bool = True
    quarter_turns: bool = True
    brightness: float = Field(0.2, ge=0, description="largest shift, in standard deviations of the fragment")
    contrast: float = Field(0.2, ge=0, lt=1, description="largest relative change of contrast")
    noise: float = Field(0.1, ge=0, description="largest standard deviation of added noise")
    layer_dropout: float = Field(
        0.25, ge=0, le=1, description="chance that one or two layers (channels in 2D) are blanked"
    )
    depth_jitter: int = Field(1, ge=0, description="largest shift of the depth window, in layers")
    cutout: float = Field(
        0.25, ge=0, le=1, description="chance that a rectangle of the image, at most a quarter wide, is blanked"
    )


class LoaderSettings(Frozen):
    """How patches reach the model; changes the speed, never the result."""

    workers: int = Field(0, ge=0)
    prefetch_factor: int = Field(2, ge=1)
    pin_memory: bool = False
    persistent_workers: bool = True
    start_method: Literal["spawn", "fork", "forkserver"] = "spawn"


class TrainingSettings(Frozen):
    """One optimisation, counted in steps."""

    steps: int = Field(1000, ge=1, description="optimiser steps")
    train_batch_size: int = Field(2, ge=1, description="patches per forward pass on one device")
    validation_batch_size: int = Field(2, ge=1)
    accumulate_steps: int = Field(1, ge=1, description="forward passes per optimiser step")
    learning_rate: float = Field(3e-3, gt=0)
    weight_decay: float = Field(0.01, ge=0, description="on weights of two or more axes only, not on norms and biases")
    warmup_steps: int = Field(50, ge=0)
    gradient_clip: float = Field(1.0, gt=0, description="largest norm of the whole gradient, after unscaling")
    ema_decay: float = Field(0.99, ge=0, lt=1, description="of the averaged weights that are saved; 0: no averaging")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto", description="auto: on a GPU bf16 where it computes in it, else fp16; on a CPU fp32"
    )
    validate_every: int = Field(100, ge=1)
    validation_patches: int = Field(16, ge=1)
    checkpoint_every: int = Field(100, ge=1)
    loader: LoaderSettings = LoaderSettings()


class MemberSettings(Frozen):
    """One member of the stage-one ensemble."""

    network: str = Field(description="name of a network in stage1_3d/models")
    options: dict[str, Any] = Field({}, description="the network's own options")
    patch_size: tuple[PositiveInt, PositiveInt, PositiveInt] = (16, 96, 96)
    auto_pad: bool = Field(False, description="pad patches to the network's next legal size instead of refusing them")
    supervision: Literal["depth_pool", "band"] = Field(
        "depth_pool", description="loss on depth-pooled logits, or voxel by voxel"
    )
    pool: Literal["max", "mean", "logsumexp", "topk"] = Field("max", description="depth pooling of the loss")
    ink_depth: Layers = Field((-3, 3), description="band only: layers that hold ink, relative to the sheet's centre")
    ink_share: float = Field(0.5, ge=0, le=1, description="share of patches drawn around ink")
    seed: int = Field(0, ge=0)
    training: TrainingSettings = TrainingSettings()
    augment: AugmentSettings = AugmentSettings()


class FlattenSettings(Frozen):
    """How a volume of probabilities becomes an image on the sheet."""

    reduce: Literal["max", "mean", "logsumexp", "topk", "layers"] = "max"
    window: Layers | None = Field(None, description="layers relative to the sheet's centre; none: all predicted ones")
    ct: Literal["none", "max", "mean", "layers"] = Field("none", description="the CT as further channels of stage two")


class WindowSettings(Frozen):
    """Sliding-window prediction."""

    overlap: float = Field(0.5, ge=0, lt=1)
    blend: Literal["hann", "gaussian", "uniform"] = "hann"
    tta: Literal["none", "flips", "dihedral"] = Field("none", description="test-time symmetries: 1, 4 or 8 views")
    average: Literal["logits", "probabilities"] = "logits"
    batch_size: int = Field(4, ge=1)


class Stage1Settings(Frozen):
    """The 3D ensemble; `defaults` in the YAML is merged under every member before validation."""

    members: dict[str, MemberSettings] = Field(min_length=1)
    flatten: FlattenSettings = FlattenSettings()
    window: WindowSettings = WindowSettings()

    @property
    def sources(self) -> list[str]:
        """Whose flattened channels stage two sees: every member, then the CT if asked for."""
        return [*self.members, *(["ct"] if self.flatten.ct != "none" else [])]


class Stage2Settings(Frozen):
    """The 2D network on the flattened stack."""

    network: str = Field("segformer", description="segformer, or smp.<decoder> such as smp.unet")
    options: dict[str, Any] = {}
    skip: bool = Field(
        True, description="add a weighted sum of the input channels to the logits: the network learns what to change"
    )
    patch_size: tuple[PositiveInt, PositiveInt] = (256, 256)
    ink_share: float = Field(0.5, ge=0, le=1)
    seed: int = Field(0, ge=0)
    training: TrainingSettings = TrainingSettings()
    augment: AugmentSettings = AugmentSettings(depth_jitter=0)
    window: WindowSettings = WindowSettings()


class EnsembleSettings(Frozen):
    """From probability maps to a submission."""

    weights: Literal["fitted", "equal"] = "fitted"
    threshold: float | Literal["fitted"] = "fitted"
    min_area_um2: float = Field(20_000.0, ge=0, description="smaller ink components are dropped")
    when_empty: Literal["refuse", "one_pixel"] = Field(
        "refuse", description="what an empty prediction becomes in the submission"
    )
    lift_thickness_vox: int = Field(
        3, ge=1, description="thickness of the ink layer lifted into the volume for surface Dice"
    )


class PreflightSettings(Frozen):
    """What is done before a prediction with a stack that does not lie as in training."""

    mode: Literal["correct", "refuse", "warn", "off"] = Field(
        "correct",
        description="turn and shift what clearly needs it and refuse the rest, refuse both, only say so, or do not look",
    )
    windows: int = Field(24, ge=1, le=1000, description="squares of 128 pixels that are looked at in each stack")


class Settings(Frozen):
    """Everything a run needs; saved resolved in the run folder."""

    run_dir: Path
    seed: int = Field(0, ge=0)
    data: DataSettings = DataSettings()
    folds: FoldSettings = FoldSettings()
    stage1: Stage1Settings
    stage2: Stage2Settings = Stage2Settings()
    ensemble: EnsembleSettings = EnsembleSettings()
    preflight: PreflightSettings = PreflightSettings()


def load_settings(path: Path, overrides: Sequence[str] = ()) -> Settings:
    """Read a configuration, its parents (`extends:`) and `a.b=c` overrides into checked settings.

    Relative paths inside mean: relative to the working directory.

    Raises:
        InputError: unreadable YAML, unknown key, or a value of the wrong type; one line, naming the file and the key.
    """
    raw = _read_with_parents(path, seen=())
    for override in overrides:
        raw = merged(raw, _parsed_override(override))
    return _validated(_with_member_defaults(raw, path), path)


def save_settings(settings: Settings, path: Path) -> None:
    """Write the resolved settings as YAML that `load_settings` reads back to the same."""
    write_text(path, yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False))


def merged(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """`over` laid on `under`, mapping by mapping; lists are replaced whole.

    >>> merged({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}})
    {'a': {'b': 3, 'c': 2}}
    """
    result = dict(under)
    for key, value in over.items():
        both_mappings = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merged(result[key], value) if both_mappings else value
    return result


def _read_with_parents(path: Path, seen: tuple[Path, ...]) -> dict[str, Any]:
    if path.resolve() in seen:
        raise InputError(f"{path}: extends itself by way of {' -> '.join(p.name for p in seen)}; remove one 'extends:'")
    raw = _read_yaml(path)
    parent = raw.pop("extends", None)
    if parent is None:
        return raw
    return merged(_read_with_parents(path.parent / str(parent), (*seen, path.resolve())), raw)


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        near = sorted(p.name for p in path.parent.glob("*.yaml")) if path.parent.is_dir() else []
        raise MissingInputError(
            f"{path}: no such configuration; there are: {', '.join(near) or 'none beside it'}"
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError, IsADirectoryError) as error:
        raise InputError(f"{path}: not readable as YAML: {' '.join(str(error).split())}") from None
    if not isinstance(raw, dict):
        raise InputError(f"{path}: expected a mapping of settings, found {type(raw).__name__}")
    return raw


def _parsed_override(override: str) -> dict[str, Any]:
    dotted, equals, value = override.partition("=")
    if not equals or not dotted:
        raise InputError(f"--set {override}: expected a.b=value, for example --set data.bin_yx=2")
    try:
        nested: Any = yaml.safe_load(value)
    except yaml.YAMLError:
        raise InputError(
            f"--set {override}: the value is not readable as YAML; quote it or close its brackets"
        ) from None
    for key in reversed(dotted.split(".")):
        nested = {key: nested}
    return dict(nested)


def _with_member_defaults(raw: dict[str, Any], path: Path) -> dict[str, Any]:
    stage1 = raw.get("stage1")
    if not isinstance(stage1, dict) or "defaults" not in stage1:
        return raw
    defaults, members = stage1["defaults"] or {}, stage1.get("members") or {}
    for where, group in (("defaults", defaults), ("members", members)):
        if not isinstance(group, dict):
            raise InputError(f"{path}: 'stage1.{where}' is {group!r}: expected a mapping")
    try:
        MemberSettings.model_validate({"network": "any", **defaults})
    except ValidationError as error:
        raise InputError(_one_line(error, path, MemberSettings, prefix=("stage1", "defaults"))) from None
    members = {
        name: merged(defaults, member) if isinstance(member, dict) else member for name, member in members.items()
    }
    return {**raw, "stage1": {key: value for key, value in stage1.items() if key != "defaults"} | {"members": members}}


def _validated(raw: dict[str, Any], path: Path) -> Settings:
    try:
        return Settings.model_validate(raw)
    except ValidationError as error:
        raise InputError(_one_line(error, path, Settings)) from None


def _one_line(error: ValidationError, path: Path, model: type[BaseModel], prefix: tuple[str, ...] = ()) -> str:
    said = []
    for problem in error.errors()[:3]:
        where = ".".join((*prefix, *(str(part) for part in problem["loc"])))
        if problem["type"] == "extra_forbidden":
            known = _keys_beside(model, problem["loc"])
            near = difflib.get_close_matches(str(problem["loc"][-1]), known, n=1, cutoff=0.5)
            hint = f"did you mean '{near[0]}'?" if near else f"known keys: {', '.join(known)}"
            said.append(f"unknown key '{where}'; {hint}")
        elif problem["type"] == "missing":
            said.append(f"'{where}' is missing; add it")
        else:
            said.append(f"'{where}' is {problem['input']!r}: {problem['msg']}")
    return f"{path}: " + "; ".join(said)


def _keys_beside(model: type[BaseModel], loc: tuple[int | str, ...]) -> list[str]:
    """The keys that are legal where the last part of `loc` stands."""
    here: Any = model
    for part in loc[:-1]:
        here = _below(here, str(part))
    if not (isinstance(here, type) and issubclass(here, BaseModel)):
        return []
    only_in_yaml = {Settings: ["extends"], Stage1Settings: ["defaults"]}.get(here, [])
    return sorted([*here.model_fields, *only_in_yaml])


def _below(annotation: Any, key: str) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        field = annotation.model_fields.get(key)
        return field.annotation if field else None
    if get_origin(annotation) is dict:
        return get_args(annotation)[1]
    if get_origin(annotation) in (Union, UnionType):
        return next((arg for arg in get_args(annotation) if isinstance(arg, type)), None)
    return None

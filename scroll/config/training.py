"""The settings of a training: augmentation, loss, loading, optimisation. Everything else: scroll/config/schema.py."""

from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator


class Frozen(BaseModel):
    """A group of settings: immutable, no key beyond those declared, and every number finite and written as one."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_word_for_a_number(cls, value: Any, about: ValidationInfo) -> Any:
        """YAML reads yes, no, on and off as true and false, and pydantic takes those for 1 and 0."""
        if _is_number(cls.model_fields[about.field_name or ""].annotation) and _holds_word(value):
            raise ValueError("expected a number, found a word such as true, yes or off")
        return value

    @field_validator("*", mode="before")
    @classmethod
    def refuse_unprintable(cls, value: Any) -> Any:
        """Text becomes names, paths and addresses, none of which holds an end of line or of text."""
        if isinstance(value, str) and not value.isprintable():
            raise ValueError(f"{value!r} holds signs that no name or path has")
        return value

    def for_key(self, **how: Any) -> dict[str, object]:
        """What a key is made of: settings by their first names, so that a new name makes nothing again; `how` as `model_dump` takes it."""
        return self.model_dump(mode="json", by_alias=True, **how)


def _is_number(annotation: Any) -> bool:
    """Whether a setting is a number, one of some numbers, or a list of numbers."""
    is_one = annotation in (int, float) or type(annotation) is int
    return is_one or any(_is_number(part) for part in get_args(annotation))


def _holds_word(value: Any) -> bool:
    return isinstance(value, bool) or (isinstance(value, list | tuple) and any(map(_holds_word, value)))


class AugmentSettings(Frozen):
    """Random changes of a training patch; the same draw moves image, label and ignore mask."""

    flips: bool = Field(True, description="mirror along the axes that the label allows")
    quarter_turns: bool = Field(True, description="turn by 90 degrees where the label allows it")
    across_sheets: bool = Field(
        False,
        description="scroll space and cubes: also mirror and turn what exchanges recto and verso, though labels lie on one face",
    )
    brightness: float = Field(0.2, ge=0, le=10, description="largest shift, in standard deviations of the fragment")
    contrast: float = Field(0.2, ge=0, lt=1, description="largest relative change of contrast")
    noise: float = Field(0.1, ge=0, le=10, description="largest standard deviation of added noise")
    layer_dropout: float = Field(
        0.25, ge=0, le=1, description="chance that one or two layers (channels in 2D) are blanked"
    )
    depth_jitter: int = Field(1, ge=0, le=64, description="largest shift of the depth window, in layers")
    cutout: float = Field(
        0.25, ge=0, le=1, description="chance that a rectangle of the image, at most a quarter wide, is blanked"
    )
    blur: float = Field(0.0, ge=0, le=32, description="largest sigma of a Gaussian blur, in voxels")
    turn_degrees: float = Field(
        0.0, ge=0, le=180, description="largest turn in the plane (of cubes: about the scroll axis)"
    )
    zoom: float = Field(0.0, ge=0, lt=1, description="largest relative change of size")
    elastic_vox: float = Field(0.0, ge=0, le=256, description="standard deviation of a smooth displacement, in voxels")
    mixup: float = Field(0.0, ge=0, le=1, description="chance that a second patch is mixed in, image and label alike")
    cutmix: float = Field(0.0, ge=0, le=1, description="chance that a box of a second patch replaces that of the first")
    depth_cut_paste: float = Field(
        0.0, ge=0, le=1, description="chance that a run of layers is moved to another depth and the rest blanked"
    )
    intensity_chance: float = Field(
        1.0, ge=0, le=1, exclude_if=lambda chance: chance == 1.0,
        description="chance that brightness and contrast change; strengths are drawn as ever",
    )  # fmt: skip
    noise_chance: float = Field(
        1.0, ge=0, le=1, exclude_if=lambda chance: chance == 1.0,
        description="chance that noise is added; strengths are drawn as ever",
    )  # fmt: skip
    blur_chance: float = Field(
        1.0, ge=0, le=1, exclude_if=lambda chance: chance == 1.0,
        description="chance that the image is blurred; strengths are drawn as ever",
    )  # fmt: skip
    warp_chance: float = Field(
        1.0, ge=0, le=1, exclude_if=lambda chance: chance == 1.0,
        description="chance that the patch is turned, zoomed and displaced, all three in one; strengths are drawn as ever",
    )  # fmt: skip


class LossSettings(Frozen):
    """Shares of the terms that are added up; all of them respect the ignore mask. A share of 0 costs nothing."""

    bce: float = Field(0.5, ge=0, le=1e6, description="binary cross-entropy, voxel by voxel")
    dice: float = Field(0.5, ge=0, le=1e6, description="1 - soft Dice: the overlap, over the whole batch")
    fbeta: float = Field(0.0, ge=0, le=1e6, description="1 - soft F0.5: false ink costs more than missed ink")
    cldice: float = Field(0.0, ge=0, le=1e6, description="1 - soft centreline Dice (Shit et al. 2021)")
    skeleton_recall: float = Field(
        0.0, ge=0, le=1e6, description="1 - share of the label's skeleton that is found (Kirchhoff et al. 2024)"
    )
    topology: float = Field(
        0.0, ge=0, le=1e6, description="BCE on those mistakes alone that split, merge, pierce or invent a component"
    )
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="labels become s / 2 and 1 - s / 2, in BCE only")
    proposed_weight: float = Field(
        0.5, ge=0, le=1, exclude_if=lambda weight: weight == 0.5,
        description="how much a pixel of <id>_proposed_mask counts beside one of the same batch that a person labelled, which counts 1",
    )  # fmt: skip

    @model_validator(mode="after")
    def _something_is_learnt(self) -> "LossSettings":
        if not any(self.model_dump(exclude={"label_smoothing", "proposed_weight"}).values()):
            raise ValueError("every share of the loss is 0; set one above 0, such as bce: 1")
        return self


class LoaderSettings(Frozen):
    """How patches reach the model; changes the speed, never the result."""

    workers: int = Field(0, ge=0, le=256, description="processes that cut patches; 0: the training process itself")
    prefetch_factor: int = Field(2, ge=1, le=1024, description="batches that each of them keeps ready")
    pin_memory: bool = Field(False, description="page-locked memory, quicker to copy to a GPU")
    persistent_workers: bool = Field(True, description="keep the processes from one pass to the next")
    start_method: Literal["auto", "spawn", "fork", "forkserver"] = Field(
        "auto",
        description="how they are started; auto: forkserver on Linux, which imports torch once for all, else spawn; fork cannot read "
        "volumes over the network",
    )


class TrainingSettings(Frozen):
    """One optimisation, counted in steps."""

    steps: int = Field(1000, ge=1, le=10**8, description="optimiser steps")
    train_batch_size: int = Field(2, ge=1, le=65536, description="patches per forward pass on one device")
    validation_batch_size: int = Field(2, ge=1, le=65536, description="the same when the held-out loss is measured")
    accumulate_steps: int = Field(1, ge=1, le=65536, description="forward passes per optimiser step")
    optimiser: Literal["adamw", "muon", "sgd"] = Field(
        "adamw", description="muon: weights of two or more axes by Muon, the rest by AdamW; sgd: with Nesterov momentum"
    )
    momentum: float = Field(0.95, ge=0, lt=1, description="of sgd and muon")
    learning_rate: float = Field(3e-3, gt=0, le=1e3, description="the highest; it falls from there along a cosine")
    weight_decay: float = Field(
        0.01, ge=0, le=1e3, description="on weights of two or more axes only, not on norms and biases"
    )
    warmup_steps: int = Field(50, ge=0, le=10**8, description="over which the learning rate rises to its highest")
    gradient_clip: float = Field(1.0, gt=0, le=1e12, description="largest norm of the whole gradient, after unscaling")
    ema_decay: float = Field(0.99, ge=0, lt=1, description="of the averaged weights that are saved; 0: no averaging")
    soup: int = Field(
        0, ge=0, le=1000, exclude_if=lambda count: count == 0,
        description="keep the mean of the averaged weights at so many steps, evenly spaced over the last quarter, the last one included, "
        "and take statistics of batch norms again; 0: keep the last",
    )  # fmt: skip
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto", description="auto: on a GPU bf16 where it computes in it, else fp16; on a CPU fp32"
    )
    augment_on: Literal["auto", "cpu", "device"] = Field(
        "auto", exclude_if=lambda where: where == "auto",
        description="where patches are augmented: cpu: in the loading processes; device: in batches where the network trains, the loading "
        "processes only draw, read and cut; auto: device on a GPU (CUDA), else cpu. End-to-end training: always cpu",
    )  # fmt: skip
    channels_last: bool = Field(False, description="memory layout that speeds convolutions up in bf16 and fp16")
    compile: bool = Field(False, description="torch.compile, tried on one patch first and left alone where it fails")
    early_stopping: int = Field(
        0,
        ge=0,
        le=10**8,
        description="stop after so many validations without a lower loss; 0: train all steps. The held-out fold then chooses when "
        "to stop, so its out-of-fold scores, and what is fitted on them, flatter a little",
    )
    skip_share: float = Field(0.01, ge=0, le=1, description="share of unreadable patches above which the run stops")
    validate_every: int = Field(100, ge=1, le=10**8, description="steps between two looks at the held-out fold's loss")
    validation_patches: int = Field(
        16, ge=1, le=10**6, description="patches of the held-out fold that are looked at, always the same"
    )
    checkpoint_every: int = Field(
        100, ge=1, le=10**8, description="steps between two places at which a stopped training goes on"
    )
    loader: LoaderSettings = LoaderSettings()

    @model_validator(mode="after")
    def _a_soup_has_its_steps(self) -> "TrainingSettings":
        if self.soup and self.early_stopping:
            raise ValueError(
                f"soup is {self.soup} and early_stopping is {self.early_stopping}: a soup is of the last quarter of all steps, which a "
                "training that stops early may not reach; set one of them to 0"
            )
        if self.soup > max(1, self.steps // 4):
            raise ValueError(
                f"soup is {self.soup}: the last quarter of {self.steps} steps has {self.steps // 4}; give a smaller soup, or "
                f"{4 * self.soup} steps"
            )
        return self

    def without_workers(self) -> "TrainingSettings":
        """The same without loading processes."""
        return self.model_copy(update={"loader": self.loader.model_copy(update={"workers": 0})})

    def deciding(self) -> dict[str, object]:
        """Those settings that decide the weights; changing another one lets a training go on where it stopped."""
        harmless = {"loader", "checkpoint_every", "skip_share", "augment_on"}
        if not self.early_stopping:
            harmless |= {"validate_every", "validation_patches", "validation_batch_size"}
        return self.for_key(exclude=harmless)

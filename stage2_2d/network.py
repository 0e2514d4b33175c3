"""The 2D networks of stage two: a flattened stack of any number of channels -> logits of full size."""

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from pydantic import Field, ValidationError, model_validator

from scroll.config.schema import Count, Frozen, Stage2Settings
from scroll.data.augment.augment import check_augment
from scroll.data.sample import Space
from scroll.errors import InputError, MissingInputError
from scroll.runtime.files import read_mapping
from stage2_2d.stack import LOG_ODDS_UNIT

if TYPE_CHECKING:
    from torch import Tensor, nn

SMP_DECODERS = ("unet", "unetplusplus", "fpn", "pspnet", "linknet", "manet", "deeplabv3plus", "upernet", "segformer")


NOT_STORED = {"variant", "pretrained_dir", "pretrained_file", "dropout"}  # these change no shape
VARIANTS: dict[str, dict[str, int | tuple[int, ...]]] = {  # Xie et al. 2021, "SegFormer", appendix
    "b0": {"depths": (2, 2, 2, 2), "hidden_sizes": (32, 64, 160, 256), "decoder_hidden_size": 256},
    "b1": {"depths": (2, 2, 2, 2), "hidden_sizes": (64, 128, 320, 512), "decoder_hidden_size": 256},
    "b2": {"depths": (3, 4, 6, 3), "hidden_sizes": (64, 128, 320, 512), "decoder_hidden_size": 768},
    "b3": {"depths": (3, 4, 18, 3), "hidden_sizes": (64, 128, 320, 512), "decoder_hidden_size": 768},
    "b4": {"depths": (3, 8, 27, 3), "hidden_sizes": (64, 128, 320, 512), "decoder_hidden_size": 768},
    "b5": {"depths": (3, 6, 40, 3), "hidden_sizes": (64, 128, 320, 512), "decoder_hidden_size": 768},
}


class SegformerOptions(Frozen):
    """What a YAML may set for segformer; the defaults are the MiT-b0 of the paper (Xie et al. 2021)."""

    variant: Literal["b0", "b1", "b2", "b3", "b4", "b5"] | None = Field(
        None,
        description="a size of the paper: sets depths, hidden_sizes and decoder_hidden_size, which are then left out",
    )
    depths: tuple[Count, Count, Count, Count] = Field((2, 2, 2, 2), description="blocks of each of the four stages")
    hidden_sizes: tuple[Count, Count, Count, Count] = Field((32, 64, 160, 256), description="channels of each stage")
    decoder_hidden_size: Count = Field(256, description="channels of the decoder")
    strides: tuple[Count, Count, Count, Count] = Field(
        (4, 2, 2, 2), description="of the four stages; a first stride of 2 keeps finer detail"
    )
    dropout: float = Field(0.1, ge=0, lt=1, description="of classifier and drop path")
    pretrained_dir: Path | None = Field(
        None, description="local folder with config.json and model.safetensors; never a hub name"
    )

    @model_validator(mode="before")
    @classmethod
    def _sizes_of_the_variant(cls, given: Any) -> Any:
        if not isinstance(given, dict) or str(given.get("variant")) not in VARIANTS:
            return given
        sizes = VARIANTS[given["variant"]]
        twice = [key for key in sizes if key in given]
        if twice:
            raise ValueError(f"variant {given['variant']} sets {twice[0]} already; remove {twice[0]} or variant")
        return given | sizes


class SmpOptions(Frozen):
    """What a YAML may set for smp.<decoder>."""

    encoder: str = Field("resnet18", description="name of an encoder of segmentation-models-pytorch")
    pretrained_file: Path | None = Field(None, description="local safetensors of the encoder; never a download")


def check_stage2(stage2: Stage2Settings) -> SegformerOptions | SmpOptions:
    """The network's options, checked without loading anything heavy.

    Raises:
        InputError: unknown network or option, a patch the network cannot take, or an augmentation that is none of a stack's.
    """
    kind, _, decoder = stage2.network.partition(".")
    if (
        kind not in ("segformer", "smp")
        or (kind == "smp" and decoder not in SMP_DECODERS)
        or (kind == "segformer" and decoder)
    ):
        known = ["segformer", *(f"smp.{name}" for name in SMP_DECODERS)]
        near = difflib.get_close_matches(stage2.network, known, n=1)
        raise InputError(
            f"stage2.network '{stage2.network}' is unknown; "
            + (f"did you mean '{near[0]}'?" if near else f"there are {', '.join(known)}")
        )
    if any(edge % 32 for edge in stage2.patch_size):
        y, x = (max(32, round(edge / 32) * 32) for edge in stage2.patch_size)
        raise InputError(
            f"stage2.patch_size {stage2.patch_size} does not suit '{stage2.network}', which needs multiples of 32; nearest: {(y, x)}"
        )
    try:
        check_augment(stage2.augment, Space.STACK)
    except InputError as error:
        raise InputError(f"stage2.{error}") from None
    try:
        return (SegformerOptions if kind == "segformer" else SmpOptions).model_validate(stage2.options)
    except ValidationError as error:
        problem = error.errors()[0]
        known = sorted((SegformerOptions if kind == "segformer" else SmpOptions).model_fields)
        where = ".".join(("stage2", "options", *map(str, problem["loc"])))
        message = f"{where}: {problem['msg'].removeprefix('Value error, ')}"
        raise InputError(
            f"{message}; there are {', '.join(known)}" if problem["type"] == "extra_forbidden" else message
        ) from None


def build_network(
    stage2: Stage2Settings, channels: int, outputs: int = 1, skipped: Sequence[int] | None = None
) -> "nn.Module":
    """(B, channels, Y, X) -> (B, outputs, Y, X) logits; Y and X multiples of 32.

    `skipped` are the channels whose mean the first logit starts as, where `stage2.skip` is on; none given: all of them.
    """
    from scroll.runtime.torchvision_schemas import import_torchvision

    import_torchvision()
    options = check_stage2(stage2)
    if isinstance(options, SegformerOptions):
        network = _segformer(options, channels, outputs)
    else:
        network = _smp(stage2.network.partition(".")[2], options, channels, outputs)
    if not stage2.skip:
        return network
    return _with_skip(network, channels, outputs, range(channels) if skipped is None else skipped)


def about_network(stage2: Stage2Settings, channels: int, outputs: int = 1) -> dict[str, object]:
    """What is stored with the weights: the options that decide their shapes, a variant in its own numbers."""
    options = check_stage2(stage2).model_dump(mode="json", exclude=NOT_STORED)
    about: dict[str, object] = {
        "network": stage2.network,
        "options": options,
        "skip": stage2.skip,
        "channels": channels,
    }
    return about if outputs == 1 else about | {"outputs": outputs}


def _with_skip(network: "nn.Module", channels: int, outputs: int, skipped: Sequence[int]) -> "nn.Module":
    import torch

    class WithSkip(torch.nn.Module):
        """The network's logits plus a weighted sum of its input; the first starts as the mean of channels in log-odds."""

        def __init__(self) -> None:
            super().__init__()
            self.network = network
            self.skip = torch.nn.Conv2d(channels, outputs, kernel_size=1)
            torch.nn.init.zeros_(self.skip.weight)
            with torch.no_grad():
                self.skip.weight[0, list(skipped)] = LOG_ODDS_UNIT / len(skipped)
            torch.nn.init.zeros_(self.skip.bias)  # type: ignore[arg-type]

        def forward(self, stack: "Tensor") -> "Tensor":
            logits: Tensor = self.network(stack) + self.skip(stack)
            return logits

    return WithSkip()


def _segformer(options: SegformerOptions, channels: int, outputs: int) -> "nn.Module":
    import torch
    from transformers import SegformerConfig, SegformerForSemanticSegmentation

    config = SegformerConfig(
        num_channels=channels,
        num_labels=outputs,
        depths=list(options.depths),
        hidden_sizes=list(options.hidden_sizes),
        strides=list(options.strides),
        decoder_hidden_size=options.decoder_hidden_size,
        classifier_dropout_prob=options.dropout,
        drop_path_rate=options.dropout,
    )
    if options.pretrained_dir is None:
        network = SegformerForSemanticSegmentation(config)
    else:  # the patch embedding and the head do not fit three colours and 150 classes: they start new
        _check_pretrained(options.pretrained_dir, config.to_dict())
        network = SegformerForSemanticSegmentation.from_pretrained(
            options.pretrained_dir,
            config=config,
            local_files_only=True,
            use_safetensors=True,
            ignore_mismatched_sizes=True,
        )

    class FullSize(torch.nn.Module):
        """SegFormer's logits, a quarter of the size, brought to full size."""

        def __init__(self) -> None:
            super().__init__()
            self.segformer = network

        def forward(self, stack: "Tensor") -> "Tensor":
            logits = self.segformer(pixel_values=stack).logits
            return torch.nn.functional.interpolate(logits, size=stack.shape[-2:], mode="bilinear", align_corners=False)

    return FullSize()


def _check_pretrained(folder: Path, expected: Mapping[str, object]) -> None:
    """Refuse a folder whose network has another size: its weights would be passed over, and what does not fit starts new.

    Raises:
        MissingInputError: a file is not there.
        InputError: depths or widths differ from the settings'.
    """
    for name in ("config.json", "model.safetensors"):
        if not (folder / name).exists():
            raise MissingInputError(
                f"{folder / name}: not there; copy a SegFormer (config.json, model.safetensors) into that folder"
            )
    saved = read_mapping(folder / "config.json")
    for key in ("depths", "hidden_sizes"):
        if saved.get(key) != expected[key]:
            raise InputError(
                f"{folder / 'config.json'}: {key} is {saved.get(key)}, the settings say {expected[key]}; set stage2.options.{key}"
            )


def _smp(decoder: str, options: SmpOptions, channels: int, outputs: int) -> "nn.Module":
    import segmentation_models_pytorch as smp

    try:
        network: nn.Module = smp.create_model(
            arch=decoder, encoder_name=options.encoder, encoder_weights=None, in_channels=channels, classes=outputs
        )
    except (KeyError, ValueError) as error:  # no such encoder, or one that this decoder cannot take
        near = difflib.get_close_matches(options.encoder, smp.encoders.get_encoder_names(), n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else str(error)[:120]
        raise InputError(f"stage2.options.encoder '{options.encoder}' does not suit '{decoder}'; {hint}") from None
    if options.pretrained_file is not None:
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        from scroll.runtime.reading import reading

        if not options.pretrained_file.exists():
            raise MissingInputError(
                f"{options.pretrained_file}: not there; copy the encoder's safetensors to it, or remove stage2.options.pretrained_file"
            )
        with reading(options.pretrained_file, "an encoder's safetensors", "copy it again", (SafetensorError,)):
            saved = load_file(options.pretrained_file)
        encoder = cast("nn.Module", network.encoder)
        shapes = {name: tensor.shape for name, tensor in encoder.state_dict().items()}
        fitting = {name: tensor for name, tensor in saved.items() if shapes.get(name) == tensor.shape}
        if not fitting:
            raise InputError(
                f"{options.pretrained_file}: nothing of it fits the encoder '{options.encoder}'; copy that encoder's weights"
            )
        encoder.load_state_dict(fitting, strict=False)
    _freeze_unreached(network, channels)
    return network


def _freeze_unreached(network: "nn.Module", channels: int) -> None:
    """Freeze what the logits do not depend on, such as the stages of an encoder that pspnet's decoder leaves out.

    Training by several processes waits for the gradient of every parameter that is not frozen.
    """
    import torch

    parameters = list(network.parameters())
    network.eval()  # so that no running mean moves and no random number is drawn
    with torch.enable_grad():
        logits = network(torch.zeros(1, channels, 64, 64))
        gradients = torch.autograd.grad(logits.sum(), parameters, allow_unused=True)
    network.train()
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.requires_grad_(gradient is not None)

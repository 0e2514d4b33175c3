"""Checkpoints of networks that the zoo can build too: read by the names of their tensors, which say how they were built."""

from collections.abc import Mapping
from math import isqrt
from pathlib import Path
from typing import Any, NamedTuple

from safetensors.torch import load_file
from torch import Tensor, nn

from scroll.config.schema import MemberSettings
from scroll.data.intensity import Intensity
from scroll.data.members.card import Card, FoldCard
from scroll.errors import InputError
from scroll.geometry import Size
from scroll.inference.fold_ensemble import device
from scroll.training.foreign_checkpoint import contents_of, tensors_in
from stage1_3d.external.checkpoint import fitting, write_tensors
from stage1_3d.external.residual_unets import (
    check_settings,
    check_whole,
    of_one_target,
    options_of_stem,
    options_of_unet,
    window_of,
)
from stage1_3d.models import MAPS
from stage1_3d.models.resnet3d import BLOCKS, LEAST_BOTTLENECK
from stage1_3d.network import build_network

AS_BYTES = Intensity(how="clip_divide", low=0.0, high=200.0, spread=200.0)
INPUT_NORM = "normalization.weight"


class Usual(NamedTuple):
    """What a family's networks are shown, where nobody says otherwise."""

    window: Size
    intensity: Intensity


USUAL = {
    "timesformer": Usual((26, 64, 64), AS_BYTES),
    "resnet3d": Usual((30, 256, 256), AS_BYTES),
    "stem3d_unet2d": Usual((17, 128, 128), Intensity(how="robust", of="window", low=1.0, high=99.0)),
    "resenc_unet": Usual((256, 256, 256), Intensity(how="zscore", of="window")),
}
SHARED_ENCODER = ("stem3d_unet2d", "resenc_unet")


def import_checkpoint(source: Path, output: Path, family: str, given: Card) -> Card:
    """Tensors of a checkpoint as safetensors in `output`; returns its card, of what is `given` and what the tensors say.

    Raises:
        InputError: it holds code, tensors are missing, or they are of no network that is known.
    """
    contents = contents_of(source)
    state, usual, has_intensity = tensors_in(source, contents), USUAL[family], given.intensity != Intensity()
    if family in SHARED_ENCODER:
        state = of_one_target(source, state)
    if family == "resenc_unet":
        check_settings(source, contents, has_intensity)
    card = given.model_copy(
        update={
            "family": family,
            "returns": "map" if family in MAPS else "voxels",
            "window": given.window if min(given.window) > 0 else window_of(contents, usual.window),
            "intensity": given.intensity if has_intensity else usual.intensity,
            "options": OPTIONS[family](source, state),
            "folds": (FoldCard(weights="fold0.safetensors", sha256=""),),
        }
    )
    built = _built(card)
    taken = fitting(source, built, state)
    if family in SHARED_ENCODER:
        check_whole(source, taken, state, family)
    write_tensors(output / "fold0.safetensors", taken)
    return card


def network(folder: Path, card: Card, fold: int) -> nn.Module:
    """One of its networks, (B, 1, *window) -> logits of that shape, or of the sheet, (B, 1, y, x); on the GPU if there is one."""
    built = _built(card)
    built.load_state_dict(load_file(folder / card.folds[fold].weights))
    return (OfSheet(built) if card.returns == "map" else built).to(device())


class OfSheet(nn.Module):
    """The map of a network that spreads it over depth."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, windows: Tensor) -> Tensor:
        """(B, 1, Z, Y, X) -> (B, 1, y, x)."""
        found: Tensor = self.network.sheet_map(windows)
        return found


def _built(card: Card) -> nn.Module:
    return build_network(MemberSettings(network=card.family, options=dict(card.options), patch_size=card.window))


def _of_resnet3d(source: Path, state: Mapping[str, Tensor]) -> dict[str, object]:
    """Depth by the blocks of its stages, width by its first convolution."""
    blocks = tuple(sum(f"backbone.layer{stage}.{n}.conv1.weight" in state for n in range(64)) for stage in range(1, 5))
    is_bottleneck = "backbone.layer1.0.conv3.weight" in state
    depth = next((d for d, b in BLOCKS.items() if b == blocks and (d >= LEAST_BOTTLENECK) == is_bottleneck), None)
    if depth is None:
        first = next(iter(state))
        raise InputError(
            f"{source}: stages of {blocks} blocks; expected those of a 3D ResNet, backbone.layer1 to 4 (its first tensor is {first}): give "
            "another checkpoint, or another --kind"
        )
    return {
        "depth": depth,
        "width": state["backbone.conv1.weight"].shape[0] / 64,
        "input_norm": INPUT_NORM in state,
        "decoder": "3d" if any(name.startswith("decoder.channel_reduce") for name in state) else "2d",
    }


def _of_timesformer(source: Path, state: Mapping[str, Tensor]) -> dict[str, object]:
    """Width, tokens, blocks and classes and heads by the shapes of its tensors."""
    embedding, last = state.get("backbone.to_patch_embedding.weight"), state.get("backbone.to_out.1.weight")
    inner, turned = state.get("backbone.layers.0.0.fn.to_qkv.weight"), state.get("backbone.frame_rot_emb.inv_freqs")
    if embedding is None or last is None or inner is None or turned is None:
        raise InputError(
            f"{source}: no backbone.to_patch_embedding in it; expected a TimeSformer of timesformer-pytorch as `backbone`: give another "
            "checkpoint, or another --kind"
        )
    dim_head = 2 * turned.shape[0]  # the rotary embedding turns pairs of numbers of a head
    return {
        "dim": embedding.shape[0],
        "token_px": isqrt(embedding.shape[1]),
        "classes": last.shape[0],
        "depth": sum(f"backbone.layers.{n}.0.fn.to_qkv.weight" in state for n in range(128)),
        "heads": inner.shape[0] // (3 * dim_head),
        "dim_head": dim_head,
        "input_norm": INPUT_NORM in state,
    }


OPTIONS = {
    "timesformer": _of_timesformer,
    "resnet3d": _of_resnet3d,
    "stem3d_unet2d": options_of_stem,
    "resenc_unet": options_of_unet,
}

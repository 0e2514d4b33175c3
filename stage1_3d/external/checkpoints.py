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
from scroll.training.foreign_checkpoint import tensors_in
from stage1_3d.external.checkpoint import fitting, write_tensors
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
    "stem3d_unet2d": Usual((17, 128, 128), Intensity(how="robust", low=1.0, high=99.0)),
}


def import_checkpoint(source: Path, output: Path, family: str, given: Card) -> Card:
    """Tensors of a checkpoint as safetensors in `output`; returns its card, of what is `given` and what the tensors say.

    Raises:
        InputError: it holds code, tensors are missing, or they are of no network that is known.
    """
    state = tensors_in(source)
    if family == "stem3d_unet2d":
        state = by_our_names(source, state)
    usual = USUAL[family]
    options = OPTIONS[family](source, state)
    window = given.window if min(given.window) > 0 else usual.window
    card = given.model_copy(
        update={
            "family": family,
            "returns": "map",
            "window": window,
            "intensity": usual.intensity if given.intensity == Intensity() else given.intensity,
            "options": options,
            "folds": (FoldCard(weights="fold0.safetensors", sha256=""),),
        }
    )
    write_tensors(output / "fold0.safetensors", fitting(source, _built(card), state))
    return card


def network(folder: Path, card: Card, fold: int) -> nn.Module:
    """One of its networks, (B, 1, *window) -> (B, 1, y, x) logits as coarse as it makes them, on the GPU if there is one."""
    built = _built(card)
    built.load_state_dict(load_file(folder / card.folds[fold].weights))
    return OfSheet(built.to(device()))


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


def by_our_names(source: Path, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of a 3D stem and a 2D U-Net of one target, called as the zoo calls them.

    ScrollPrize/villa (vesuvius/models/build/build_network_from_config.py) has a shared encoder, and a decoder of the target's own with its
    layer of logits, or a shared decoder with a head for the target.

    Raises:
        InputError: there are no such tensors, or several targets.
    """
    prefix = "network."
    parts = {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
    targets = {name.split(".")[1] for name in parts if name.startswith(("task_decoders.", "task_heads."))}
    if not any(name.startswith("shared_encoder.") for name in parts) or len(targets) != 1:
        there = f"targets {', '.join(sorted(targets))}" if targets else f"first tensor {next(iter(state))}"
        raise InputError(
            f"{source}: {there}; expected depth_fusion.*, network.shared_encoder.* and a decoder of one target: give another "
            "checkpoint, or another --kind"
        )
    (target,) = targets
    levels = sum(name.endswith(".weight") and ".transpconvs." in name for name in parts)
    ours = {
        "shared_encoder.": "encoder.",
        "shared_decoder.": "decoder.",
        f"task_decoders.{target}.": "decoder.",
        f"task_heads.{target}.": f"decoder.seg_layers.{levels - 1}.",
    }
    found = {name: tensor for name, tensor in state.items() if not name.startswith(prefix)}
    for name, tensor in parts.items():
        theirs = next((theirs for theirs in ours if name.startswith(theirs)), "")
        found[prefix + ours.get(theirs, "") + name.removeprefix(theirs)] = tensor
    return found


def _of_stem3d(source: Path, state: Mapping[str, Tensor]) -> dict[str, object]:
    """Channels and blocks of its levels by the encoder's tensors, strides by those of the decoder, which undo them."""
    stem, first = (
        state.get("depth_fusion.features.0.weight"),
        "network.encoder.stages.{}.blocks.{}.conv1.all_modules.0.weight",
    )
    levels = next(n for n in range(64) if first.format(n, 0) not in state)
    ups = [state[name] for n in range(levels - 1) if (name := f"network.decoder.transpconvs.{n}.weight") in state]
    if stem is None or levels < 3 or len(ups) != levels - 1:
        raise InputError(
            f"{source}: {levels} levels of residual blocks and {len(ups)} steps up; expected a stem (depth_fusion.*) and a U-Net of three "
            "levels or more: give another checkpoint, or another --kind"
        )
    return {
        "stem_channels": stem.shape[0],
        "channels": [state[first.format(n, 0)].shape[0] for n in range(levels)],
        "strides": [1, *(up.shape[-1] for up in reversed(ups))],
        "blocks": [sum(first.format(n, block) in state for block in range(64)) for n in range(levels)],
    }


OPTIONS = {"timesformer": _of_timesformer, "resnet3d": _of_resnet3d, "stem3d_unet2d": _of_stem3d}

"""Our own trained members for others, and for other runs: out as a folder with a card, as safetensors or ONNX, and back as a member."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import load_file
from torch import nn

from scroll.config.schema import MemberSettings, Settings
from scroll.data.folds import Fold, make_folds
from scroll.data.intensity import Intensity
from scroll.data.kinds import training_items
from scroll.data.members.card import Card, FoldCard
from scroll.errors import InputError
from scroll.inference.fold_ensemble import device
from scroll.runtime.files import written_aside
from stage1_3d.external.checkpoint import write_card, write_tensors
from stage1_3d.external.checkpoints import OfSheet
from stage1_3d.models import MAPS
from stage1_3d.network import build_network
from stage1_3d.weights import load_member, weights_path

Format = Literal["safetensors", "onnx"]


def export_member(settings: Settings, name: str, output: Path, to: Format, threshold: float | None = None) -> Card:
    """Write a trained member's folds and their card into `output`; returns the card.

    A fold's `trained_on` are the items it did not hold out whole. It sees grey values as it was trained on them.
    `threshold` is the one that was fitted for it, if any was.

    Raises:
        InputError: no such member, or none that is trained here; packages for ONNX are not installed.
        MissingInputError: the weights, or the training data, which say what each fold has seen, are not there.
    """
    member, items = trained_member(settings, name), training_items(settings.data)
    folds = []
    for fold in make_folds(items, settings.folds):
        weights = f"fold{fold.number}.{to}"
        if to == "safetensors":
            write_tensors(output / weights, load_file(weights_path(settings, name, fold.number)))
        else:
            network = load_member(settings, name, fold.number)
            _write_onnx(OfSheet(network) if member.network in MAPS else network, member.patch_size, output / weights)
        folds.append(FoldCard(weights=weights, sha256="", trained_on=tuple(sorted(seen_by(fold, items)))))
    card = Card(
        family="ours" if to == "safetensors" else "graph",
        returns="map" if member.network in MAPS else "voxels",
        window=member.patch_size,
        layers=settings.data.depth if member.network in MAPS else None,
        voxel_um=items[0].seen_um,
        threshold=threshold,
        intensity=Intensity(how="ours") if member.intensity is None else Intensity.of_settings(member.intensity),
        options={"network": member.network, "options": dict(member.options), "auto_pad": member.auto_pad},
        folds=tuple(folds),
        source=str(settings.run_dir),
    )
    write_card(output, card)
    return card


def trained_member(settings: Settings, name: str) -> MemberSettings:
    """The settings of a member that can be handed on.

    Raises:
        InputError: there is none of that name that is trained here.
    """
    if name not in settings.stage1.trained:
        raise InputError(
            f"--member {name}: no member that is trained here; there are {', '.join(settings.stage1.trained)}"
        )
    return settings.stage1.members[name]


def network(folder: Path, card: Card, fold: int) -> nn.Module:
    """One of the networks of an exported member, on the GPU if there is one."""
    options: dict[str, Any] = dict(card.options)
    built: nn.Module = build_network(MemberSettings(patch_size=card.window, **options))
    built.load_state_dict(load_file(folder / card.folds[fold].weights))
    return (OfSheet(built) if card.returns == "map" else built).to(device())


def seen_by(fold: Fold, items: Sequence[Any]) -> set[str]:
    """The items that a fold's network was trained on, in whole or in part."""
    return {item.id for item in items if fold.closed.get(item.id) != (0, item.rows)}


def _write_onnx(built: nn.Module, patch: tuple[int, int, int], path: Path) -> None:
    """A network as one ONNX file, for windows of (1, 1, *patch)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    example = torch.zeros(1, 1, *patch, device=device())
    try:
        with written_aside(path) as aside, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(built.eval(), (example,), aside, dynamo=True, external_data=False, verbose=False)
    except ImportError:
        raise InputError(
            f"{path}: needs onnx and onnxscript, which are not installed: pip install onnx onnxscript"
        ) from None

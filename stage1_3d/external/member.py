"""What those who predict need of a member, trained here or elsewhere: its window, its folds, its scaling, its networks."""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray
from torch import nn

from scroll.config.schema import Settings
from scroll.data.card import HINT, NAME, Card, read_card
from scroll.data.intensity import Intensity
from scroll.errors import InputError
from scroll.geometry import Size
from scroll.runtime.receipt import file_hash

FAMILIES = {
    "nnunet": "stage1_3d.external.nnunet",
    "graph": "stage1_3d.external.archives",
    "ours": "stage1_3d.external.ours",
    "timesformer": "stage1_3d.external.checkpoints",
    "resnet3d": "stage1_3d.external.checkpoints",
}


class Sampled(Protocol):
    """Something whose grey values can be looked at as a whole."""

    @property
    def grey_sample(self) -> NDArray[Any]:
        """Grey values of it, any shape."""


def card_of(settings: Settings, name: str) -> Card | None:
    """The card of a member that was trained elsewhere; None for one of ours."""
    folder = settings.stage1.members[name].member
    return None if folder is None else read_card(folder)


def window_of(settings: Settings, name: str) -> Size:
    """z, y, x that a member sees at once."""
    card = card_of(settings, name)
    return settings.stage1.members[name].patch_size if card is None else card.window


def gives_map(settings: Settings, name: str) -> bool:
    """Whether a member gives an image of the sheet, which is flat already."""
    card = card_of(settings, name)
    return card is not None and card.returns == "map"


def all_folds(settings: Settings, name: str) -> list[int]:
    """Numbers of all its networks, which predict together what is new to all of them."""
    card = card_of(settings, name)
    return list(range(settings.folds.count)) if card is None else card.all_folds


def seen_as(settings: Settings, name: str, item: Sampled) -> Intensity | None:
    """How it sees an item's grey values; None: as all of ours do."""
    card = card_of(settings, name)
    return None if card is None else in_windows(card).of_item(item.grey_sample)


def in_windows(card: Card) -> Intensity:
    """The scaling of a member that looks window by window: an nnU-Net's mask is where something was scanned."""
    is_masked = bool(card.options.get("is_masked"))
    return card.intensity.model_copy(update={"keeps_zero": True}) if is_masked else card.intensity


def files_of(folder: Path, card: Card, folds: Sequence[int]) -> dict[str, str]:
    """Hash of the card and of the weights of these folds, by their place."""
    weights = {str(folder / card.folds[n].weights): card.folds[n].sha256 for n in folds if card.folds}
    return {str(folder / NAME): file_hash(folder / NAME), **weights}


def networks_of(folder: Path, card: Card, folds: Sequence[int]) -> list[nn.Module]:
    """Its networks of these folds, (B, 1, *window) as it sees grey values -> (B, 1, Z, Y, X) or (B, 1, Y, X) logits, ready to predict.

    Raises:
        InputError: nobody here knows its family.
    """
    if card.family not in FAMILIES:
        known = ", ".join(FAMILIES)
        raise InputError(f"{folder / NAME}: family '{card.family}' is not known; expected one of {known}: {HINT}")
    network = import_module(FAMILIES[card.family]).network
    return [network(folder, card, fold).eval() for fold in folds]

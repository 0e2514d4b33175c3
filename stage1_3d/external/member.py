"""What those who predict need of a member, trained here or elsewhere: its window, its folds, its scaling, its networks."""

from collections.abc import Sequence
from importlib import import_module

from torch import nn

from scroll.config.schema import Settings
from scroll.data.intensity import Intensity, Scaled
from scroll.data.members.card import HINT
from scroll.data.members.others import MemberOfOthers, of_others
from scroll.errors import InputError
from scroll.geometry import Size

FAMILIES = {
    "nnunet": "stage1_3d.external.nnunet",
    "graph": "stage1_3d.external.archives",
    "ours": "stage1_3d.external.ours",
    "timesformer": "stage1_3d.external.checkpoints",
    "resnet3d": "stage1_3d.external.checkpoints",
    "stem3d_unet2d": "stage1_3d.external.checkpoints",
    "resenc_unet": "stage1_3d.external.checkpoints",
}


def window_of(settings: Settings, name: str) -> Size:
    """z, y, x that a member sees at once."""
    other = of_others(settings).get(name)
    return other.card.window if other else settings.stage1.members[name].patch_size


def all_folds(settings: Settings, name: str) -> list[int]:
    """Numbers of all its networks, which predict together what is new to all of them."""
    other = of_others(settings).get(name)
    return other.card.all_folds if other else list(range(settings.folds.count))


def seen_as(settings: Settings, name: str, item: Scaled) -> Intensity:
    """How it sees an item's grey values, with the item's own figures in it; of windows, each has its own."""
    other, given = of_others(settings).get(name), settings.stage1.members[name].intensity
    if other:
        return other.in_windows.fixed_for(item)
    return Intensity.by_z_score(item.grey_scale) if given is None else Intensity.of_settings(given).fixed_for(item)


def networks_of(other: MemberOfOthers, folds: Sequence[int]) -> list[nn.Module]:
    """Its networks of these folds, (B, 1, *window) as it sees grey values -> (B, 1, Z, Y, X) or (B, 1, Y, X) logits, ready to predict.

    Raises:
        InputError: nobody here knows its family.
    """
    card = other.card
    if card.family not in FAMILIES:
        known = ", ".join(FAMILIES)
        raise InputError(f"{other.path}: family '{card.family}' is not known; expected one of {known}: {HINT}")
    network = import_module(FAMILIES[card.family]).network
    return [network(other.folder, card, fold).eval() for fold in folds]

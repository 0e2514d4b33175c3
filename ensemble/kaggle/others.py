"""Members of others in a bundle: their folders in the run, and the packages that members ask for beyond the project's own."""

import shutil
from collections.abc import Iterable
from pathlib import Path

from scroll.config.schema import MemberSettings, Settings
from scroll.data.members.card import NAME, Card, read_card
from scroll.data.members.others import of_others
from scroll.runtime.run_folder import RunFolder
from stage1_3d.external.archives import ONNX
from stage1_3d.models import EXTRAS

GRAPHS = "onnxruntime"


def copy_others(settings: Settings, asked: Iterable[str], folder: Path) -> int:
    """Copy the members of others into the bundled run in `folder`, and read them there; returns the bytes.

    Of one that is not `asked` the card alone goes along: the fit speaks of it.

    Raises:
        MissingInputError: a card, or a file that it names, is not there.
        InputError: a file is not the one that the card speaks of.
    """
    copied = 0
    for name, other in of_others(settings).items():
        files = [NAME, *(_named(other.card) if name in asked else ())]
        for file in files:
            target = RunFolder(folder).of_others(name) / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(other.folder / file, target)
            copied += target.stat().st_size
        if name in asked:
            read_card(RunFolder(folder).of_others(name))
    return copied


def _named(card: Card) -> list[str]:
    """The files beside a card that it speaks of."""
    return [*(fold.weights for fold in card.folds), *(one.file for one in card.ready.values())]


def at(settings: Settings, run: Path) -> dict[str, MemberSettings]:
    """All members, those of others where a bundle has them whose run is at `run`."""
    return {
        name: member if member.member is None else member.model_copy(update={"member": RunFolder(run).of_others(name)})
        for name, member in settings.stage1.members.items()
    }


def optional_packages(settings: Settings, asked: Iterable[str]) -> list[str]:
    """Packages beyond the project's own that its networks need, and those of the members of others that are `asked`, sorted."""
    found = {EXTRAS[one.network] for one in settings.stage1.members.values() if one.network in EXTRAS}
    for name, other in of_others(settings).items():
        if name not in asked:
            continue
        card = other.card
        found |= {EXTRAS[card.family]} if card.family in EXTRAS else set()
        found |= {GRAPHS} if any(fold.weights.endswith(ONNX) for fold in card.folds) else set()
    return sorted(found)

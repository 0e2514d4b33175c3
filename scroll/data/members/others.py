"""A member that was trained elsewhere, as the settings name it: its folder, its card, and what can be asked of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scroll.config.schema import Settings
from scroll.data.intensity import Intensity
from scroll.data.members.card import NAME, Card, read_card
from scroll.runtime.receipt import file_hash

WHOLE_CUBES = ("nnunet",)  # families that look at whole cubes, by arithmetic of their own


@dataclass(frozen=True)
class MemberOfOthers:
    """A member by its name in the settings, and the folder with its card and what that names."""

    name: str
    folder: Path

    @property
    def path(self) -> Path:
        """Where its card is."""
        return self.folder / NAME

    @property
    def card(self) -> Card:
        """What it declares; read, and its files looked at, when asked for, with the errors of `read_card`."""
        return read_card(self.folder)

    @property
    def gives_map(self) -> bool:
        """Whether it gives an image of the sheet, which is flat already."""
        return self.card.returns == "map"

    @property
    def goes_whole(self) -> bool:
        """Whether it looks at whole cubes, and not window by window as ours do."""
        return bool(self.card.ready) or self.card.family in WHOLE_CUBES

    @property
    def in_windows(self) -> Intensity:
        """Its scaling of grey values where it looks window by window: an nnU-Net's mask is where something was scanned."""
        is_masked = bool(self.card.options.get("is_masked"))
        return self.card.intensity.model_copy(update={"keeps_zero": True}) if is_masked else self.card.intensity

    def files(self, folds: Sequence[int]) -> dict[str, str]:
        """Hash of the card and of the weights of these folds, by their place."""
        card = self.card
        weights = {str(self.folder / card.folds[n].weights): card.folds[n].sha256 for n in folds if card.folds}
        return {str(self.path): file_hash(self.path), **weights}


def of_others(settings: Settings) -> dict[str, MemberOfOthers]:
    """The members that were trained elsewhere, by name."""
    members = settings.stage1.members.items()
    return {name: MemberOfOthers(name, one.member) for name, one in members if one.member is not None}

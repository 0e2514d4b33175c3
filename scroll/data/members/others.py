"""A member that was trained elsewhere, as the settings name it: its folder, its card, and what can be asked of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scroll.config.schema import Settings
from scroll.data.intensity import Intensity
from scroll.data.members.card import NAME, Card, read_card
from scroll.runtime.receipt import file_hash

VOXEL_SLACK = 0.01  # by how much of itself a voxel may differ from those that a member was trained on
WHOLE_CUBES = ("nnunet",)  # families that look at whole cubes, by arithmetic of their own


@dataclass(frozen=True)
class MemberOfOthers:
    """A member by its name in the settings, and the folder with its card and what that names.

    `resample`: whether voxels of another size are resampled to those that it was trained at.
    """

    name: str
    folder: Path
    resample: bool = False

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

    def goes_whole(self, voxel_um: float) -> bool:
        """Whether it looks at whole cubes of such voxels, and not window by window as ours do, and as all do that are resampled."""
        return bool(self.card.ready) or (self.card.family in WHOLE_CUBES and self.step(voxel_um) == 1)

    def step(self, voxel_um: float) -> float:
        """How many voxels of that edge, in micrometres, one of its own is wide; 1 where they are alike, or are not resampled."""
        own = self.card.voxel_um
        return 1.0 if not self.resample or own is None or is_alike(own, voxel_um) else own / voxel_um

    def seen_um(self, voxel_um: float) -> float:
        """The edge of a voxel that its networks see, in micrometres, where an item has such voxels."""
        return voxel_um * self.step(voxel_um)

    def resampled(self, voxel_um: float) -> dict[str, dict[str, float]]:
        """For a receipt: from which voxels to which an item is resampled; empty where it is not."""
        if self.step(voxel_um) == 1:
            return {}
        return {"resampled": {"from_um": voxel_um, "to_um": self.seen_um(voxel_um)}}

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
    return {name: MemberOfOthers(name, one.member, one.resample) for name, one in members if one.member is not None}


def is_alike(one_um: float, other_um: float) -> bool:
    """Whether voxels are of one size, but for the error of what scans say."""
    return abs(other_um / one_um - 1) <= VOXEL_SLACK

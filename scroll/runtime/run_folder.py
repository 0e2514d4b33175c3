"""Every place of a run, once: where a step writes, and where the next one reads."""

from dataclasses import dataclass
from pathlib import Path

STAGE2, END_TO_END = "stage2", "joint"  # predictors that are no members of stage one, as their folders are called


@dataclass(frozen=True)
class RunFolder:
    """The folder of a run.

    >>> RunFolder(Path("runs/a")).fold("unet3d", 1).as_posix(), RunFolder(Path("runs/a")).oof("stage2", "7").as_posix()
    ('runs/a/stage1/unet3d/fold1', 'runs/a/stage2/oof/7')
    """

    path: Path

    def of(self, predictor: str) -> Path:
        """All of a predictor: a member, "ct", "stage2" or "joint"."""
        return self.path / predictor if predictor in (STAGE2, END_TO_END) else self.path / "stage1" / predictor

    def fold(self, predictor: str, number: int) -> Path:
        """Weights and curves of one fold's training."""
        return self.of(predictor) / f"fold{number}"

    def oof(self, predictor: str, item: str = "") -> Path:
        """What is predicted of a training item by the fold that held it out; of all items, where none is named."""
        return self.of(predictor) / "oof" / item

    def volume_oof(self, member: str, volume: str, fold: int) -> Path:
        """A member's probabilities in a scroll volume, about the segments that a fold held out."""
        return self.oof(member, "volumes") / f"{volume}-fold{fold}"

    def of_others(self, member: str) -> Path:
        """A member that was trained elsewhere, in a run that was bundled with it."""
        return self.path / "members" / member

    @property
    def sheets(self) -> Path:
        """Sheets traced in training cubes, <cube>/sheet-001 and so on."""
        return self.path / "sheets" / "oof"

    @property
    def reference(self) -> Path:
        """What the training stacks look like."""
        return self.path / "stage1" / "preflight.json"

    @property
    def fit(self) -> Path:
        """Weights and thresholds."""
        return self.path / "ensemble" / "fit.json"

    @property
    def prediction(self) -> Path:
        """Where a prediction goes if nobody says otherwise."""
        return self.path / "predict"

"""The ensemble's side of a kind of data: a folder with steps.py (`Steps`) and montage.py (`MontageRows`), and a line here."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ensemble.request import Request
from scroll.config.schema import DataSettings, Settings

if TYPE_CHECKING:
    from scroll.report.montage import Row

KINDS = {"fragments": "ensemble.ink", "segments": "ensemble.ink", "cubes": "ensemble.surface"}


@dataclass(frozen=True)
class Competition:
    """Which competition a run is for.

    Attributes:
        slug: last part of its address, and the name of its folder below /kaggle/input.
        title: for the notebook's heading.
        submission: name of the file that is graded.
        overrides: settings that a submission wants and a run need not have.
    """

    slug: str
    title: str
    submission: str
    overrides: tuple[str, ...] = ()


class Steps(Protocol):
    """What the ensemble does with a kind of data."""

    def calibrate(self, settings: Settings) -> None:
        """Fit on out-of-fold predictions what this kind asks for, write ensemble/fit.json, and print it."""

    def predict(self, settings: Settings, request: Request) -> None:
        """Predict, pack and score, as it is asked for."""

    def fitted_weights(self, settings: Settings) -> dict[str, float]:
        """Weights by predictor, out of a fit that belongs to the weights there are.

        Raises:
            MissingInputError: the run was not fitted.
        """

    def asked(self, settings: Settings) -> tuple[list[str], bool]:
        """The members that look at a new item, and whether stage two does."""

    def competition(self, settings: Settings) -> Competition:
        """The competition that a run is for.

        Raises:
            InputError: there is none.
        """


class MontageRows(Protocol):
    """What a finished run predicted, as pictures."""

    COUNT: int
    LEGEND: dict[str, tuple[int, int, int]]

    def names_in(self, predicted: Path) -> list[str]:
        """Ids of the items that are predicted in a folder."""

    def mask_of(self, predicted: Path, name: str) -> Path:
        """The file that holds the mask of one of them."""

    def rows_of(self, settings: Settings, predicted: Path, name: str, truth: Path | None) -> "list[Row]":
        """The rows of one item; `truth` holds its label, if there is one."""

    def scored(self, settings: Settings, score: Any) -> str:
        """The score of what is submitted, in a few words."""

    def has_labels(self, folder: Path, names: Sequence[str]) -> bool:
        """Whether a folder holds the label of every one of these items."""


def steps_of(data: DataSettings) -> Steps:
    """What the ensemble does with this kind of data."""
    module: Any = import_module(f"{KINDS[data.kind]}.steps")
    steps: Steps = module
    return steps


def montage_rows_of(data: DataSettings) -> MontageRows:
    """How this kind of data is drawn in a montage."""
    module: Any = import_module(f"{KINDS[data.kind]}.montage")
    rows: MontageRows = module
    return rows

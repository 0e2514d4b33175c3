"""A label round of a run: its folder, the run that it learns from, and the run that it trains."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scroll.config.labels import LabelVersions
from scroll.config.schema import MOST_SEED, Settings
from scroll.data.kinds import kind_of, need_sheets
from scroll.data.sheets import Sheet, training_sheets
from scroll.errors import InputError, MissingInputError
from scroll.runtime.run_folder import STAGE2


@dataclass(frozen=True)
class LabelRound:
    """Round `number`, from 1, of the run that `base` describes, which is round 0.

    Everything of it is below <run_dir>/rounds/<number>: `ask` (the page), `paint` (what a person paints on), `labels` (what is trained
    on), `painted` (what people said so far, alone), `data` (links to the CT), `run` (the student). What the teacher says of sheets it did
    not train on, of shifted windows and of blank copies is in its own run: `teaching`.
    """

    base: Settings
    number: int

    def __post_init__(self) -> None:
        """Refuse what has no sheets to ask about, and a folder that is not there.

        Raises:
            MissingInputError: `rounds.also` is no folder.
            InputError: data without sheets, or no such round.
        """
        need_sheets(self.base.data)
        if self.number < 1:
            raise InputError(
                f"round {self.number}: expected 1 or more; round 0 is the run itself: 'make stage1', 'make stage2'"
            )
        also = self.base.rounds.also
        if also is not None and not also.is_dir():
            raise MissingInputError(
                f"{also}: no such folder; rounds.also is one with a folder for each sheet without labels"
            )

    @property
    def folder(self) -> Path:
        """All of it."""
        return self.base.run_dir / "rounds" / str(self.number)

    @property
    def predictions(self) -> Path:
        """What the teacher is asked: in its own run, whose weights these predictions are checked against."""
        return self.teacher.run_dir / "teaching"

    @property
    def before(self) -> "LabelRound | None":
        """The round before; None before the first."""
        return LabelRound(self.base, self.number - 1) if self.number > 1 else None

    @property
    def teacher(self) -> Settings:
        """The run that this round learns from."""
        return self.base if self.before is None else self.before.student

    @property
    def student(self) -> Settings:
        """The run that this round trains: the base's settings on the round's labels, and a seed of its own.

        With its teacher's draws it would be its teacher again wherever the labels are the same.
        """
        data = self.base.data.model_copy(
            update={
                "root": self.folder / "data",
                "labels": self.folder / "labels",
                "train": (),
                "catalogue": None,
                "label_versions": LabelVersions(),
                "grey_labels": "soft",
            }
        )
        settings = self.base.model_copy(
            update={
                "run_dir": self.folder / "run",
                "data": data,
                "seed": (self.base.seed + self.number) % (MOST_SEED + 1),
            }
        )
        return settings if self.base.rounds.start == "anew" else _begun_from(settings, self.teacher)

    def training_sheets(self) -> Sequence[Sheet]:
        """What the teacher was trained on.

        Raises:
            InputError: no sheet has a validation mask: nothing could tell whether a round helps.
        """
        sheets = training_sheets(self.teacher.data)
        if not any(sheet.held_out_label is not None for sheet in sheets):
            raise InputError(
                f"{self.base.data.root}: no sheet has a validation mask, so nothing could tell whether a round helps; draw "
                "<sheet>/validation_mask.png over a region that nobody has trained on, and train round 0 again (docs/label_rounds.md)"
            )
        return sheets

    def other_sheets(self) -> list[Any]:
        """The sheets of `rounds.also` that the teacher was not trained on."""
        also = self.base.rounds.also
        if also is None:
            return []
        known = {sheet.id for sheet in training_sheets(self.teacher.data)}
        return [sheet for sheet in kind_of(self.base.data).at(also, self.base.data) if sheet.id not in known]


def _begun_from(settings: Settings, teacher: Settings) -> Settings:
    """The same, all networks beginning from the weights of the teacher's folds."""
    members = {
        name: member if member.member is not None else member.model_copy(update={"init": teacher.folder.of(name)})
        for name, member in settings.stage1.members.items()
    }
    stage1 = settings.stage1.model_copy(update={"members": members})
    stage2 = settings.stage2.model_copy(update={"init": teacher.folder.of(STAGE2)})
    return settings.model_copy(update={"stage1": stage1, "stage2": stage2})

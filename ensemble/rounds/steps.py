"""The steps of a label round, one after the other; what is done is not done again, and nothing is overwritten."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from pydantic import Field

from ensemble.ink.fit import read_fit
from ensemble.ink.fit_record import InkFit
from ensemble.rounds.ask import NAME as ASKED
from ensemble.rounds.ask import AskedPatches, ask, marks_of, read_asked
from ensemble.rounds.labels import write_labels
from ensemble.rounds.maps import Source, sources
from ensemble.rounds.place import LabelRound
from ensemble.rounds.propose import NAME as PROPOSED
from ensemble.rounds.propose import Proposals, propose
from ensemble.rounds.report import RoundReport, read_report, write_round_report
from ensemble.rounds.train import train_student
from scroll.data.labels import Label
from scroll.errors import InputError, MissingInputError
from scroll.rounds.paint_folder import label_file, read_back
from scroll.runtime.files import read_sealed
from scroll.runtime.receipt import file_hash
from scroll.runtime.record import ByName, Versioned, as_record, write_record

TAKEN = "taken.json"


class Taken(Versioned):
    """taken.json: what was painted when the labels of a round were made, the hash of the picture by sheet; `fit` of the teacher."""

    painted: ByName[str] = Field({})
    fit: str


@dataclass(frozen=True)
class Steps:
    """A round as its steps see it."""

    a_round: LabelRound

    @cached_property
    def fit(self) -> InkFit:
        """The teacher's."""
        return read_fit(self.a_round.teacher)

    @cached_property
    def sources(self) -> Sequence[Source]:
        """Every sheet, predicted."""
        return sources(self.a_round)

    def ask(self) -> AskedPatches:
        """Predict, propose, rank, and write what a person looks at and paints on.

        Raises:
            InputError: the round before fell; or the teacher was trained again since this round began.
        """
        proposals, asked = self.a_round.folder / PROPOSED, self.a_round.folder / "ask" / ASKED
        if proposals.exists() and asked.exists():
            self._check_teacher(self.proposals)
            return read_asked(self.a_round)
        if not proposals.exists():
            found = propose(self.a_round, self.fit, self.sources)
            write_record(proposals, found)
        return ask(self.a_round, self.fit, self.sources, self.proposals)

    @property
    def proposals(self) -> Proposals:
        """What `ask` found may be proposed.

        Raises:
            MissingInputError: it was not asked yet.
        """
        path = self.a_round.folder / PROPOSED
        return as_record(
            path, read_sealed(path, f"run 'make round CONFIG=... N={self.a_round.number}' first"), Proposals
        )

    def _check_teacher(self, proposals: Proposals) -> None:
        if proposals.fit != self.fit.made_from:
            raise InputError(
                f"{self.a_round.folder}: was begun with another teacher than {self.a_round.teacher.run_dir} is now; move it away, and "
                "begin the round again"
            )

    def painted(self) -> dict[str, Label]:
        """What was painted since it was exported, by sheet, (Y, X); every folder is looked at before anything is taken.

        Raises:
            InputError: a picture is not as it has to be; one line that says what to do.
        """
        folders = sorted({one.sheet for one in read_asked(self.a_round).patches})
        read = {name: read_back(self.a_round.folder / "paint" / name) for name in folders}
        return {name: label for name, label in read.items() if label is not None}

    def take(self, is_unpainted_fine: bool) -> bool:
        """Make the labels of the next training; false where nothing is painted yet, and that is not fine.

        Raises:
            InputError: something was painted after the labels were made.
        """
        path, painted = self.a_round.folder / TAKEN, self.painted()
        if path.exists():
            self._check_unchanged(as_record(path, read_sealed(path), Taken), painted)
            return True
        if not painted and self.patches and not is_unpainted_fine:
            return False
        self._check_teacher(self.proposals)
        write_labels(self.a_round, self.fit, self.sources, self.proposals, painted)
        write_record(path, Taken(version=1, painted=self._hashes(painted), fit=self.fit.made_from))
        return True

    @property
    def patches(self) -> Sequence[object]:
        """What was asked for."""
        return read_asked(self.a_round).patches

    def _hashes(self, painted: Mapping[str, Label]) -> dict[str, str]:
        return {name: file_hash(label_file(self.a_round.folder / "paint" / name)) for name in painted}

    def _check_unchanged(self, taken: Taken, painted: Mapping[str, Label]) -> None:
        now = self._hashes(painted)
        changed = sorted(name for name in {*now, *taken.painted} if now.get(name) != taken.painted.get(name))
        if changed:
            raise InputError(
                f"{self.a_round.folder / 'paint' / changed[0]}: its label was changed after it was taken, and this round is trained on "
                f"what was taken; paint on in round {self.a_round.number + 1}, or move {self.a_round.folder / TAKEN}, "
                f"{self.a_round.folder / 'labels'} and {self.a_round.folder / 'run'} away and run the same command again"
            )

    def train(self) -> RoundReport:
        """Train the student on what was taken, and compare it with its teacher.

        Raises:
            MissingInputError: nothing was taken yet.
        """
        path = self.a_round.folder / TAKEN
        taken = as_record(path, read_sealed(path, "take the painted labels first: --step take"), Taken)
        train_student(self.a_round)
        marks = marks_of(self.a_round)
        seconds = sum(one.seconds for one in marks) if marks else None
        return write_round_report(
            self.a_round, self.sources, self.proposals, list(taken.painted), len(self.patches), seconds
        )


def check_may_begin(a_round: LabelRound, is_forced: bool) -> None:
    """Refuse a round after one whose score fell, unless the caller says to go on.

    Raises:
        MissingInputError: the round before is not finished.
        InputError: its score fell beyond its interval.
    """
    before = a_round.before
    if before is None:
        return
    try:
        report = read_report(before)
    except MissingInputError:
        raise MissingInputError(
            f"{before.folder}: round {before.number} is not finished; run 'make round CONFIG=... N={before.number}' to its end first"
        ) from None
    if report.has_fallen and not is_forced:
        raise InputError(
            f"{before.folder}: round {before.number} fell to F0.5 {report.score.f05:.3f} where no network was trained, below what chance "
            f"explains; look at what it was trained on ({before.folder / 'labels'}), move the round away and make it again, or give "
            "--after-a-fall"
        )

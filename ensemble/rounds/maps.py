"""What a round's teacher says of each sheet: the blend, and all maps that show how sure it is. Out of fold where it was trained."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ensemble.blend import blend
from ensemble.ink.fit_record import InkFit
from ensemble.ink.predict import predict_with_each
from ensemble.ink.predictors import flat_map, predictor_names
from ensemble.preflight import preflighted
from ensemble.rounds.place import LabelRound
from ensemble.time_budget.plan import with_views
from scroll.config.schema import Settings
from scroll.data.folds import Parts, held_out_parts, make_folds
from scroll.data.fragments import Fragment
from scroll.data.kinds import kind_of
from scroll.data.members.others import of_others
from scroll.data.sheets import Sheet
from scroll.errors import InputError
from stage1_3d.predict import looked_at, predict_fragment
from stage1_3d.segments.data import predict_new_segments

Map = NDArray[np.float32]
Mask = NDArray[np.bool_]
AGAIN = "run the same command again"


@dataclass(frozen=True)
class Source:
    """A sheet of a round, and where the teacher's maps of it are.

    Attributes:
        folders: by predictor, of what the blend is made of.
        folds: of single folds, of a sheet that none was trained on.
        looks: of the same networks on shifted depth windows, and without mirrors.
        parts: which of the teacher's folds are new to which of its rows.
        is_trained_on: whether the teacher was trained on some of it.
        settings: of the teacher.
    """

    sheet: Sheet
    folders: dict[str, Path]
    folds: dict[str, Path]
    looks: dict[str, Path]
    parts: Parts
    is_trained_on: bool
    settings: Settings

    @property
    def looked_at(self) -> Mask:
        """(Y, X) papyrus at working resolution that is predicted at all: of a far stack that was trained on only what is about labels."""
        return looked_at(self.settings, self.sheet) if isinstance(self.sheet, Fragment) else self.sheet.mask

    def blend(self, fit: InkFit) -> Map:
        """The teacher's blend: see `blended`."""
        return blended(fit, self.folders, self.sheet.mask)

    def by_network(self) -> Iterator[tuple[str, Map]]:
        """The map of each network, one at a time: members, stage two, and single folds where several are new to the sheet."""
        for name, folder in {**self.folders, **self.folds}.items():
            yield name, flat_map(folder, name, AGAIN)

    def by_look(self) -> Iterator[tuple[str, Map]]:
        """These, and the same networks on shifted depth windows and without mirrors."""
        yield from self.by_network()
        for name, folder in self.looks.items():
            yield name, flat_map(folder, name, AGAIN)


def blended(fit: InkFit, folders: Mapping[str, Path], mask: Mask) -> Map:
    """The blend of those that have a folder of predictions, (Y, X) at working resolution, 0 where `mask` is false."""
    weights = {name: weight for name, weight in fit.weights.items() if name in folders}
    maps = [flat_map(folders[name], name, AGAIN) for name in weights]
    return np.asarray(np.where(mask, blend(maps, list(weights.values())), 0), np.float32)


def sources(a_round: LabelRound) -> list[Source]:
    """Predict what is not predicted yet; all sheets of the round, those that the teacher was trained on first.

    Raises:
        MissingInputError: the teacher's predictions are not there.
        InputError: a sheet of `rounds.also` does not run as those that were trained on.
    """
    return [*_trained_on(a_round), *_others(a_round)]


def _trained_on(a_round: LabelRound) -> list[Source]:
    teacher, sheets = a_round.teacher, a_round.training_sheets()
    folds = make_folds(sheets, teacher.folds)
    found = []
    for sheet in sheets:
        folders = {name: teacher.folder.oof(name, sheet.id) for name in predictor_names(teacher)}
        parts = held_out_parts(folds, sheet.id)
        looks = _seen_otherwise(a_round, sheet, parts)
        found.append(Source(sheet, folders, {}, looks, parts, is_trained_on=True, settings=teacher))
    return found


def _others(a_round: LabelRound) -> list[Source]:
    teacher, output = a_round.teacher, a_round.predictions
    sheets = a_round.other_sheets()
    if not sheets:
        return []
    sheets = preflighted(teacher, sheets, output)
    for sheet in sheets:
        check_lies_as_trained(sheet)
    if kind_of(teacher.data).has_one_volume_of_many:
        predict_new_segments(teacher, sheets, output)
    found = []
    for sheet in sheets:
        predict_with_each(teacher, sheet, output / sheet.id)
        folders = {name: output / sheet.id / name for name in predictor_names(teacher)}
        everyone: Parts = [((0, sheet.rows), list(range(teacher.folds.count)))]
        folds, looks = _single_folds(a_round, sheet), _seen_otherwise(a_round, sheet, everyone)
        found.append(Source(sheet, folders, folds, looks, everyone, is_trained_on=False, settings=teacher))
    return found


def check_lies_as_trained(sheet: Sheet) -> None:
    """Refuse a sheet that preflight turned round or shifted: the student would be trained on it as its files say."""
    if getattr(sheet, "is_flipped", False):
        raise InputError(
            f"{sheet.folder}: its layers run the other way than those that were trained on, and a round trains on it as it is: add the "
            "line 'reversed' to its surface_volume_source.txt, or turn the stack (docs/real_data.md)"
        )
    shift = getattr(sheet, "shift_layers", 0)
    if shift:
        raise InputError(
            f"{sheet.folder}: its sheet is {abs(shift)} layers {'deeper' if shift > 0 else 'less deep'} than those that were trained on, "
            f"and a round trains on it as it is: leave out its {'first' if shift > 0 else 'last'} {2 * abs(shift)} layers, so that it is "
            "in the middle (docs/real_data.md)"
        )


def _seen_otherwise(a_round: LabelRound, sheet: Sheet, parts: Parts) -> dict[str, Path]:
    """Members on a depth window that is shifted by each of `rounds.depth_offsets`, where the sheet has these layers; and without mirrors,
    where they are asked with."""
    found: dict[str, Path] = {}
    if not isinstance(sheet, Fragment):
        return found
    if a_round.teacher.stage1.window.tta != "none":
        for name in voting_members(a_round.teacher):
            found[f"{name}, one view"] = _predicted(a_round, name, sheet, parts, f"{name}-view", views=1)
    for offset in a_round.base.rounds.depth_offsets:
        shifted = replace(sheet, shift_layers=sheet.shift_layers + offset)
        try:
            _ = shifted.layers
        except InputError:
            print(f"{sheet.id}: has no layers for a window shifted by {offset:+d}; that one has no say")
            continue
        for name in voting_members(a_round.teacher):
            found[f"{name} at {offset:+d}"] = _predicted(a_round, name, shifted, parts, f"{name}{offset:+d}")
    return found


def _single_folds(a_round: LabelRound, sheet: Sheet) -> dict[str, Path]:
    """Every fold of the members by itself, on a fragment that none was trained on."""
    if not isinstance(sheet, Fragment):
        return {}
    teacher = a_round.teacher
    return {
        f"{name}, fold {fold}": _predicted(a_round, name, sheet, [((0, sheet.rows), [fold])], f"{name}-fold{fold}")
        for name in voting_members(teacher)
        for fold in range(teacher.folds.count)
    }


def _predicted(
    a_round: LabelRound, name: str, sheet: Fragment, parts: Parts, called: str, views: int | None = None
) -> Path:
    folder = a_round.predictions / sheet.id / called
    teacher = _in_one_window(a_round.teacher if views is None else with_views(a_round.teacher, views))
    predict_fragment(teacher, name, sheet, folder, parts, f"{called}, {sheet.id}")
    return folder


def voting_members(settings: Settings) -> Sequence[str]:
    """The members of the run's own, which can be asked again about other windows."""
    return [name for name in settings.stage1.fitted if name not in of_others(settings)]


def _in_one_window(settings: Settings) -> Settings:
    """The same, without the mean over depth windows: each of these has a say of its own."""
    window = settings.stage1.window.model_copy(update={"depth_offsets": ()})
    return settings.model_copy(update={"stage1": settings.stage1.model_copy(update={"window": window})})

"""The kinds of data: what is true of all data of a kind before any of it is read, and who finds its items."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from scroll.config.schema import DataSettings
from scroll.data.catalogued import with_catalogued
from scroll.errors import InputError


@dataclass(frozen=True)
class Kind:
    """One kind of data.

    Attributes:
        name: as `data.kind` says it.
        is_flattened: stacks of layers along a sheet, so that z is depth; else voxels in scroll space, where no axis is.
        has_sheets: its sheets are given, with what is written on them; else they are traced in the members' predictions.
        has_one_volume_of_many: several items lie in one volume and are predicted together.
        folds_by: what its folds may be made of (`folds.by`); the second is advised where there are too few of the first.
        train, test: folders below `data.root` with what is trained on and what is predicted.
        submission: name of what is submitted.
        type_name: class of its items in that module.
        module: of `scroll.data`, with `find_<kind>(folder, data, ids)` and, where it has sheets, `<kind>_at(source, data)`.
    """

    name: str
    is_flattened: bool
    has_sheets: bool
    folds_by: tuple[str, ...]
    module: str
    type_name: str
    has_one_volume_of_many: bool = False
    train: str = "train"
    test: str = "test"
    submission: str = "submission.csv"

    def find(self, folder: Path, data: DataSettings, ids: Sequence[str] = ()) -> list[Any]:
        """The items below `folder`, sorted by id; `ids` picks some.

        Raises:
            MissingInputError: the folder, or one of the ids, is not there.
        """
        found: list[Any] = getattr(import_module(self.module), f"find_{self.name}")(folder, data, ids)
        return found

    def item(self, name: str, folder: Path, data: DataSettings) -> Any:
        """One item whose files lie in a folder, by whatever name; not looked at yet."""
        return getattr(import_module(self.module), self.type_name)(name, folder, data)

    def at(self, source: Path, data: DataSettings) -> list[Any]:
        """The items at a place: a folder of them, one of them, or (of flattened ones) a bare layer stack.

        Raises:
            MissingInputError: nothing is there.
        """
        found: list[Any] = getattr(import_module(self.module), f"{self.name}_at")(source, data)
        return found


OF_SHEETS = ("fragment", "region", "volume", "scroll")
KINDS = {
    kind.name: kind
    for kind in (
        Kind("fragments", True, True, OF_SHEETS, "scroll.data.fragments", "Fragment"),
        Kind(
            "segments",
            False,
            True,
            OF_SHEETS,
            "scroll.data.segments",
            "Segment",
            has_one_volume_of_many=True,
        ),
        Kind(
            "cubes",
            False,
            False,
            ("scroll", "fragment"),
            "scroll.data.cubes",
            "Cube",
            train="",
            test="",
            submission="submission.zip",
        ),
    )
}


def kind_of(data: DataSettings) -> Kind:
    """The kind that the settings name."""
    return KINDS[data.kind]


def training_items(data: DataSettings) -> list[Any]:
    """The labelled items of a run, sorted by id; those that `data.train` names as scroll/segment are added first where they are not there.

    Raises:
        MissingInputError: the folder, or one of `data.train`, is not there.
        InputError: what is to be added cannot be.
    """
    kind = kind_of(data)
    folder = data.root / kind.train
    items = kind.find(folder, data, with_catalogued(folder, data))
    return [item.to_train_on() for item in items] if kind.has_sheets else items


def need_sheets(data: DataSettings) -> None:
    """Refuse data without sheets where the 2D half of the pipeline, which needs one, would begin.

    Raises:
        InputError: `data.kind` has none.
    """
    if not kind_of(data).has_sheets:
        raise InputError(
            f"data.kind is {data.kind} ({data.root}): no sheet is given with them, so there is nothing to look at here; what works "
            f"on {data.kind}: "
            "'make stage1', 'make stage2', ensemble/predict.py, scripts/score_cubes.py (docs/surface_competition.md)"
        )


def need_flattened(data: DataSettings, what: str, remedy: str) -> None:
    """Refuse voxels in scroll space where `what` needs flattened layer stacks.

    Raises:
        InputError: `data.kind` is not flattened; ends with the `remedy`.
    """
    if not kind_of(data).is_flattened:
        raise InputError(f"data.kind is {data.kind} ({data.root}): {what}; {remedy}")

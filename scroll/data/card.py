"""The card of a member that was trained elsewhere: what it returns, what it wants to see, what it has seen; beside its weights."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

from pydantic import Field, JsonValue, field_validator

from scroll.config.schema import DataSettings, Settings
from scroll.data.folds import Fold
from scroll.data.intensity import Intensity
from scroll.data.kinds import kind_of
from scroll.data.sheets import Sheet
from scroll.errors import InputError, MissingInputError
from scroll.geometry import Size
from scroll.runtime.files import read_mapping
from scroll.runtime.receipt import file_hash
from scroll.runtime.record import Record, Versioned, as_record

NAME = "card.json"
VOXEL_SLACK = 0.01  # by how much of itself a voxel may differ from those that a member was trained on
HINT = "import it again: python scripts/import_member.py"


class FoldCard(Record):
    """One network of a member: its file beside the card, the file's hash, and the items or scrolls that it was trained on."""

    weights: str
    sha256: str
    trained_on: tuple[str, ...] = ()


class Ready(Record):
    """A prediction that was made elsewhere: its file beside the card and the file's hash; whether its network had seen the item."""

    file: str
    sha256: str
    is_unseen: bool


class Card(Versioned):
    """What a member declares.

    Attributes:
        family: the reader that knows its names of tensors; "predictions" for those that are there already.
        returns: voxels of what it sees, or one map of the sheet.
        scale: how many voxels of what it sees one of what it returns is wide.
        window: z, y, x of what it sees at once; `overlap` is the share of two neighbours.
        layers: first and end layer about the sheet's centre that a map is made of.
        direction: whether layer numbers grow into the papyrus or out of it.
        voxel_um: edge of a voxel that it was trained at; None: not known.
        options: what the family's network is built by.
        folds: its networks.
        ready: of "predictions", by item.
        source, source_sha256: what it was imported from.
    """

    family: str
    returns: Literal["voxels", "map"] = "voxels"
    scale: int = Field(1, ge=1, le=64)
    window: Size = (1, 1, 1)
    overlap: float = Field(0.5, ge=0, lt=1)
    layers: tuple[int, int] | None = None
    direction: Literal["inwards", "outwards"] = "inwards"
    voxel_um: float | None = Field(None, gt=0)
    intensity: Intensity = Intensity()
    options: dict[str, JsonValue] = Field({})
    folds: tuple[FoldCard, ...] = ()
    ready: dict[str, Ready] = Field({})
    source: str = ""
    source_sha256: str = ""

    @field_validator("layers")
    @classmethod
    def _first_before_end(cls, layers: tuple[int, int] | None) -> tuple[int, int] | None:
        if layers is not None and layers[0] >= layers[1]:
            raise ValueError("expected the first layer, then the end, such as -13 13")
        return layers

    def unseen(self, item: str, volume: str = "") -> list[int]:
        """The folds that have seen neither an item nor the volume or scroll it is of; one of which nothing is known has seen all.

        Of ready predictions, [0] where one is there that was made without having seen the item.
        """
        if self.ready:
            return [0] if item in self.ready and self.ready[item].is_unseen else []
        return [n for n, fold in enumerate(self.folds) if fold.trained_on and not {item, volume} & {*fold.trained_on}]

    @property
    def all_folds(self) -> list[int]:
        """Numbers of its networks; of ready predictions, of which there is one an item, 0."""
        return [0] if self.ready else list(range(len(self.folds)))


class Item(Protocol):
    """A fragment, segment or cube."""

    @property
    def id(self) -> str:
        """Its name."""

    @property
    def volume_name(self) -> str:
        """The volume or scroll that it is of."""

    @property
    def rows(self) -> int:
        """Rows at working resolution, which folds speak of."""


I = TypeVar("I", bound=Item)  # noqa: E741


def read_card(folder: Path) -> Card:
    """The card of an imported member; the files that it names are compared with their hashes.

    Raises:
        MissingInputError: no card, or a file that it names is not there.
        InputError: it holds something else, or a file was exchanged.
    """
    path = folder / NAME
    if not path.exists():
        raise MissingInputError(f"{path}: not there; a member of others is a folder with a card: {HINT}")
    return _read(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=64)
def _read(path: Path, _written_ns: int) -> Card:
    card = as_record(path, read_mapping(path), Card, HINT)
    if bool(card.folds) == bool(card.ready):
        raise InputError(f"{path}: names {'both' if card.folds else 'neither'} networks and predictions; {HINT}")
    sums = {fold.weights: fold.sha256 for fold in card.folds} | {one.file: one.sha256 for one in card.ready.values()}
    for name, expected in sums.items():
        file = path.parent / name
        if not file.exists():
            raise MissingInputError(f"{file}: not there, though {NAME} beside it names it; {HINT}")
        if file_hash(file) != expected:
            raise InputError(f"{file}: is not the file that {NAME} beside it speaks of; put that one back, or {HINT}")
    return card


def folders_of_others(settings: Settings) -> list[tuple[str, Path]]:
    """The members that were trained elsewhere, and their folders."""
    return [(name, one.member) for name, one in settings.stage1.members.items() if one.member is not None]


def cards(settings: Settings) -> dict[str, Card]:
    """The cards of the members that were trained elsewhere, by name."""
    return {name: read_card(folder) for name, folder in folders_of_others(settings)}


def check_voxels(folder: Path, card: Card, voxel_um: float) -> None:
    """Refuse voxels of another size than a member was trained on.

    Raises:
        InputError: more than 1 % larger or smaller.
    """
    if card.voxel_um and abs(voxel_um / card.voxel_um - 1) > VOXEL_SLACK:
        raise InputError(
            f"{folder / NAME}: trained at {card.voxel_um:g} um a voxel, and here they are {voxel_um:g}; give data at that size, or import "
            "it with the --voxel-um that it was really trained at"
        )


def layers_in(place: Path, card: Card, sheet: Sheet) -> slice:
    """The layers of a sheet's stack that a member looks at.

    Raises:
        InputError: the stack is too thin.
    """
    first, end = card.layers or (-(card.window[0] // 2), card.window[0] - card.window[0] // 2)
    if card.direction == "outwards":
        first, end = 1 - end, 1 - first  # counted from the other side
    middle, there = sheet.middle_layer, sheet.stack.shape[0]
    if middle + first < 0 or middle + end > there:
        raise InputError(
            f"{sheet.folder}: {there} layers, the sheet in layer {middle}; {place / NAME} needs those from {first} to {end - 1} about it: "
            "give a deeper stack, or leave the member out"
        )
    return slice(middle + first, middle + end)


def check_card(folder: Path, items: Sequence[Any], data: DataSettings) -> None:
    """That a member can look at these items: its files, the size of their voxels, and the layers that it needs.

    Raises:
        InputError: the first thing that does not suit.
    """
    card = read_card(folder)
    if card.returns == "map" and not kind_of(data).has_sheets:
        raise InputError(
            f"{folder / NAME}: gives maps of sheets, and data.kind is {data.kind}; give a member that gives voxels"
        )
    if card.ready and card.returns == "voxels" and kind_of(data).has_sheets:
        raise InputError(
            f"{folder / NAME}: holds volumes, and data.kind is {data.kind}; give maps: the maximum over their depth"
        )
    for item in items:
        check_voxels(folder, card, item.pixel_um if card.returns == "map" else item.seen_um)
        if card.returns == "map" and not card.ready:
            layers_in(folder, card, item)


def out_of_fold(settings: Settings, items: Sequence[I]) -> list[I]:
    """The training items that every member can predict without having seen them: all that weights, thresholds, chains and stage two
    may be fitted on.

    Raises:
        InputError: a member has seen all of them, or together the members leave none.
    """
    kept = list(items)
    for name, card in cards(settings).items():
        if settings.stage1.members[name].weight != "fitted":
            continue
        unseen = {item.id for item in items if card.unseen(item.id, item.volume_name)}
        place, remedy = (
            f"stage1.members.{name}",
            f"set stage1.members.{name}.weight: equal_share, which gives it a part that is not fitted",
        )
        if not unseen:
            raise InputError(
                f"{place}: by {settings.stage1.members[name].member}/{NAME} none of the {len(items)} training items is known to be new "
                f"to it, so its weight cannot be fitted; {remedy}, or import it with the --trained-on that is true"
            )
        kept = [item for item in kept if item.id in unseen]
        if not kept:
            raise InputError(f"{place}: what is new to it is not new to the members before it; {remedy}")
    return kept


def folds_of_new(settings: Settings, folds: Sequence[Fold], items: Sequence[Item]) -> list[Fold]:
    """The folds, once it is sure that what `out_of_fold` left lets each of them learn from something and be judged by something.

    Raises:
        InputError: it does not.
    """
    for fold in folds:
        whole = {item.id for item in items if fold.closed.get(item.id) == (0, item.rows)}
        sides = {"train on": len(items) - len(whole), "be judged by": sum(item.id in fold.held_out for item in items)}
        for side, count in sides.items():
            if not count and cards(settings):
                names = ", ".join(name for name in cards(settings) if name in settings.stage1.fitted)
                raise InputError(
                    f"folds: of the {len(items)} training items that are new to {names}, none is left for fold {fold.number} to {side}; "
                    "give more items, other folds, or set weight: equal_share for the members that have seen most"
                )
    return list(folds)


def beginning(source: Path, fold: Fold) -> Path:
    """The checkpoint that a fold begins from: the file itself, or the weights in a member's folder that are new to what it holds out.

    Raises:
        MissingInputError: nothing there.
        InputError: every network in the folder has seen an item that the fold holds out: its score would be no longer out of fold.
    """
    if not source.exists():
        raise MissingInputError(f"{source}: not there; init is a checkpoint, or the folder of a member with its card")
    if not source.is_dir():
        return source
    card = read_card(source)
    for one in card.folds:
        if one.trained_on and not {*one.trained_on} & {*fold.held_out}:
            return source / one.weights
    raise InputError(
        f"{source / NAME}: each of its networks has seen (or may have seen) what fold {fold.number} holds out, {', '.join(fold.held_out)}: "
        "a training that begins there is judged on what it knows; leave init out, or begin from weights that are new to these"
    )

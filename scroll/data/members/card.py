"""The card of a member that was trained elsewhere: what it returns, what it wants to see, what it has seen; beside its weights."""

from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydantic import Field, JsonValue, field_validator, model_validator

from scroll.data.intensity import Intensity
from scroll.errors import InputError, MissingInputError
from scroll.geometry import Size
from scroll.runtime.files import read_mapping
from scroll.runtime.receipt import file_hash
from scroll.runtime.record import Record, Versioned, as_record

NAME = "card.json"
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
        threshold: from which probability on it calls ink, as it was fitted out of fold; None: not known.
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
    threshold: float | None = Field(None, gt=0, lt=1, exclude_if=lambda threshold: threshold is None)
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

    @model_validator(mode="after")
    def _an_nnunet_scales_items(self) -> "Card":
        if self.family == "nnunet" and self.intensity.of == "window":
            raise ValueError("an nnU-Net scales whole items: expected intensity.of item")
        return self

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

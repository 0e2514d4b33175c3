"""The card of a member that was trained elsewhere: what it returns, what it wants to see, what it has seen; beside its weights."""

from pathlib import Path
from typing import Literal

from pydantic import Field, JsonValue

from scroll.errors import InputError, MissingInputError
from scroll.geometry import Size
from scroll.runtime.files import read_mapping
from scroll.runtime.receipt import file_hash
from scroll.runtime.record import Record, Versioned, as_record

NAME = "card.json"
HINT = "import it again: python scripts/import_member.py"


class Intensity(Record):
    """Grey values -> what a network sees.

    `how`: none; divide by `spread`; clip to `low`..`high` and divide; zscore with `middle` and `spread`; zscore_of_item; percentiles
    (`low` and `high` of the item's become 0 and 1); robust (median and median absolute deviation within the item's percentiles
    `low` to `high`); ours (`scroll.data.intensity`).
    """

    how: Literal[
        "none", "divide", "clip_divide", "zscore", "clip_zscore", "zscore_of_item", "percentiles", "robust", "ours"
    ] = "none"
    low: float = 0.0
    high: float = 0.0
    middle: float = 0.0
    spread: float = 1.0


class FoldCard(Record):
    """One network of a member: its file beside the card, the file's hash, and the items it was trained on."""

    weights: str
    sha256: str
    trained_on: tuple[str, ...] = ()


class Card(Versioned):
    """What a member declares.

    Attributes:
        family: the reader that knows its names of tensors.
        returns: voxels of what it sees, or one map of the sheet.
        scale: how many voxels of what it sees one of what it returns is wide.
        window: z, y, x of what it sees at once; `overlap` is the share of two neighbours.
        layers: first and end layer about the sheet's centre that a map is made of.
        direction: whether layer numbers grow into the papyrus or out of it.
        voxel_um: edge of a voxel that it was trained at; None: not known.
        options: what the family's network is built by.
        source, source_sha256: what it was imported from.
    """

    family: str
    returns: Literal["voxels", "map"] = "voxels"
    scale: int = Field(1, ge=1, le=64)
    window: Size
    overlap: float = Field(0.5, ge=0, lt=1)
    layers: tuple[int, int] | None = None
    direction: Literal["inwards", "outwards"] = "inwards"
    voxel_um: float | None = None
    intensity: Intensity = Intensity()
    options: dict[str, JsonValue] = Field({})
    folds: tuple[FoldCard, ...] = Field(min_length=1)
    source: str = ""
    source_sha256: str = ""

    def outside(self, item: str, volume: str = "") -> list[int]:
        """The folds that have not seen an item, nor the volume or scroll it is of."""
        return [n for n, fold in enumerate(self.folds) if not {item, volume} & {*fold.trained_on}]


def read_card(folder: Path) -> Card:
    """The card of an imported member; its weights are compared with their hashes.

    Raises:
        MissingInputError: no card, or weights that it names are not there.
        InputError: it holds something else, or the weights were exchanged.
    """
    path = folder / NAME
    if not path.exists():
        raise MissingInputError(f"{path}: not there; a member of others is a folder with a card: {HINT}")
    card = as_record(path, read_mapping(path), Card, HINT)
    for fold in card.folds:
        weights = folder / fold.weights
        if not weights.exists():
            raise MissingInputError(f"{weights}: not there, though {NAME} beside it names it; {HINT}")
        if file_hash(weights) != fold.sha256:
            raise InputError(
                f"{weights}: is not the file that {NAME} beside it speaks of; put that one back, or {HINT}"
            )
    return card

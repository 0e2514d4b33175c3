"""What a run reads, whatever carries it: fragments that someone flattened, or segments traced in a scroll."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from scroll.config.schema import DataSettings
from scroll.data.kinds import need_sheets, training_items
from scroll.data.labels import Label


class Sheet(Protocol):
    """A sheet of papyrus as the 2D half of the pipeline sees it: its size, where there is papyrus, and what is written on it.

    "Full" is one pixel a voxel; working resolution is `data.bin_yx` times coarser.
    """

    @property
    def id(self) -> str:
        """Its name, as in the submission."""

    @property
    def folder(self) -> Path:
        """Where its files lie."""

    @property
    def data(self) -> DataSettings:
        """How it is looked at."""

    @property
    def shape_yx(self) -> tuple[int, int]:
        """Full size in pixels."""

    @property
    def pixel_um(self) -> float:
        """Edge of a full-resolution pixel in micrometres."""

    @property
    def full_mask(self) -> NDArray[np.bool_]:
        """(Y, X) papyrus at full resolution."""

    @property
    def mask(self) -> NDArray[np.bool_]:
        """(Y, X) papyrus at working resolution."""

    @property
    def rows(self) -> int:
        """Rows at working resolution, which folds speak of."""

    @property
    def full_label(self) -> Label:
        """(Y, X) ink at full resolution."""

    @property
    def label(self) -> Label:
        """(Y, X) ink at working resolution."""

    @property
    def volume_name(self) -> str:
        """Which volume it was scanned in; sheets of one volume may see each other."""

    @property
    def key(self) -> str:
        """Hash of its files and of how they are looked at."""

    @property
    def stack(self) -> Any:
        """Layers (Z, Y, X) about the sheet at full resolution, read piece by piece; the sheet's centre is layer Z // 2."""

    def picture(self) -> NDArray[Any]:
        """(Y, X) CT at the sheet's centre, full resolution."""


def provenance_of(sheet: Sheet) -> dict[str, Any]:
    """For a receipt: which sheet it was, where it lay, and which way round it was read."""
    return {
        "data": sheet.key,
        "source": str(sheet.folder),
        "is_flipped": bool(getattr(sheet, "is_flipped", False)),
        "shift_layers": int(getattr(sheet, "shift_layers", 0)),
        "normal_sign": sheet.data.normal_sign,
    }


def training_sheets(data: DataSettings) -> Sequence[Sheet]:
    """The labelled sheets of a run.

    Raises:
        MissingInputError: the folder, or one of `data.train`, is not there.
        InputError: of this kind of data no sheets are given.
    """
    need_sheets(data)
    return training_items(data)

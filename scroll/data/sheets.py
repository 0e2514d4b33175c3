"""What a run reads, whatever carries it: fragments that someone flattened, or segments traced in a scroll."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from scroll.config.schema import DataSettings
from scroll.data.fragments import find_fragments
from scroll.data.labels import Label
from scroll.errors import InputError


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


def looked_at(sheet: Sheet) -> dict[str, Any]:
    """For a receipt: which sheet it was, where it lay, and which way round it was read."""
    return {
        "data": sheet.key,
        "source": str(sheet.folder),
        "is_flipped": bool(getattr(sheet, "is_flipped", False)),
        "shift_layers": int(getattr(sheet, "shift_layers", 0)),
        "normal_sign": sheet.data.normal_sign,
    }


def find_sheets(folder: Path, data: DataSettings, ids: Sequence[str] = ()) -> Sequence[Sheet]:
    """The sheets below `folder`, sorted by id; `ids` picks some.

    Raises:
        MissingInputError: the folder, or one of the ids, is not there.
        InputError: cubes, which hold no sheet that anyone traced.
    """
    need_sheets(data)
    if data.kind == "segments":
        from scroll.data.segments import find_segments

        return find_segments(folder, data, ids)
    return find_fragments(folder, data, ids)


def need_sheets(data: DataSettings) -> None:
    """Refuse cubes where the 2D half of the pipeline, which needs a sheet, would begin.

    Raises:
        InputError: `data.kind` is cubes.
    """
    if data.kind == "cubes":
        raise InputError(
            f"data.kind is cubes ({data.root}): no sheet is given with them, so there is nothing to look at here; what works on cubes: "
            "'make stage1', 'make stage2', ensemble/predict.py, scripts/score_cubes.py (docs/surface_competition.md)"
        )


def training_sheets(data: DataSettings) -> Sequence[Sheet]:
    """The labelled sheets of a run."""
    return find_sheets(data.root / "train", data, data.train)

"""What a run reads, whatever carries it: fragments that someone flattened, or segments traced in a scroll."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from scroll.config.schema import DataSettings
from scroll.data.kinds import need_sheets, training_items
from scroll.data.labels import Label, SheetLabels, share_in_blocks
from scroll.data.sources import scroll_said_in
from scroll.runtime.receipt import fingerprint


@dataclass(frozen=True)
class Sheet(ABC):
    """A sheet of papyrus as the 2D half of the pipeline sees it: its size, where there is papyrus, and what is written on it.

    Everything is read when first asked for, and the CT lazily. "Full" is one pixel a voxel; working resolution is
    `data.bin_yx` times coarser.

    Attributes:
        id: its name, as in the submission.
        folder: where its files lie.
        data: how it is looked at.
    """

    id: str
    folder: Path
    data: DataSettings

    @property
    @abstractmethod
    def shape_yx(self) -> tuple[int, int]:
        """Full size in pixels."""

    @property
    @abstractmethod
    def pixel_um(self) -> float:
        """Edge of a full-resolution pixel in micrometres."""

    @property
    def layer_um(self) -> float:
        """How far layers of its stack lie apart, in micrometres."""
        return self.pixel_um

    @property
    @abstractmethod
    def seen_um(self) -> float:
        """Edge of a voxel of what networks of voxels see, in micrometres."""

    @property
    @abstractmethod
    def full_mask(self) -> NDArray[np.bool_]:
        """(Y, X) papyrus at full resolution."""

    @abstractmethod
    def labels_in(self, folder: Path, data: DataSettings) -> SheetLabels:
        """(Y, X) ink at full resolution that a folder's files say is written on it, read as `data` says."""

    @cached_property
    def full_labels(self) -> SheetLabels:
        """(Y, X) ink at full resolution: what is trained on, and what a validation mask holds out."""
        return self.labels_in(self.labels_folder, self.data)

    @property
    def labels_folder(self) -> Path:
        """Where its labels are: beside its CT, or where `data.labels` says."""
        return self.folder if self.data.labels is None else self.data.labels / self.id

    @property
    def known_labels(self) -> list[Any]:
        """For its key: hash of its labels, where they are in a folder of their own."""
        is_elsewhere = self.data.labels is not None and self.labels_folder.is_dir()
        return [fingerprint(self.labels_folder)] if is_elsewhere else []

    @property
    def full_label(self) -> Label:
        """(Y, X) ink at full resolution; unknown where it is held out by a validation mask, as nobody trains or fits there."""
        return self.full_labels.training

    @cached_property
    def full_human_label(self) -> Label:
        """(Y, X) ink at full resolution as people said it, without what is proposed: all that is fitted speaks of it alone."""
        return self.full_label.human

    @property
    def held_out_label(self) -> Label | None:
        """(Y, X) ink at full resolution, known in the validation mask alone; None where no such mask is."""
        return self.full_labels.held_out

    @cached_property
    def mask(self) -> NDArray[np.bool_]:
        """(Y, X) papyrus at working resolution."""
        return share_in_blocks(self.full_mask, self.data.bin_yx) >= 0.5

    @cached_property
    def label(self) -> Label:
        """(Y, X) ink at working resolution."""
        return self.full_labels.binned(self.data.bin_yx).training

    @cached_property
    def human_label(self) -> Label:
        """(Y, X) ink at working resolution as people said it."""
        return self.label.human

    @cached_property
    def open_mask(self) -> NDArray[np.bool_]:
        """(Y, X) papyrus at working resolution whose label is known and not held out: where patches are drawn."""
        return self.mask & ~self.label.ignore

    @cached_property
    def labelled_mask(self) -> NDArray[np.bool_]:
        """(Y, X) papyrus at working resolution whose label is known, to train on or held out."""
        held_out = self.full_labels.binned(self.data.bin_yx).held_out
        return self.open_mask if held_out is None else self.open_mask | (self.mask & ~held_out.ignore)

    def on_canvas(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """A (Y, X) mask at full resolution as large as its labels are drawn, and as a submission wants it."""
        return mask

    def to_train_on(self) -> Self:
        """The same, as the training items of a run."""
        return self

    @property
    def rows(self) -> int:
        """Rows at working resolution, which folds speak of."""
        return int(self.mask.shape[0])

    @property
    @abstractmethod
    def volume_name(self) -> str:
        """Which volume it was scanned in; sheets of one volume may see each other."""

    @cached_property
    def scroll(self) -> str:
        """Which scroll it is of, as the catalogue beside it says; "" where there is none."""
        return scroll_said_in(self.folder)

    @property
    def known_scroll(self) -> list[str]:
        """For its key: the scroll, where it is known, for that decides how often the sheet is drawn."""
        return [self.scroll] if self.scroll else []

    @property
    @abstractmethod
    def key(self) -> str:
        """Hash of its files and of how they are looked at."""

    @property
    @abstractmethod
    def stack(self) -> Any:
        """Layers (Z, Y, X) about the sheet at full resolution, read piece by piece; the sheet's centre is layer Z // 2."""

    @property
    @abstractmethod
    def middle_layer(self) -> int:
        """The layer of the stack that the sheet is in."""

    @property
    @abstractmethod
    def grey_sample(self) -> NDArray[Any]:
        """(n,) grey values of the papyrus, a fixed sample."""

    @abstractmethod
    def picture(self) -> NDArray[Any]:
        """(Y, X) CT at the sheet's centre, full resolution."""


S = TypeVar("S", bound=Sheet)


def labelled_by_people(sheets: Sequence[S]) -> list[S]:
    """Those whose label is not all proposed: on these alone may be fitted."""
    return [sheet for sheet in sheets if not sheet.full_label.is_only_proposed]


def provenance_of(sheet: Sheet) -> dict[str, object]:
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

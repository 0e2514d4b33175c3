"""Ink and surface labels as one type: what is true, and where nobody knows."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scroll.config.schema import DataSettings
from scroll.errors import InputError
from scroll.runtime.content import MOST_FILES, content_of
from scroll.volumes.binning import block_mean
from scroll.volumes.masks import (
    CANVAS_SLACK,
    INK,
    PROPOSED,
    SUPERVISION,
    VALIDATION,
    all_beside,
    files_beside,
    missing,
    read_picture,
)

SURFACE_IGNORE = 2  # the surface competition's "unlabelled"
INK_FROM = 0.5  # share of ink from which on a soft target counts as ink where only yes or no will do


@dataclass(frozen=True)
class Label:
    """`target` and `ignore`, arrays of one shape, (Y, X) or (Z, Y, X); where `ignore` is true the target says nothing.

    `ignore` is bool; `target` is bool, or float32 from 0 to 1 where labels are soft (`data.grey_labels`). `proposed`, bool, is true
    where a round proposed what is known, and no person said it; None where all of it is people's.
    """

    target: NDArray[Any]
    ignore: NDArray[np.bool_]
    proposed: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        """Refuse parts that do not belong together."""
        for name, mask in (("ignore", self.ignore), ("proposed", self.proposed)):
            if mask is not None and mask.shape != self.target.shape:
                raise InputError(
                    f"label {self.target.shape} and {name} mask {mask.shape} differ in shape; give both the same"
                )

    @property
    def human(self) -> "Label":
        """What people said: all that is fitted or scored speaks of this alone. What is proposed is unknown, and no ink."""
        if self.proposed is None:
            return self
        return Label(np.where(self.proposed, self.target.dtype.type(0), self.target), self.ignore | self.proposed)

    @property
    def is_only_proposed(self) -> bool:
        """Whether something is known, and nobody said any of it."""
        return self.proposed is not None and bool((self.proposed | self.ignore).all() and not self.ignore.all())

    @property
    def proposed_share(self) -> float:
        """Share of the known part that is proposed; 0 where nothing is known."""
        known = int(np.count_nonzero(~self.ignore))
        return 0.0 if self.proposed is None or not known else np.count_nonzero(self.proposed & ~self.ignore) / known

    def at(self, window: tuple[slice, ...]) -> "Label":
        """A part of it."""
        proposed = None if self.proposed is None else self.proposed[window]
        return Label(self.target[window], self.ignore[window], proposed)

    @property
    def ink(self) -> NDArray[np.bool_]:
        """The target as yes or no, bool: a soft one counts from 1/2 on."""
        return as_ink(self.target)

    @property
    def ink_share(self) -> float:
        """Share of the known part that is positive; 0 where nothing is known."""
        known = np.count_nonzero(~self.ignore)
        return float(np.count_nonzero(self.ink & ~self.ignore) / known) if known else 0.0


def as_ink(target: NDArray[Any]) -> NDArray[np.bool_]:
    """A target, bool or float32 from 0 to 1, as yes or no."""
    return target if target.dtype == bool else np.asarray(target >= INK_FROM)


def is_grey(target: NDArray[Any], ignore: NDArray[np.bool_]) -> bool:
    """Whether a target is known to lie between 0 and 1 anywhere: one that does not is treated as a hard one, bit for bit."""
    return target.dtype != bool and bool(((target > 0) & (target < 1) & ~ignore).any())


@dataclass(frozen=True)
class SheetLabels:
    """What is written on a sheet, (Y, X): `training`, unknown where it is held out, and `held_out`, known there alone.

    `held_out` is None where no validation mask is. `files` are those that say so, the first of each kind.
    """

    training: Label
    held_out: Label | None = None
    files: tuple[Path, ...] = ()

    def binned(self, bin_yx: int) -> "SheetLabels":
        """Both at a coarser resolution; a block that is half held out, and half not, is not trained on."""
        if bin_yx == 1:
            return self
        training = binned_label(self.training, bin_yx)
        if self.held_out is None:
            return SheetLabels(training, files=self.files)
        held_out = binned_label(self.held_out, bin_yx)
        apart = _marked(Label(training.target, training.ignore | ~held_out.ignore), training.proposed)
        return SheetLabels(apart, held_out, self.files)

    @property
    def scored(self) -> Label:
        """What a prediction of the sheet is scored against: what is held out, where anything is, else all that people said."""
        return self.training.human if self.held_out is None else self.held_out


def labels_beside(
    folder: Path, sheet_id: str, papyrus: NDArray[np.bool_], data: DataSettings, also: Sequence[Path] = ()
) -> SheetLabels:
    """What is written on a sheet: the ink of inklabels.png, known on its papyrus (Y, X) and in supervision_mask.png.

    They lie in `folder`, or in one of the folders `also` looked into. All may be called <sheet>_inklabels.png and so on, end
    in _v<N>, and be TIFFs or zarrs; masks need not be there. Where validation_mask.png is, it is known whatever the supervision
    mask says, and held out. A pixel at the rim that a validation mask is too small for is neither trained on nor held out. Where
    proposed_mask.png is, the label is proposed: trained on, but never held out; what that mask is too small for is not known.

    Raises:
        MissingInputError: no label there, or not in the version that `data.label_versions` asks for.
        InputError: it has another size than the papyrus, give or take a pixel, or greys where `data.grey_labels` refuses them.
    """
    shape = (papyrus.shape[0], papyrus.shape[1])

    def files(name: str) -> list[Path]:
        return files_beside([folder, *also], sheet_id, name, version=getattr(data.label_versions, name))

    inked = files(INK)
    if not inked:
        raise missing(folder, INK)
    ink = read_picture(inked, shape, CANVAS_SLACK, data.grey_labels)
    sure, supervised, validated = papyrus & ink.known, files(SUPERVISION), files(VALIDATION)
    known = sure & read_picture(supervised, shape).values if supervised else sure
    marked, proposed = files(PROPOSED), None
    if marked:
        proposal = read_picture(marked, shape)
        sure, known, proposed = sure & proposal.known, known & proposal.known, proposal.values
    read = tuple(paths[0] for paths in (inked, supervised, validated, marked) if paths)
    if not validated:
        return SheetLabels(_marked(Label(ink.values, ~known), proposed), None, read)
    validation = read_picture(validated, shape)
    training = Label(ink.values, ~(known & ~validation.values & validation.known))
    held_out = Label(ink.values, ~(sure & validation.values))
    return SheetLabels(_marked(training, proposed), _marked(held_out, proposed).human, read)


def _marked(label: Label, proposed: NDArray[np.bool_] | None) -> Label:
    """The label with what is proposed of it; as it is where nothing is."""
    if proposed is None or not (proposed & ~label.ignore).any():
        return label
    return replace(label, proposed=proposed & ~label.ignore)


def label_contents(folder: Path, sheet_id: str, also: Sequence[Path] = ()) -> list[list[str]]:
    """For a sheet's key: what its masks and labels hold, where its folder holds more files than `fingerprint` looks into.

    Beside a zarr of many chunks a label that was drawn again at the same size would go unnoticed. Else empty.
    """
    files = (path for path in folder.rglob("*") if path.is_file())
    if len(list(islice(files, MOST_FILES + 1))) <= MOST_FILES:
        return []
    found = []
    for path in all_beside([folder, *also], sheet_id):
        parts = [path] if path.is_file() else sorted(part for part in path.rglob("*") if part.is_file())
        found.append([path.name, *(content_of(part) for part in parts)])
    return found


def surface_label(values: NDArray[np.uint8], where: str = "label") -> Label:
    """The surface competition's cube, (Z, Y, X) of 0, 1, 2, as a label.

    Raises:
        InputError: another value occurs.
    """
    found = np.unique(values)
    if not set(found.tolist()) <= {0, 1, SURFACE_IGNORE}:
        raise InputError(f"{where}: holds values {found[:6].tolist()}, expected 0 background, 1 surface, 2 unlabelled")
    return Label(values == 1, values == SURFACE_IGNORE)


def ink_band(label: Label, layers: int, centre: int, ink_depth: tuple[int, int]) -> Label:
    """A 2D ink label (Y, X) as a 3D one (layers, Y, X) for voxel-by-voxel supervision.

    An inkless column is negative at every layer. An inked one is positive from `centre + ink_depth[0]` up to, not
    including, `centre + ink_depth[1]`, and unknown elsewhere: the label says that there is ink, not at which depth. A soft
    target is itself in the band, and beyond it unknown where it counts as ink, else 0.
    """
    start, stop = np.clip((centre + ink_depth[0], centre + ink_depth[1]), 0, layers)
    if start >= stop:
        raise InputError(
            f"ink_depth {ink_depth} is outside the {layers} layers seen; the sheet's centre is layer {centre}"
        )
    in_band = np.zeros((layers, 1, 1), dtype=bool)
    in_band[start:stop] = True
    target, inked = label.target[None], label.ink[None]  # (1, Y, X)
    ignore = label.ignore[None] | (inked & ~in_band)
    return Label(target * in_band, ignore, None if label.proposed is None else label.proposed[None] & ~ignore)


def binned_label(label: Label, bin_yx: int) -> Label:
    """A (Y, X) label at working resolution: ink where half a block is ink, unknown where most of a block is.

    Where a target has greys, each block is the mean of what is known in it. A block that people alone make known is theirs, and
    what they say of it; one that is known with what is proposed is proposed. So proposals change nothing of `human`. Blocks at the
    far edges may be cut; shape is ceil(Y / bin), ceil(X / bin), as for `working_copy`.
    """
    if bin_yx == 1:
        return label
    whole = _in_blocks(label, bin_yx)
    if label.proposed is None:
        return whole
    human = _in_blocks(label.human, bin_yx)
    return _marked(Label(np.where(human.ignore, whole.target, human.target), whole.ignore), human.ignore)


def _in_blocks(label: Label, bin_yx: int) -> Label:
    """The label in blocks, whoever said it."""
    known = share_in_blocks(~label.ignore, bin_yx)
    ink = share_in_blocks(np.where(label.ignore, label.target.dtype.type(0), label.target), bin_yx)
    if is_grey(label.target, label.ignore):
        mean = np.divide(ink, known, out=np.zeros_like(ink), where=known > 0)
        return Label(np.minimum(mean, np.float32(1)), known < 0.5)
    return Label(((2 * ink >= known) & (known > 0)).astype(label.target.dtype), known < 0.5)


def share_in_blocks(mask: NDArray[Any], edge: int) -> NDArray[np.float32]:
    """Share of true pixels, or the mean of floats, in blocks of `edge` x `edge`; cut blocks over what is there.

    (Y, X) -> (ceil(Y / edge), ceil(X / edge)).
    """
    return np.asarray(block_mean(mask.astype(np.float32), (edge, edge)), dtype=np.float32)

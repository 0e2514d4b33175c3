"""Ink and surface labels as one type: what is wanted, and where nobody knows."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scroll.errors import InputError
from scroll.volumes.binning import block_mean
from scroll.volumes.masks import INK, SUPERVISION, files_beside, missing, read_beside

SURFACE_IGNORE = 2  # the surface competition's "unlabelled"


@dataclass(frozen=True)
class Label:
    """`target` and `ignore`, bool arrays of one shape, (Y, X) or (Z, Y, X); where `ignore` is true the target says nothing."""

    target: NDArray[np.bool_]
    ignore: NDArray[np.bool_]

    def __post_init__(self) -> None:
        """Refuse parts that do not belong together."""
        if self.target.shape != self.ignore.shape:
            raise InputError(
                f"label {self.target.shape} and ignore mask {self.ignore.shape} differ in shape; give both the same"
            )

    @property
    def ink_share(self) -> float:
        """Share of the known part that is positive; 0 where nothing is known."""
        known = np.count_nonzero(~self.ignore)
        return float(np.count_nonzero(self.target & ~self.ignore) / known) if known else 0.0


def label_beside(
    folder: Path, sheet_id: str, papyrus: NDArray[np.bool_], slack: int = 0, also: Sequence[Path] = ()
) -> Label:
    """What is written on a sheet: the ink of inklabels.png, known on its papyrus (Y, X) and in supervision_mask.png.

    They lie in `folder`, or in one of the folders `also` looked into.
    Both may also be called <sheet>_inklabels.png and <sheet>_supervision_mask.png; the latter need not be there.

    Raises:
        MissingInputError: no label there.
        InputError: it has another size than the papyrus, give or take `slack`.
    """
    height, width = papyrus.shape
    inked, supervised = (files_beside([folder, *also], sheet_id, name) for name in (INK, SUPERVISION))
    if not inked:
        raise missing(folder, INK)
    ink = read_beside(inked, (height, width), slack)
    known = papyrus & read_beside(supervised, (height, width), slack) if supervised else papyrus
    return Label(ink, ~known)


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
    including, `centre + ink_depth[1]`, and unknown elsewhere: the label says that there is ink, not at which depth.
    """
    start, stop = np.clip((centre + ink_depth[0], centre + ink_depth[1]), 0, layers)
    if start >= stop:
        raise InputError(
            f"ink_depth {ink_depth} is outside the {layers} layers seen; the sheet's centre is layer {centre}"
        )
    in_band = np.zeros((layers, 1, 1), dtype=bool)
    in_band[start:stop] = True
    inked = label.target[None]  # (1, Y, X)
    return Label(inked & in_band, label.ignore[None] | (inked & ~in_band))


def binned_label(label: Label, bin_yx: int) -> Label:
    """A (Y, X) label at working resolution: ink where half a block is ink, unknown where most of a block is.

    Blocks at the far edges may be cut; shape is ceil(Y / bin), ceil(X / bin), as for `working_copy`.
    """
    if bin_yx == 1:
        return label
    known = share_in_blocks(~label.ignore, bin_yx)
    ink = share_in_blocks(label.target & ~label.ignore, bin_yx)
    return Label((2 * ink >= known) & (known > 0), known < 0.5)


def share_in_blocks(mask: NDArray[np.bool_], edge: int) -> NDArray[np.float32]:
    """Share of true pixels in blocks of `edge` x `edge`, (Y, X) -> (ceil(Y / edge), ceil(X / edge)); cut blocks over what is there."""
    return np.asarray(block_mean(mask.astype(np.float32), (edge, edge)), dtype=np.float32)

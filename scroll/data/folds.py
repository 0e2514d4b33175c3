"""Which rows of which fragment (or which whole cubes) each fold trains on, and which it holds out."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from scroll.config.schema import FoldSettings, Settings
from scroll.data.kinds import KINDS, kind_of
from scroll.data.labels import Label
from scroll.data.patch_sampler import BalancedSampler
from scroll.data.shares import Shares
from scroll.errors import InputError

if TYPE_CHECKING:
    from scroll.data.cubes import Cube
    from scroll.data.sheets import Sheet

    Items = Sequence[Sheet] | Sequence[Cube]  # what a fold can hold out rows of, or all

Rows = tuple[int, int]  # first and end row at working resolution
Parts = list[tuple[Rows, list[int]]]  # rows of an item, and the folds that predict them


@dataclass(frozen=True)
class Fold:
    """One split: `held_out[id]` are the rows the fold predicts; `closed[id]` the rows no training patch may touch.

    Raises:
        InputError: a held-out row is not closed.
    """

    number: int
    held_out: dict[str, Rows]
    closed: dict[str, Rows]

    def __post_init__(self) -> None:
        """Refuse a split that leaks by its making."""
        for name, (start, stop) in self.held_out.items():
            first, end = self.closed.get(name, (0, 0))
            if start < stop and not first <= start < stop <= end:
                raise InputError(
                    f"fold {self.number}: rows {start}-{stop} of '{name}' are held out, but only {first}-{end} are closed to training; "
                    "close at least what is held out"
                )

    def rows(self, sheet: "Sheet", is_training: bool) -> NDArray[np.bool_]:
        """(Y,) bool at working resolution: rows that training patches may touch, or those that are validated on and predicted."""
        start, stop = (self.closed if is_training else self.held_out).get(sheet.id, (0, 0))
        rows = np.full(sheet.rows, is_training)
        rows[start:stop] = not is_training
        return rows

    def labels(self, sheets: "Sequence[Sheet]", is_training: bool, proposed_weight: float = 1.0) -> list[Label]:
        """The sheets' labels at working resolution as this fold's patches see them; see `sees_people_alone`."""
        if self.sees_people_alone(sheets, is_training, proposed_weight):
            return [sheet.human_label for sheet in sheets]
        return labels_alike([sheet.label for sheet in sheets])

    def sees_people_alone(self, sheets: "Sequence[Sheet]", is_training: bool, proposed_weight: float) -> bool:
        """Whether patches see nothing that is proposed: where it weighs nothing, or people said anything of what is validated on."""
        if is_training:
            return proposed_weight == 0
        held_out = [(sheet.mask & ~sheet.human_label.ignore)[self.rows(sheet, False)] for sheet in sheets]
        return any(one.any() for one in held_out)

    def sampler(
        self,
        fragments: "Sequence[Sheet]",
        patch_yx: tuple[int, int],
        foreground_share: float,
        is_training: bool,
        shares: Shares | None = None,
    ) -> BalancedSampler:
        """Places of training patches, which touch open rows only, or of validation patches, within the held-out rows.

        Raises:
            InputError: no patch of this size fits.
        """
        rows = [self.rows(fragment, is_training) for fragment in fragments]
        labels = self.labels(fragments, is_training)
        opens = [f.mask & ~one.ignore & r[:, None] for f, one, r in zip(fragments, labels, rows, strict=True)]
        inks = [label.ink & ~label.ignore for label in labels]
        scrolls = [f.scroll for f in fragments] if shares else []
        return BalancedSampler(inks, opens, patch_yx, foreground_share, rows, scrolls, shares)


def labels_alike(labels: Sequence[Label]) -> list[Label]:
    """The labels, all of which say what is proposed if one does: their patches are put together in batches."""
    if all(label.proposed is None for label in labels):
        return list(labels)
    return [replace(one, proposed=np.zeros_like(one.ignore)) if one.proposed is None else one for one in labels]


def make_folds(pieces: "Items", settings: FoldSettings) -> list[Fold]:
    """Split by whole fragments, volumes or scrolls (see `fold_numbers`), or by bands of rows with a buffer.

    Every row of every fragment is held out by exactly one fold; a cube is held out whole.

    Raises:
        InputError: fewer fragments (volumes, scrolls) than folds, bands whose buffers leave nothing to train on, or a split
            that makes no sense for this kind of data.
    """
    if settings.by == "region":
        check_way(pieces, settings)
        return [_band(pieces, number, settings) for number in range(settings.count)]
    numbers = fold_numbers(pieces, settings)
    folds = []
    for number in range(settings.count):
        rows = {piece.id: (0, piece.rows) for piece in pieces if numbers[piece.id] == number}
        folds.append(Fold(number, rows, rows))
    return folds


def held_out_parts(folds: Sequence[Fold], item_id: str) -> Parts:
    """The rows of an item, each by the fold that held it out."""
    return [(fold.held_out[item_id], [fold.number]) for fold in folds if item_id in fold.held_out]


def check_way(pieces: "Items", settings: FoldSettings) -> None:
    """Refuse a split that this kind of data has not.

    Raises:
        InputError: bands or volumes of cubes.
    """
    kind = kind_of(pieces[0].data) if pieces else KINDS["fragments"]
    if settings.by not in kind.folds_by:
        raise InputError(
            f"folds.by is {settings.by}, but data.kind is {kind.name}: set folds.by to {' or '.join(kind.folds_by)}"
        )


def fold_numbers(pieces: "Items", settings: FoldSettings) -> dict[str, int]:
    """By id, the fold that holds a whole piece out: round robin in order of the names; reads no file.

    Scrolls differ much in how many cubes they gave, so the largest is dealt first, each to the fold that has fewest cubes.

    Raises:
        InputError: fewer fragments (volumes, scrolls) than folds, or a split that this kind of data has not.
    """
    check_way(pieces, settings)
    names = {piece.id: _held_out_with(piece, settings.by) for piece in pieces}
    sizes = Counter(names.values())
    if len(sizes) < settings.count:
        other = kind_of(pieces[0].data).folds_by[1] if pieces else "region"
        otherwise = f" or set folds.by: {other}" if other != settings.by else ""
        raise InputError(
            f"folds.count is {settings.count} but there are {len(sizes)} training {settings.by}s; lower it{otherwise}"
        )
    dealt = _dealt(sizes, settings)
    return {piece: dealt[name] for piece, name in names.items()}


def _held_out_with(piece: "Cube | Sheet", by: str) -> str:
    """The name of all that is held out with a piece: its own, its volume's, or its scroll's, where that is known, else its volume's."""
    if by == "fragment":
        return piece.id
    scroll: str = getattr(piece, "scroll", "") if by == "scroll" else ""  # a cube's volume is its scroll
    return scroll or piece.volume_name


def _dealt(sizes: Counter[str], settings: FoldSettings) -> dict[str, int]:
    """Fold by name; `sizes` is how many pieces bear a name."""
    if settings.by != "scroll":
        return {name: place % settings.count for place, name in enumerate(sorted(sizes))}
    dealt: dict[str, int] = {}
    cubes = [0] * settings.count
    for name in sorted(sizes, key=lambda name: (-sizes[name], name)):
        dealt[name] = cubes.index(min(cubes))
        cubes[dealt[name]] += sizes[name]
    return dealt


def _band(fragments: "Items", number: int, settings: FoldSettings) -> Fold:
    held_out, closed = {}, {}
    for fragment in fragments:
        height = fragment.rows
        start, stop = height * number // settings.count, height * (number + 1) // settings.count
        shut = (max(0, start - settings.buffer_px), min(height, stop + settings.buffer_px))
        if shut == (0, height):
            raise InputError(
                f"{fragment.folder}: {height} rows in {settings.count} folds leave nothing to train on beside a buffer of "
                f"{settings.buffer_px} rows; lower folds.buffer_px"
            )
        held_out[fragment.id] = (start, stop)
        closed[fragment.id] = shut
    return Fold(number, held_out, closed)


def check_buffer(settings: Settings, step_vox: float | None = None) -> None:
    """Refuse bands of rows whose buffer is narrower than the largest patch, of either stage, is high.

    A prediction of a held-out row looks at rows up to a patch away; with such a buffer no training patch has seen any of them.
    `step_vox`: see `patch_rows`.

    Raises:
        InputError: naming the patch and the buffer it needs.
    """
    if settings.folds.by != "region":
        return
    rows = patch_rows(settings, step_vox)
    widest = max(rows, key=lambda name: rows[name])
    if settings.folds.buffer_px < rows[widest]:
        raise InputError(
            f"folds.buffer_px is {settings.folds.buffer_px}, but the patch of {widest} reaches over {rows[widest]} rows of working "
            f"resolution; set folds.buffer_px to at least {rows[widest]}, or make that patch smaller"
        )


def patch_rows(settings: Settings, step_vox: float | None = None) -> dict[str, int]:
    """Rows of working resolution that a patch of each member, and of stage two, reaches over.

    In scroll space a patch is a box of voxels of `data.level` that may lie along any of its axes to the sheet; it reaches over its
    longest edge, in working pixels of `data.bin_yx` voxels of level 0. `step_vox` is how many of these make a voxel of `data.level`; as
    long as no volume was opened it is taken to be that of a pyramid that halves.
    """
    data, kind = settings.data, kind_of(settings.data)
    step_vox = 2**data.level if step_vox is None else step_vox
    rows = {}
    for name, member in settings.stage1.trained.items():
        in_space = math.ceil(max(member.patch_size) * step_vox / data.bin_yx)
        rows[f"stage1.members.{name}"] = member.patch_size[1] if kind.is_flattened or not kind.has_sheets else in_space
    if kind.has_sheets:  # stage two sees no rows of others
        rows["stage2"] = settings.stage2.patch_size[0]
        if settings.end_to_end is not None:
            rows["end_to_end"] = settings.end_to_end.patch_size_yx[0]
    return rows


def check_no_leak(fold: Fold, fragment_id: str, first_row: int, end_row: int) -> None:
    """Refuse a training patch that can see a held-out pixel.

    Raises:
        InputError: rows [first_row, end_row) of `fragment_id` overlap the fold's held-out rows.
    """
    start, stop = fold.held_out.get(fragment_id, (0, 0))
    if max(first_row, start) < min(end_row, stop):
        raise InputError(
            f"fold {fold.number}: a training patch at rows {first_row}-{end_row} of fragment '{fragment_id}' sees held-out rows "
            f"{start}-{stop}; raise folds.buffer_px to at least the patch height"
        )

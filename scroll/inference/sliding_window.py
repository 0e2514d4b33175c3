"""Sliding-window prediction whose memory is bounded by one row of windows, not by the volume."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scroll.config.schema import WindowSettings
from scroll.data.patch_sampler import window_starts
from scroll.errors import InputError
from scroll.inference.fold_ensemble import placed
from scroll.inference.window_sums import WindowSums, sums_of
from scroll.runtime.overlap import PutAway, made_ahead

Corner = tuple[int, ...]
Read = Callable[[Corner], NDArray[Any]]  # corner of a window -> (C, *patch), float32 or as it is stored
Place = Callable[
    [NDArray[Any]], Tensor
]  # windows as they were read -> where the networks are, as they see them, float32
ReadTensor = Callable[[Corner], Tensor]  # the same, already where the networks are
Forward = Callable[[Tensor], Tensor]  # (B, C, *patch) -> logits (B, K, *patch)
Advance = Callable[[int], None]  # called with the number of windows just done
Write = Callable[[int, NDArray[np.float32]], None]  # first row, (K, *shape with fewer rows) probabilities


@dataclass(frozen=True)
class Sweep:
    """The windows of one prediction.

    Attributes:
        shape: the predicted space, (Z, Y, X) or (Y, X); the second axis from the end is swept row by row.
        patch: size of a window, as many axes.
        rows: first and end row that are requested; windows may look beyond them.
        is_needed: corner -> whether the window can hold anything; windows that cannot are skipped.
        empty: the probability where no window fell.
    """

    shape: tuple[int, ...]
    patch: tuple[int, ...]
    settings: WindowSettings
    rows: tuple[int, int]
    is_needed: Callable[[Corner], bool] = lambda corner: True
    empty: float = 0.0

    def starts(self) -> list[list[int]]:
        """Where windows begin along each axis."""
        overlaps = self.settings.overlap_along(len(self.shape))
        return [
            window_starts(length, patch, max(1, round(patch * (1 - overlap))))
            for length, patch, overlap in zip(self.shape, self.patch, overlaps, strict=True)
        ]

    def row_starts(self, from_row: int) -> list[int]:
        """First rows of the windows that touch rows [from_row, rows[1]); none where no row is left."""
        if from_row >= self.rows[1]:
            return []
        return [y for y in self.starts()[-2] if y + self.patch[-2] > from_row and y < self.rows[1]]


def predict(
    sweep: Sweep,
    read: Read,
    forward: Forward,
    write: Write,
    from_row: int | None = None,
    advance: Advance = lambda windows: None,
    place: Place = torch.from_numpy,
) -> None:
    """Blend overlapping windows into probabilities and hand finished rows to `write`, in order.

    Started again at `from_row` (the first row not yet written), it writes the same values as an undisturbed run: windows
    that reach into unwritten rows are simply computed again.

    The next windows are read, and the last ones blended and written, in a thread each while `forward` runs; the order of all is that of
    one thread, and so are the bits. `place` brings what was read to where the networks are, as they see it.

    Memory: two float32 arrays of one row of windows, that is of `shape` with `patch` rows, where the networks are if there is room, else
    here; three batches of windows.
    """
    first = sweep.rows[0] if from_row is None else from_row
    row_starts = sweep.row_starts(first)
    if not row_starts:
        return
    next_starts = dict(zip(row_starts, [*row_starts[1:], sweep.rows[1]], strict=True))
    weight = blend_weights(sweep.patch, sweep.settings.blend)
    space = (*sweep.shape[:-2], sweep.patch[-2], sweep.shape[-1])
    sums: WindowSums | None = None  # made when it is known how many channels there are, and where they are

    def windows_of(batch: "_Batch") -> "tuple[_Batch, Tensor | None]":
        return batch, place(np.stack([read(corner) for corner in batch.corners])) if batch.corners else None

    def add(batch: "_Batch", scores: Tensor | None) -> None:
        nonlocal sums
        if sums is not None:
            sums.begin_at(batch.row)
        if scores is not None:
            sums = sums or sums_of(scores, space, weight, batch.row)
            sums.add(batch.corners, scores)
            advance(len(batch.corners))
        start, stop = max(batch.row, first), next_starts[batch.row]
        if batch.ends_row and stop > start:
            write(start, _finished(sums, sweep, start, stop))

    batches = (batch for y in row_starts for batch in _row_of_batches(sweep, y))
    with PutAway() as behind, closing(made_ahead(windows_of, batches)) as ready:
        for batch, windows in ready:
            scores = None if windows is None else symmetric_mean(forward, windows, sweep.settings)
            behind.do(partial(add, batch, scores))


@dataclass(frozen=True)
class _Batch:
    """Some windows of the row of windows that begins at `row`; none where none of it is requested."""

    row: int
    corners: list[Corner]
    ends_row: bool


def _row_of_batches(sweep: Sweep, y: int) -> list[_Batch]:
    corners = _batches(sweep, y) or [[]]
    return [_Batch(y, some, number == len(corners)) for number, some in enumerate(corners, start=1)]


@dataclass(frozen=True)
class Prediction:
    """Everything that decides the values of a map: windows, what each sees, and the networks that look at it.

    Attributes:
        sweep: the windows; its space may be larger than the map, where that is smaller than a window.
        read: corner of a window -> (C, *patch).
        load: gives the networks as one function; called only where there are rows to predict.
        shape: of the map, as many axes as the sweep's.
        place: brings what `read` gave to where the networks are, as they see it.
        merged: what the networks say, as rows of the map: (K, *shape with fewer rows) -> as many rows, of fewer channels.
    """

    sweep: Sweep
    read: Read
    load: Callable[[], Forward]
    shape: tuple[int, ...]
    place: Place = placed
    merged: Callable[[NDArray[np.float32]], NDArray[np.float32]] = lambda rows: rows

    def count(self, from_row: int) -> int:
        """How many windows `run` will look at."""
        return count_windows(self.sweep, max(from_row, self.sweep.rows[0]))

    def run(self, write: Write, from_row: int, advance: Advance = lambda windows: None) -> None:
        """Hand the rows from `from_row` on to `write`, in order, (K, *shape with fewer rows)."""
        first = max(from_row, self.sweep.rows[0])
        if first >= self.sweep.rows[1]:
            return
        kept = (slice(None), *(slice(0, n) for n in self.shape[:-2]), slice(None), slice(0, self.shape[-1]))
        forward, merged = self.load(), self.merged
        predict(
            self.sweep, self.read, forward, lambda row, rows: write(row, merged(rows[kept])), first, advance, self.place
        )

    def rows(self, first: int, end: int) -> NDArray[np.float32]:
        """Rows [first, end) alone, (K, *shape with end - first rows); the same values as in the whole map."""
        found: list[NDArray[np.float32]] = []
        crop = replace(self, sweep=replace(self.sweep, rows=(first, end)))
        crop.run(lambda row, rows: found.append(rows), first)
        return np.concatenate(found, axis=-2)


def count_windows(sweep: Sweep, from_row: int) -> int:
    """How many windows `predict` will run."""
    return sum(len(corners) for y in sweep.row_starts(from_row) for corners in _batches(sweep, y))


def _batches(sweep: Sweep, y: int) -> list[list[Corner]]:
    starts = sweep.starts()
    starts[-2] = [y]
    corners = [corner for corner in product(*starts) if sweep.is_needed(corner)]
    size = sweep.settings.batch_size
    return [corners[i : i + size] for i in range(0, len(corners), size)]


def _finished(sums: WindowSums | None, sweep: Sweep, start: int, stop: int) -> NDArray[np.float32]:
    """Probabilities of rows [start, stop), which no later window reaches, (K, *space with these rows)."""
    if sums is None:
        return np.full((1, *sweep.shape[:-2], stop - start, sweep.shape[-1]), sweep.empty, dtype=np.float32)
    mean, seen = sums.mean(start, stop)
    if sweep.settings.average == "logits":  # 1 / (1 + exp(-mean)), in the one array
        np.negative(np.clip(mean, -30, 30, out=mean), out=mean)
        np.divide(1, np.add(1, np.exp(mean, out=mean), out=mean), out=mean)
    if seen is not None:
        np.copyto(mean, np.float32(sweep.empty), where=~seen)
    return mean


def windows_about(sweep: Sweep, corner: Corner, size: tuple[int, ...]) -> list[list[int]]:
    """Where the windows begin, along each axis, that touch the box of `size` at `corner`."""
    spans = zip(sweep.starts(), sweep.patch, corner, size, strict=True)
    return [[start for start in starts if start + p > c and start < c + n] for starts, p, c, n in spans]


@torch.inference_mode()
def predict_box(sweep: Sweep, read: ReadTensor, forward: Forward, corner: Corner, size: tuple[int, ...]) -> Tensor:
    """Probabilities (K, *size), float32, of one box of the space, where the scores come from.

    A voxel's value is made of the windows that touch it and of nothing else, taken in one order, in batches of one
    shape (a short one is filled up with its last window). The same box gives the same bits whatever was done before it;
    of boxes that overlap, exponentials may differ in the last bit.
    `is_needed`, `rows` and `empty` of the sweep play no part: every window that touches the box is looked at.

    Memory: one float32 array of the box.

    Raises:
        InputError: a score is NaN or infinite.
    """
    corners = list(product(*windows_about(sweep, corner, size)))
    return blend_box(sweep, window_scores(sweep, read, forward, corners), corner, size)


def window_scores(
    sweep: Sweep, read: ReadTensor, forward: Forward, corners: Sequence[Corner]
) -> Iterator[tuple[Corner, Tensor]]:
    """Each of the windows with its score (K, *patch), in their order, computed in batches of one shape as they are taken."""
    size = sweep.settings.batch_size
    for first in range(0, len(corners), size):
        batch = [*corners[first : first + size]]
        padded = batch + batch[-1:] * (size - len(batch))
        scores = symmetric_mean(forward, torch.stack([read(one) for one in padded]), sweep.settings)
        yield from zip(batch, scores, strict=False)


def blend_box(sweep: Sweep, scored: Iterable[tuple[Corner, Tensor]], corner: Corner, size: tuple[int, ...]) -> Tensor:
    """Probabilities (K, *size) of a box out of the scores of windows that touch it, added in their order.

    A voxel's value is right where all windows that touch it are there; elsewhere it means nothing.

    Raises:
        InputError: a score is NaN or infinite, or there is none.
    """
    sums = weight = None
    for one, score in scored:
        if sums is None or weight is None:
            sums = score.new_zeros((score.shape[0], *size))
            weight = torch.from_numpy(blend_weights(sweep.patch, sweep.settings.blend)).to(score.device)
        there, here = _overlap(one, sweep.patch, corner, size)
        sums[(slice(None), *there)] += score[(slice(None), *here)] * weight[here]
    if sums is None or not bool(torch.isfinite(sums).all()):
        raise InputError(
            f"the network gave NaN or infinity in the box at {corner}; predict with training.precision fp32 or bf16"
        )
    for axis, seen in enumerate(windows_about(sweep, corner, size)):
        sums /= _axis_weights(sweep, axis, seen, corner[axis], size[axis]).to(sums.device)
    return sums.clamp_(-30, 30).sigmoid_() if sweep.settings.average == "logits" else sums


def _overlap(
    window: Corner, patch: tuple[int, ...], corner: Corner, size: tuple[int, ...]
) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """What a window and a box share, counted in the box and in the window."""
    spans = list(zip(window, patch, corner, size, strict=True))
    shared = [(max(w, c), min(w + p, c + n)) for w, p, c, n in spans]
    there = tuple(slice(low - c, high - c) for (low, high), c in zip(shared, corner, strict=True))
    return there, tuple(slice(low - w, high - w) for (low, high), w in zip(shared, window, strict=True))


def _axis_weights(sweep: Sweep, axis: int, starts: Sequence[int], corner: int, size: int) -> Tensor:
    """Sum of the weights of all windows along one axis, broadcast to (1, *box): the whole is the product over the axes."""
    bell = _bell(sweep.patch[axis], sweep.settings.blend)
    total = np.zeros(size, dtype=np.float32)
    for start in starts:
        low, high = max(start, corner), min(start + len(bell), corner + size)
        total[low - corner : high - corner] += bell[low - start : high - start]
    shape = [1] * (len(sweep.patch) + 1)
    shape[axis + 1] = size
    return torch.from_numpy(total).reshape(shape)


def blend_weights(patch: tuple[int, ...], kind: str) -> NDArray[np.float32]:
    """Weight of each voxel of a window, > 0 everywhere, highest in the middle: a product of one bell per axis.

    Axes `hann` and `gaussian` (sigma = patch / 8) are floored at 1e-3 so that the outermost voxels, seen once, keep a weight.
    """
    weight = np.ones(patch, dtype=np.float32)
    for axis, length in enumerate(patch):
        shape = [1] * len(patch)
        shape[axis] = length
        weight = weight * _bell(length, kind).reshape(shape)
    return weight


def _bell(length: int, kind: str) -> NDArray[np.float32]:
    middle = np.arange(length) + 0.5
    if kind == "hann":
        bell = np.sin(np.pi * middle / length) ** 2
    elif kind == "gaussian":
        bell = np.exp(-0.5 * ((middle - length / 2) / (length / 8)) ** 2)
    else:
        bell = np.ones(length)
    return np.maximum(bell, 1e-3).astype(np.float32)


@torch.inference_mode()
def symmetric_mean(forward: Forward, windows: Tensor, settings: WindowSettings) -> Tensor:
    """Mean score of the windows over the test-time symmetries of the (Y, X) plane: 1, 4 or 8 views; float32.

    A window that is not square is seen through its 4 mirrors only.
    """
    is_square = windows.shape[-1] == windows.shape[-2]
    total: Tensor | None = None
    views = _views(settings.tta, is_square)
    for number, (turns, mirror) in enumerate(views):
        scores = forward(_seen(windows, turns, mirror)).float()
        if settings.average == "probabilities":
            scores = torch.sigmoid(scores)
        scores = _turned_back(scores, turns, mirror)
        if total is None:
            total = scores
        elif number == 1:  # the first may be the network's own, or the windows
            total = total + scores
        else:
            total += scores
    if total is None or len(views) == 1:
        return windows if total is None else total
    return total.div_(len(views))


def _seen(windows: Tensor, turns: int, mirror: bool) -> Tensor:
    """The windows mirrored, then turned by so many quarters: in one copy, or in none where neither is asked for."""
    if turns == 0:
        return windows.flip(-1) if mirror else windows
    if turns == 2:
        return windows.flip(-2) if mirror else windows.flip((-2, -1))
    return torch.rot90(windows.flip(-1) if mirror else windows, turns, (-2, -1))


def _turned_back(scores: Tensor, turns: int, mirror: bool) -> Tensor:
    """The inverse of `_seen`."""
    if turns in (0, 2):
        return _seen(scores, turns, mirror)
    scores = torch.rot90(scores, -turns, (-2, -1))
    return scores.flip(-1) if mirror else scores


def _views(tta: str, is_square: bool) -> list[tuple[int, bool]]:
    if tta == "none":
        return [(0, False)]
    turns = range(4) if tta == "dihedral" and is_square else (0, 2)
    return [(turn, mirror) for turn, mirror in product(turns, (False, True))]

"""Which patch is number n: a pure function of (seed, n), balanced between ink and no ink, inside the mask."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scroll.data.labels import share_in_blocks
from scroll.data.shares import Shares, Turns
from scroll.errors import InputError

BLOCK = 16  # pixels; ink and mask are summed over blocks of this edge, so that the lists stay small


def draw(seed: int, n: int, stream: int = 0) -> np.random.Generator:
    """The random numbers of patch n: the same whichever worker, and however many, asks for them."""
    return np.random.default_rng((stream, seed, n))


def window_starts(length: int, patch: int, stride: int) -> list[int]:
    """Where patches begin along one axis so that every voxel is covered and none hangs over.

    >>> window_starts(length=11, patch=4, stride=3)
    [0, 3, 6, 7]
    """
    if patch > length:
        raise InputError(f"a window of {patch} voxels does not fit along an axis of {length}; make patch_size smaller")
    if not 0 < stride <= patch:
        raise InputError(f"need 0 < stride <= patch <= length, got stride {stride}, patch {patch}, length {length}")
    last = length - patch
    return sorted({*range(0, last, stride), last})


@dataclass(frozen=True)
class Place:
    """Upper left corner of a patch in one of the sources."""

    source: int
    y: int
    x: int


class BalancedSampler:
    """Draws places: a share of them around ink, the rest around inkless papyrus.

    Args:
        inks: per source, (Y, X) bool, true where ink is known.
        opens: per source, (Y, X) bool, true where a patch may be.
        patch_yx: size of a patch in pixels.
        foreground_share: share of the places around ink, 0 to 1.
        rows: per source, (Y,) bool, the rows that a patch may touch; left out: those with anything open in them.
        scrolls: per source, which scroll it is of.
        shares: by scroll, of every batch; scrolls without an open place leave theirs to the others. None: no shares.

    Raises:
        InputError: no source has an open place for a patch of this size.
    """

    def __init__(
        self,
        inks: Sequence[NDArray[np.bool_]],
        opens: Sequence[NDArray[np.bool_]],
        patch_yx: tuple[int, int],
        foreground_share: float,
        rows: Sequence[NDArray[np.bool_]] | None = None,
        scrolls: Sequence[str] = (),
        shares: Shares | None = None,
    ) -> None:
        self.patch_yx = patch_yx
        self.foreground_share = foreground_share
        allowed = [np.asarray(o.any(axis=1)) for o in opens] if rows is None else rows
        self._first_rows = [_legal_first_rows(a, o.shape[1], patch_yx) for a, o in zip(allowed, opens, strict=True)]
        self._widths = [o.shape[1] for o in opens]
        self._blocks = _blocks(inks, opens, self._first_rows)
        if not any(len(blocks) for blocks in self._blocks):
            raise InputError(
                f"no open place for a patch of {patch_yx} (y, x) in any fragment; make patch_size smaller or the mask larger"
            )
        self._of_scroll = _by_scroll(self._blocks, scrolls, shares) if shares else {}
        self._turns = (
            Turns({name: share for name, share in shares.items() if name in self._of_scroll}) if shares else None
        )

    def place(self, rng: np.random.Generator, turn: int = 0) -> Place:
        """One place, from the caller's random numbers; of the scroll whose `turn` it is, where they have shares."""
        around_ink = bool(rng.random() < self.foreground_share)
        without, with_ink = self._blocks if self._turns is None else self._of_scroll[self._turns[turn]]
        blocks = with_ink if around_ink and len(with_ink) else without
        if not len(blocks):
            blocks = with_ink
        source, block_y, block_x = (int(v) for v in blocks[rng.integers(len(blocks))])
        height, width = self.patch_yx
        requested_y = block_y + int(rng.integers(BLOCK)) - int(rng.integers(height))
        requested_x = block_x + int(rng.integers(BLOCK)) - int(rng.integers(width))
        legal = self._first_rows[source]
        y = int(legal[np.abs(legal - requested_y).argmin()])
        return Place(source, y, min(max(requested_x, 0), self._widths[source] - width))


def _by_scroll(
    blocks: tuple[NDArray[np.int64], NDArray[np.int64]], scrolls: Sequence[str], shares: Shares
) -> dict[str, tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """The blocks without and with ink of every scroll that has any."""
    found = {}
    for name in shares:
        sources = [number for number, scroll in enumerate(scrolls) if scroll == name]
        without, with_ink = (part[np.isin(part[:, 0], sources)] for part in blocks)
        if len(without) or len(with_ink):
            found[name] = (without, with_ink)
    return found


def _legal_first_rows(allowed: NDArray[np.bool_], width: int, patch_yx: tuple[int, int]) -> NDArray[np.int64]:
    """First rows of patches that touch allowed rows only; empty if the patch does not fit."""
    height = patch_yx[0]
    if len(allowed) < height or width < patch_yx[1]:
        return np.empty(0, dtype=np.int64)
    closed_before = np.concatenate([[0], np.cumsum(~allowed)])
    return np.flatnonzero(closed_before[height:] == closed_before[:-height])


def _blocks(
    inks: Sequence[NDArray[np.bool_]], opens: Sequence[NDArray[np.bool_]], first_rows: Sequence[NDArray[np.int64]]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Blocks (source, y, x) without and with ink, at least half open, or half as open as any of a source where none is."""
    without: list[NDArray[np.int64]] = []
    with_ink: list[NDArray[np.int64]] = []
    for source, (ink, is_open) in enumerate(zip(inks, opens, strict=True)):
        if not len(first_rows[source]):
            continue
        open_share = share_in_blocks(is_open, BLOCK)
        ink_share = share_in_blocks(ink & is_open, BLOCK)
        enough = min(0.25, float(ink_share.max()) / 2)  # strokes may be thinner than a quarter of a block
        most = float(open_share.max())
        open_from = 0.5 if most >= 0.5 else max(most / 2, 1e-6)  # what is known may be thin lines
        for chosen, has_enough in ((without, ink_share == 0), (with_ink, ink_share > enough)):
            rows, cols = np.nonzero(has_enough & (open_share >= open_from))
            chosen.append(np.stack([np.full(len(rows), source), rows * BLOCK, cols * BLOCK], axis=1))
    empty = np.empty((0, 3), dtype=np.int64)
    return np.concatenate(without or [empty]), np.concatenate(with_ink or [empty])

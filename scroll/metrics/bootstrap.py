"""How far a score could have come out otherwise: a bootstrap over blocks of sheets or over cubes of scrolls, differences paired.

Pixels are no independent witnesses: a letter is found or missed as a whole, and so is what one window of a network sees.
So the sheets are cut into blocks, blocks are drawn with replacement, and F0.5 is taken of the summed counts. Candidates are
compared on the same draws: what makes a block hard for one makes it hard for the other, and drops out of their difference.

Cubes of one scroll share its winding, its damage and its scan, so scrolls are drawn first, then cubes within them. With two or
three scrolls the draws know little of what another scroll would do; the interval is given all the same, and so is how many there were.

Sources: Efron 1979 (the bootstrap), Künsch 1989 (blocks), Owen 2007, "The pigeonhole bootstrap" (seeds and blocks at once),
Davison and Hinkley 1997, "Bootstrap methods and their application", section 3.8 (two-stage resampling: scrolls and cubes).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import NormalDist
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from scroll.metrics.fbeta import fbeta
from scroll.runtime.record import Record

Bools = npt.NDArray[np.bool_]
Counts = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Verdict = Literal["better", "worse", "inside noise"]

BLOCK_UM = 4000.0
"""Edge of a block: letters of these scrolls are 2 to 3 mm high, so that a block holds one and what surrounds it, and it is wider
than the windows of the networks (3 mm in the demo). What neighbouring blocks share is what crosses their common edge."""
LEAST_BLOCKS = 16  # fewer, and the draws repeat one another; small sheets are cut into smaller blocks instead
DRAWS = 2000
OUTSIDE = 0.05  # share of the draws outside an interval
DRAWN_AT_ONCE = 2**22  # draws x blocks in memory together


class Gain(Record):
    """How much better one candidate is than another: the difference of the scores, its 95 % interval, and what that says."""

    difference: float
    low: float
    high: float
    verdict: Verdict

    @property
    def in_words(self) -> str:
        """Difference, interval and verdict."""
        return f"{self.difference:+.4f} ({self.low:+.4f} to {self.high:+.4f}), {self.verdict}"


def gain_of(difference: float, low: float, high: float) -> Gain:
    """A gain with its verdict: better, worse, or inside noise, where the interval holds 0."""
    verdict: Verdict = "better" if low > 0 else "worse" if high < 0 else "inside noise"
    return Gain(difference=difference, low=low, high=high, verdict=verdict)


class Blocks(Record):
    """What was drawn for the intervals; an edge below `requested_um` means that the sheets are small."""

    count: int
    edge_um: float
    requested_um: float = BLOCK_UM
    draws: int = DRAWS


@dataclass(frozen=True)
class Resampled:
    """Scores of M candidates, `scores` (M,), and on the same draws of `count` blocks or cubes, `draws` (M, D); all 0 to 1.

    `tail` is the share of the draws below an interval, and above it. Of a single block or cube nothing is known.
    """

    scores: Floats
    draws: Floats
    count: int
    tail: float

    def interval(self, candidate: int) -> tuple[float, float]:
        """95 % percentile interval of one candidate's score; 0 to 1 where nothing is known."""
        return self._interval(self.draws[candidate]) if self.count > 1 else (0.0, 1.0)

    def gain(self, candidate: int, over: int) -> Gain:
        """Difference between two candidates on the same draws; -1 to 1 where nothing is known."""
        low, high = self._interval(self.draws[candidate] - self.draws[over]) if self.count > 1 else (-1.0, 1.0)
        return gain_of(float(self.scores[candidate] - self.scores[over]), low, high)

    def _interval(self, values: Floats) -> tuple[float, float]:
        low, high = np.quantile(values, (self.tail, 1 - self.tail))
        return float(low), float(high)


def gain_apart(one: Resampled, over: Resampled) -> Gain:
    """Difference between the single candidates of two sets that have no block in common; -1 to 1 where nothing is known of either."""
    difference = float(one.scores[0] - over.scores[0])
    if min(one.count, over.count) < 2:
        return gain_of(difference, -1.0, 1.0)
    tail = min(one.tail, over.tail)  # of the fewer blocks
    low, high = np.quantile(one.draws[0] - over.draws[0], (tail, 1 - tail))
    return gain_of(difference, float(low), float(high))


def tail_share(blocks: int) -> float:
    """Share of the draws below a 95 % interval, and above it: 2.5 %, less of few blocks, whose draws spread too little.

    Source: Hesterberg 2015, "What teachers should know about the bootstrap", expanded percentile interval: the normal's
    tail beyond sqrt(n / (n - 1)) times Student's quantile, here by its expansion in 1 / (n - 1).

    >>> round(tail_share(16), 4), round(tail_share(10**6), 4)
    (0.0139, 0.025)
    """
    normal, free = NormalDist(), blocks - 1
    z = normal.inv_cdf(1 - OUTSIDE / 2)
    student = z + (z**3 + z) / (4 * free) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * free**2)
    return normal.cdf(-math.sqrt(blocks / free) * student)


def block_edge_um(known_um2: float) -> float:
    """Edge of the blocks for so much papyrus: `BLOCK_UM`, or less where that would leave fewer than `LEAST_BLOCKS`.

    >>> block_edge_um(known_um2=1e10), block_edge_um(known_um2=16e6)
    (4000.0, 1000.0)
    """
    return min(BLOCK_UM, math.sqrt(known_um2 / LEAST_BLOCKS))


def block_counts(decided: Any, truth: Bools, known: Bools, edge_px: float) -> Counts:
    """tp, fp, fn of each block of a sheet that holds anything known, (B, 3), from the upper left row by row.

    `decided`, `truth` and `known` are (Y, X); the first may be anything that gives rows of bool by slices. Each axis is cut
    into equal parts of at most `edge_px` pixels, so that no sliver is left at the end.
    """
    rows, columns = (_cuts(length, edge_px) for length in known.shape)
    found = []
    for first, end in pairwise(rows):
        strip = slice(first, end)
        called, ink, inside = np.asarray(decided[strip]), truth[strip], known[strip]
        sums = [
            mask.sum(axis=0) for mask in (called & ink & inside, called & ~ink & inside, ~called & ink & inside, inside)
        ]
        counts = np.add.reduceat(np.stack(sums), columns[:-1], axis=1)  # (4, blocks along x)
        found.append(counts[:3, counts[3] > 0].T)
    return np.concatenate(found).astype(np.int64) if found else np.empty((0, 3), np.int64)


def block_sums(values: Any, known: Bools, edge_px: float) -> Floats:
    """Sum of `values` (Y, X) over what is known of each block of `block_counts`' grid, and how many pixels that is, (2, B).

    Blocks in which nothing is known are in it too, as nothing: maps of one sheet have the same blocks, whatever they say.
    """
    rows, columns = (_cuts(length, edge_px) for length in known.shape)
    if len(rows) < 2 or len(columns) < 2:
        return np.empty((2, 0))
    found = []
    for first, end in pairwise(rows):
        strip = slice(first, end)
        inside = known[strip]
        sums = [np.where(inside, values[strip], 0).sum(axis=0, dtype=np.float64), inside.sum(axis=0, dtype=np.float64)]
        found.append(np.add.reduceat(np.stack(sums), columns[:-1], axis=1))
    return np.concatenate(found, axis=1)


def _cuts(length: int, edge_px: float) -> list[int]:
    parts = min(length, math.ceil(length / max(1.0, edge_px) - 1e-9))  # 1e-9: 12 mm are three blocks of 4
    return [length * part // parts for part in range(parts + 1)] if length else [0]


def resampled(counts: npt.ArrayLike, seed: int = 0, draws: int = DRAWS) -> Resampled:
    """F0.5 of M candidates on the same resamples of B blocks; `counts` is (M, B, 3) of tp, fp, fn.

    No block at all: nothing to find and nothing claimed, F0.5 is 1.
    """
    return resampled_seeds(np.asarray(counts)[None], seed, draws)


def resampled_seeds(counts: npt.ArrayLike, seed: int = 0, draws: int = DRAWS) -> Resampled:
    """Mean F0.5 over S trainings of M candidates; `counts` is (S, M, B, 3). Trainings and blocks are both drawn again.

    All trainings of a draw are looked at on the same blocks: the blocks are the same papyrus, hard or easy for each of them. Of
    few trainings the draws know little: with three, the spread between trainings comes out a fifth too small.
    """
    numbers = np.asarray(counts, np.float64)
    seeds, candidates, blocks, _ = numbers.shape
    rng = np.random.default_rng(seed)
    shares = _drawn(rng, draws, seeds) / seeds  # (D, S)
    flat = numbers.transpose(2, 0, 1, 3).reshape(blocks, seeds * candidates * 3)  # (B, S*M*3)
    piece = max(1, DRAWN_AT_ONCE // max(1, blocks))
    found = [np.empty((0, candidates))]
    for start in range(0, draws, piece):
        part = slice(start, min(start + piece, draws))
        times = _drawn(rng, part.stop - part.start, blocks)
        sums = (times @ flat).reshape(-1, seeds, candidates, 3)
        scores = np.asarray(fbeta(sums[..., 0], sums[..., 1], sums[..., 2]))  # (d, S, M)
        found.append(np.einsum("ds,dsm->dm", shares[part], scores))
    whole = numbers.sum(axis=2)
    own = np.asarray(fbeta(whole[..., 0], whole[..., 1], whole[..., 2]))
    tail = tail_share(blocks) if blocks > 1 else OUTSIDE / 2
    return Resampled(own.mean(axis=0), np.concatenate(found).T, blocks, tail)


def resampled_ratios(sums: npt.ArrayLike, pixels: npt.ArrayLike, seed: int = 0, draws: int = DRAWS) -> Resampled:
    """Means of M maps, `sums` (M, B) over `pixels` (M, B) of the same B blocks, each drawn as a whole; 0 where there is no pixel.

    Scores may be of any size here, not only 0 to 1.
    """
    above, below = np.asarray(sums, np.float64), np.asarray(pixels, np.float64)
    used = below.sum(axis=0) > 0
    above, below, blocks = above[:, used], below[:, used], int(np.count_nonzero(used))
    times = _drawn(np.random.default_rng(seed), draws, blocks)
    drawn = (times @ above.T) / np.maximum(times @ below.T, 1e-12)  # (D, M)
    own = above.sum(axis=1) / np.maximum(below.sum(axis=1), 1e-12)
    return Resampled(own, drawn.T, blocks, tail_share(blocks) if blocks > 1 else OUTSIDE / 2)


def resampled_means(scores: npt.ArrayLike, scrolls: Sequence[str], seed: int = 0, draws: int = DRAWS) -> Resampled:
    """Resample the scores (M, N) of M candidates on N cubes, cut from `scrolls` (N names).

    Each draw takes as many scrolls as there are, and of each as many cubes as it gave; its mean is over those cubes.
    """
    numbers = np.asarray(scores, np.float64)
    rng = np.random.default_rng(seed)
    members = [np.flatnonzero(np.array(scrolls) == name) for name in dict.fromkeys(scrolls)]
    found = np.empty((len(numbers), draws))
    for draw in range(draws):
        picked = [members[i] for i in rng.integers(len(members), size=len(members))]
        cubes = np.concatenate([rng.choice(one, size=one.size) for one in picked])
        found[:, draw] = numbers[:, cubes].mean(axis=1)
    count = numbers.shape[1]
    return Resampled(numbers.mean(axis=1), found, count, tail_share(count) if count > 2 else OUTSIDE / 2)


def _drawn(rng: np.random.Generator, draws: int, things: int) -> Floats:
    """How often each of `things` comes up when as many are drawn with replacement, (draws, things)."""
    if not things:
        return np.zeros((draws, 0))
    picked = rng.integers(things, size=(draws, things)) + things * np.arange(draws)[:, None]
    return np.bincount(picked.ravel(), minlength=draws * things).reshape(draws, things).astype(np.float64)


def blocks_of(edge_um: float, count: int) -> Blocks:
    """What score.json and fit.json say of so many blocks."""
    return Blocks(count=count, edge_um=round(edge_um, 1), requested_um=BLOCK_UM, draws=DRAWS)


def known_um2(known: Sequence[Bools], pixel_um: Sequence[float]) -> float:
    """Area of the known papyrus of several sheets, (Y, X) bool each, in square micrometres."""
    return float(sum(np.count_nonzero(one) * um**2 for one, um in zip(known, pixel_um, strict=True)))

"""A stack whose texture keeps its wavelengths, directions and grey values, but holds no letters: phases drawn at random.

Tile by tile every layer is taken to frequencies, its amplitudes kept, and the same random phase added in all layers, so that
what runs through several layers still does. What is scrambled is how far a voxel is from a smooth level, in units of a smooth
local spread; both stay in place. So a crack or a rough spot is not smeared over its whole tile as blots, and a tile's edges, which
are faded out, are none. A shape shorter than a tile is spread over the tile; brightness wider than a quarter of a tile stays.

Sources: Theiler et al. 1992, "Testing for nonlinearity in time series: the method of surrogate data" (amplitude-adjusted);
for the local spread: divisive normalisation, as in Lyu and Simoncelli 2009, "Nonlinear extraction of independent components of
natural images using radial Gaussianization".
"""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from scroll.errors import InputError
from scroll.volumes.changed import Changed
from scroll.volumes.lru import LruCache
from scroll.volumes.volume import Volume

FloatArray = NDArray[np.float32]
LEAST_EDGE_PX = 8
LEAST_KEPT = 0.25
SHARED = 4  # a quarter of a tile is shared with its neighbour
LEVEL_SHARE, SPREAD_SHARE = 0.12, 0.12
"""Of a tile's edge: Gaussian widths of the smooth level and of the smooth spread. Of a tile of 4 mm half a millimetre, wider than strokes
(0.3 to 0.5 mm). Of a letter that was missed a faint spot may be left, a third of its contrast: it was missed at all of it. Wider ones smear
more of what is coarse over the tile, and a small network finds stronger components there than on bare papyrus."""


def random_phases(edge_px: int, rng: np.random.Generator) -> NDArray[np.complex64]:
    """Factors of size 1 for the half spectrum (edge, edge // 2 + 1) of a real tile; mirrored frequencies suit each other.

    They are the phases of white noise, which is real, and so is whatever they multiply. That of the mean is 1.
    """
    spectrum = np.fft.rfft2(rng.standard_normal((edge_px, edge_px)))
    spectrum[0, 0] = 1
    return (spectrum / np.abs(spectrum)).astype(np.complex64)


def with_phases(tile: FloatArray, phases: NDArray[np.complex64]) -> FloatArray:
    """(Z, E, E) with the same phase factors applied to every layer; each layer's amplitude spectrum is what it was."""
    spectrum = np.fft.rfft2(tile) * phases
    return np.asarray(np.fft.irfft2(spectrum, s=tile.shape[1:]), dtype=np.float32)


def with_values_of(shape: FloatArray, values: FloatArray) -> FloatArray:
    """Each row of `shape` (Z, N) in its own order of size, made of that row's `values` (Z, M): the histogram is theirs.

    With as many values as places it is exactly theirs; else quantiles are read between them.
    """
    ranks = np.argsort(np.argsort(shape, axis=1, kind="stable"), axis=1, kind="stable")
    ordered = np.sort(values, axis=1)
    if ordered.shape[1] != shape.shape[1]:
        place = np.linspace(0, ordered.shape[1] - 1, shape.shape[1])
        ordered = np.stack([np.interp(place, np.arange(len(row)), row) for row in ordered]).astype(np.float32)
    return np.take_along_axis(ordered, ranks, axis=1)


def scrambled_tile(
    tile: FloatArray, inside: NDArray[np.bool_], kept: NDArray[np.bool_], rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Smooth level of each layer and scrambled differences from it, (Z, E, E) both, 0 outside the papyrus `inside` (E, E).

    Texture, level and grey values are those where `kept` (E, E), within the papyrus, is true; the rest counts as the level while
    phases are changed. Where less than a quarter of the papyrus is kept that says too little, and all of it is taken.
    """
    changed = np.zeros(tile.shape, np.float32)
    if not inside.any():
        return np.zeros(tile.shape, np.float32), changed
    source = inside & kept
    if source.sum() < LEAST_KEPT * inside.sum():
        source = inside
    edge_px = tile.shape[1]
    level = _smooth(tile, source, LEVEL_SHARE * edge_px)
    detail = np.where(source, tile - level, np.float32(0))
    spread = np.sqrt(_smooth(detail**2, source, SPREAD_SHARE * edge_px))
    detail /= np.maximum(spread, 1e-6 + 1e-3 * spread.max(axis=(1, 2), keepdims=True))
    turned = with_phases(detail * _faded(edge_px), random_phases(edge_px, rng))
    changed[:, inside] = with_values_of(turned[:, inside], detail[:, source]) * spread[:, inside]
    return np.where(inside, level, np.float32(0)), changed


def _smooth(values: FloatArray, source: NDArray[np.bool_], sigma_px: float) -> FloatArray:
    """Mean of each layer of (Z, E, E) about each pixel, Gaussian, of where `source` (E, E) is true alone."""
    weight = gaussian_filter(source.astype(np.float32), sigma_px, mode="constant")
    picked = np.where(source, values, np.float32(0))
    summed = gaussian_filter(picked, (0, sigma_px, sigma_px), mode="constant")
    near = weight > 1e-4  # further away than that nothing is known but the mean
    mean = picked.sum(axis=(1, 2), keepdims=True) / source.sum()
    return np.where(near, summed / np.maximum(weight, 1e-4), mean).astype(np.float32)


def _faded(edge_px: int) -> FloatArray:
    """(E, E): 1 in the middle, faded out within a quarter of the edge, so that opposite edges meet."""
    rise = np.sin(np.pi / 2 * (np.arange(edge_px // SHARED) + 0.5) / (edge_px // SHARED))
    line = np.concatenate([rise, np.ones(edge_px - 2 * len(rise)), rise[::-1]]).astype(np.float32)
    return line[:, None] * line


def _bytes(tile: tuple[FloatArray, FloatArray]) -> int:
    return tile[0].nbytes + tile[1].nbytes


@dataclass(frozen=True, eq=False)
class PhaseScrambled(Changed):
    """A lazy (Z, Y, X) array: `volume` scrambled within the papyrus `mask` (Y, X), as it is outside of it.

    Texture is taken from where `kept` (Y, X) is true.
    Tiles of `edge_px` share a quarter with their neighbours, where they are blended so that the variance stays. A voxel
    depends on seed and place alone, not on the window it is read in. Memory: two rows of tiles, 8 bytes a voxel.
    """

    mask: NDArray[np.bool_]
    edge_px: int
    seed: int
    kept: NDArray[np.bool_]
    tiles: LruCache[tuple[FloatArray, FloatArray]] = field(init=False)

    def __post_init__(self) -> None:
        """Make room for two rows of tiles.

        Raises:
            InputError: tiles too small, or a mask of another size.
        """
        depth, height, width = self.volume.shape
        if self.edge_px < LEAST_EDGE_PX or not self.mask.shape == self.kept.shape == (height, width):
            raise InputError(
                f"{self.volume.path}: tiles of {self.edge_px} pixels and a mask of {self.mask.shape}; expected {LEAST_EDGE_PX} "
                f"pixels or more and {(height, width)}"
            )
        room = 2 * (width // self.step + 2) * 8 * depth * self.edge_px**2
        object.__setattr__(self, "tiles", LruCache(room, _bytes))

    @property
    def shared(self) -> int:
        """Pixels that neighbouring tiles share."""
        return self.edge_px // SHARED

    @property
    def step(self) -> int:
        """From a tile to the next: tile i covers [i * step - shared, (i + 1) * step)."""
        return self.edge_px - self.shared

    def __getitem__(self, box: tuple[slice, ...]) -> NDArray[Any]:
        """The block of three slices with positive steps inside the shape."""
        z, y, x = (slice(*part.indices(length)) for part, length in zip(box, self.shape, strict=True))
        inside = self.mask[y.start : y.stop, x.start : x.stop]
        kept = np.asarray(self.volume[z, y.start : y.stop, x.start : x.stop])
        if inside.any():
            scrambled = self._blended(z, y, x)
            if self.dtype.kind in "ui":
                bounds = np.iinfo(self.dtype)
                scrambled = np.clip(np.rint(scrambled), bounds.min, bounds.max)
            kept = np.where(inside, scrambled, kept).astype(self.dtype)
        return kept[:, :: y.step, :: x.step]

    def _blended(self, z: slice, y: slice, x: slice) -> FloatArray:
        """Levels blended by the squares of the weights, which add up to 1; differences by the weights: so their variance stays."""
        layers = len(range(z.start, z.stop, z.step))
        total = np.zeros((layers, y.stop - y.start, x.stop - x.start), np.float32)
        for row in self._touching(y):
            for column in self._touching(x):
                place = [self._cut(number, part) for number, part in ((row, y), (column, x))]
                (own_y, out_y, weight_y), (own_x, out_x, weight_x) = place
                level, changed = self.tiles.get((row, column), lambda at=(row, column): self._tile(*at))  # type: ignore[misc]
                weight = weight_y[:, None] * weight_x
                total[:, out_y, out_x] += weight * changed[z, own_y, own_x] + weight**2 * level[z, own_y, own_x]
        return total

    def _touching(self, part: slice) -> range:
        return range(part.start // self.step, (part.stop - 1 + self.shared) // self.step + 1)

    def _cut(self, number: int, part: slice) -> tuple[slice, slice, FloatArray]:
        """Of tile `number` along an axis: which of its pixels lie in `part`, where there, and their weights."""
        first = number * self.step - self.shared
        low, high = max(first, part.start), min(first + self.edge_px, part.stop)
        own = slice(low - first, high - first)
        return own, slice(low - part.start, high - part.start), self._weights()[own]

    def _weights(self) -> FloatArray:
        """(E,): a sine up and a cosine down, whose squares add up to 1 where tiles are shared."""
        rise = np.sin(np.pi / 2 * (np.arange(self.shared) + 0.5) / self.shared)
        flat = np.ones(self.edge_px - 2 * self.shared)
        return np.concatenate([rise, flat, rise[::-1]]).astype(np.float32)

    def _tile(self, row: int, column: int) -> tuple[FloatArray, FloatArray]:
        """A tile; what is beyond the volume is no papyrus."""
        depth, *sizes = self.shape
        spans = []
        for number, length in zip((row, column), sizes, strict=True):
            first = number * self.step - self.shared
            spans.append((first, max(first, 0), min(first + self.edge_px, length)))
        (top, y0, y1), (left, x0, x1) = spans
        tile = np.zeros((depth, self.edge_px, self.edge_px), np.float32)
        inside, kept = (np.zeros((self.edge_px, self.edge_px), bool) for _ in range(2))
        own = (slice(y0 - top, y1 - top), slice(x0 - left, x1 - left))
        inside[own], kept[own] = self.mask[y0:y1, x0:x1], self.kept[y0:y1, x0:x1]
        if inside.any():
            tile[(slice(None), *own)] = self.volume[:, y0:y1, x0:x1]
        return scrambled_tile(tile, inside, kept, np.random.default_rng([self.seed, row, column]))


def phase_scrambled(
    volume: Volume, mask: NDArray[np.bool_], edge_px: int, seed: int, kept: NDArray[np.bool_] | None = None
) -> Volume:
    """The same volume with random phases within the papyrus, of the texture of all of it or of where `kept` (Y, X) is true."""
    return replace(volume, array=PhaseScrambled(volume, mask, edge_px, seed, mask if kept is None else kept))

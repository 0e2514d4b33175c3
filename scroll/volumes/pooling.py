"""Volumes of larger voxels, made as they are read: each voxel is the mean of a block of those that are stored."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scroll.errors import InputError, MissingInputError
from scroll.volumes.binning import block_mean
from scroll.volumes.place import Place, words
from scroll.volumes.volume import Volume

Edges = tuple[int, int, int]
MOST_LEVELS = 16
RAW_MB = 64  # of stored chunks that are kept in memory where what is made of them is kept too


@dataclass(frozen=True, eq=False)
class Pooled:
    """A lazy (Z, Y, X) array of means over blocks of `factors` voxels of `volume`, of the same type.

    Block 0 begins at layer `first_layer`. At the far edges the mean is over the voxels that are there; where none is, the
    last one is repeated. Whole types round to nearest, halves to even where `is_half_to_even`, else upwards.
    """

    volume: Volume
    factors: Edges
    shape: Edges
    first_layer: int = 0
    is_half_to_even: bool = True

    @property
    def dtype(self) -> np.dtype[Any]:
        """That of the volume."""
        return self.volume.dtype

    @property
    def chunks(self) -> Edges | None:
        """Blocks that come from one stored chunk, about; None where nothing is stored in chunks."""
        stored = getattr(self.volume.array, "chunks", None)
        if stored is None:
            return None
        z, y, x = (min(-(-c // f), n) for c, f, n in zip(stored, self.factors, self.shape, strict=True))
        return z, y, x

    def __getitem__(self, box: tuple[slice, ...]) -> NDArray[Any]:
        """The block of three slices with positive steps inside the shape."""
        spans = [range(*part.indices(n)) for part, n in zip(box, self.shape, strict=True)]
        if not all(spans):
            return np.empty([len(span) for span in spans], self.dtype)
        firsts = (self.first_layer, 0, 0)
        ends = [(n - first) for n, first in zip(self.volume.shape, firsts, strict=True)]
        low = [min(span[0], (end - 1) // f) for span, end, f in zip(spans, ends, self.factors, strict=True)]
        read = tuple(
            slice(first + a * f, first + min((span[-1] + 1) * f, end))
            for first, a, span, f, end in zip(firsts, low, spans, self.factors, ends, strict=True)
        )
        means = block_mean(self.volume[read], self.factors, self.is_half_to_even)
        places = (np.minimum(np.asarray(span) - a, n - 1) for span, a, n in zip(spans, low, means.shape, strict=True))
        return np.asarray(means[np.ix_(*places)])

    def __reduce__(self) -> Any:
        return Pooled, (self.volume, self.factors, self.shape, self.first_layer, self.is_half_to_even)


def pooled(volume: Volume, pool: int, finest: Volume) -> Volume:
    """A layer stack as if its voxels were `pool` times those of its `finest` level along z, y and x; `volume` is one of its levels.

    Layers are counted from the middle, and there is one in the middle: of 109 layers pooled by 4 there are 27, the first of
    them the mean of layers 0 to 3. In the plane there are as many pixels as the finest level has, over `pool`, rounded up.
    Means are exact and rounded half to even, as those of 32-bit floats are.

    Raises:
        InputError: the level's voxels do not go into so large ones, or too few layers.
    """
    factors = _factors(volume.place, finest.place, pool)
    if factors is None:
        raise InputError(
            f"{volume.path}: a voxel is {words(volume.place.step)} (z, y, x) of level 0, which do not go into data.pool {pool}; expected a "
            "level whose steps divide it: set data.pool_from to a finer one"
        )
    layers = volume.shape[0] // factors[0]
    layers -= layers % 2 == 0
    if layers < 1:
        raise InputError(f"{volume.path}: {volume.shape[0]} layers do not make one of data.pool {pool}; lower it")
    shape = (layers, -(-finest.shape[1] // pool), -(-finest.shape[2] // pool))
    array = Pooled(volume, factors, shape, (volume.shape[0] - layers * factors[0]) // 2)
    return replace(
        volume, array=array, voxel_um=None if finest.voxel_um is None else finest.voxel_um * pool, place=Place()
    )


def _factors(place: Place, finest: Place, pool: int) -> Edges | None:
    """Voxels of a level that make one of `pool` voxels of the finest, along z, y, x; None where that is no whole number."""
    steps = [step / own for step, own in zip(place.step, finest.step, strict=True)]
    if any(not step.is_integer() or step < 1 or pool % int(step) for step in steps):
        return None
    z, y, x = (pool // int(step) for step in steps)
    return z, y, x


def coarsest(open_at: Callable[[int], Volume], pool: int) -> Volume:
    """The coarsest level whose voxels go into those of `pool` voxels of level 0; `open_at` opens a level.

    Raises:
        InputError: a level cannot be read.
    """
    found = finest = open_at(0)
    for level in range(1, MOST_LEVELS if pool > 1 else 0):
        try:
            volume = open_at(level)
        except MissingInputError:  # the one before was the last
            break
        if _factors(volume.place, finest.place, pool) is None:
            break
        found = volume
    return found


def window_of(volume: Volume, layers: tuple[int, int], bin_yx: int) -> Volume:
    """Layers [start, stop) of a volume, binned by `bin_yx` in y and x, each block as it is asked for; see `working_copy`."""
    _, height, width = volume.shape
    shape = (layers[1] - layers[0], -(-height // bin_yx), -(-width // bin_yx))
    return replace(volume, array=Pooled(volume, (1, bin_yx, bin_yx), shape, layers[0], is_half_to_even=False))

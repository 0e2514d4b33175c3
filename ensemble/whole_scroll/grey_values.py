"""Grey values of a volume as each member sees them: figures measured once for the whole of it, and blocks scaled by them."""

from collections.abc import Callable, Container, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from scroll.config.schema import Settings
from scroll.data.boxes import box_inside, filled_up
from scroll.data.intensity import AsStored, GreyScale, Intensity, grey_scale_of
from scroll.data.members.others import of_others
from scroll.data.segments import SAMPLED_EDGE, SAMPLED_PLACES, grey_sample_about
from scroll.errors import InputError
from scroll.geometry import Size
from scroll.inference.grey_values import read_and_sent, sent
from scroll.shards.grid import Shard
from scroll.surfaces.surface import Surface
from scroll.volumes.volume import Volume
from stage1_3d.external.view import View


class Figures(NamedTuple):
    """Of one volume: the grey scale of the members trained here, and the scaling of each of the others, and of those with their own."""

    grey_scale: GreyScale
    seen_as: Mapping[str, Intensity]


def measured(
    settings: Settings, names: Container[str], sample: Callable[[], NDArray[Any]], given: GreyScale | None
) -> Figures:
    """The figures of a volume by a sample of its grey values, any shape; `given`: the grey scale, if it need not be measured.

    The sample is taken only where something is to be measured.
    """
    sampled = cache(sample)
    grey_scale = grey_scale_of(sampled()) if given is None else given
    asked = {
        name: Intensity.of_settings(one.intensity)
        for name, one in settings.stage1.members.items()
        if one.intensity is not None
    }
    asked |= {name: other.in_windows for name, other in of_others(settings).items()}
    seen_as = {}
    for name, how in asked.items():
        if name in names and how.is_measured:
            seen_as[name] = Intensity.by_z_score(grey_scale) if how.how == "ours" else how.of_item(sampled())
        elif name in names:
            seen_as[name] = how
    return Figures(grey_scale, seen_as)


def sample_about(volume: Volume, surfaces: Sequence[Surface]) -> NDArray[Any]:
    """(n,) grey values about surfaces, a fixed sample without what is no number, which is reported where it is predicted.

    Raises:
        InputError: no surface has a valid point, or nothing about them is a number.
    """
    return _finite(volume, grey_sample_about(volume, surfaces, volume.place))


def sample_in(volume: Volume, shards: Sequence[Shard]) -> NDArray[Any]:
    """(n,) grey values of cubes in the shards that are not all of one value: a fixed sample. Outside the scan is nothing to see.

    Raises:
        InputError: everything is empty.
    """
    rng, samples = np.random.default_rng(0), []
    for _ in range(10 * SAMPLED_PLACES):
        shard = shards[int(rng.integers(len(shards)))]
        place = np.array(shard.corner) + rng.integers(0, shard.size, 3)
        corner = box_inside(volume.shape, place.astype(float), (SAMPLED_EDGE,) * 3)
        cube = volume[tuple(slice(c, c + SAMPLED_EDGE) for c in corner)]
        if cube.min() < cube.max():
            samples.append(cube.ravel())
        if len(samples) == SAMPLED_PLACES:
            break
    if not samples:
        raise InputError(f"{volume.path}: one grey value wherever it was looked at; expected a scan")
    return _finite(volume, np.concatenate(samples))


def _finite(volume: Volume, values: NDArray[Any]) -> NDArray[Any]:
    found = values[np.isfinite(values)]
    if not found.size:
        raise InputError(
            f"{volume.path}: NaN or infinity wherever it was looked at; expected a scan: repair the volume"
        )
    return found


class Block:
    """Grey values about a box of a volume; what the last member saw is kept, for members of one scaling follow each other.

    Attributes:
        first: its first voxel, z, y, x.
        raw: (Z, Y, X) as they are stored, as far as the volume reaches.
        size: of the box, which may reach beyond the volume, where its edge is repeated.
    """

    def __init__(self, first: Size, raw: NDArray[Any], size: Size, where: str) -> None:
        self.first, self.raw, self.size, self._where = first, raw, size, where
        self._last: tuple[Intensity, Tensor] | None = None

    def window(self, view: View, how: Intensity, corner: Sequence[int]) -> Tensor:
        """A window at a voxel of the volume as a member sees it, (*window) float32, where the networks are.

        Raises:
            UnreadableError: NaN or infinity in the block, or in the window if it is scaled or resampled alone; names the place.
        """
        place = tuple(slice(c - f, c - f + n) for c, f, n in zip(corner, self.first, view.size, strict=True))
        if view.resampling is None and how.of == "item":
            return self._seen_as(how)[place]

        def there(size: Size, seen_as: AsStored) -> NDArray[Any]:
            return filled_up(seen_as.scaled(self.raw[place], self._where), size)

        return sent(view.read(there, how), how)

    def _seen_as(self, how: Intensity) -> Tensor:
        if self._last is None or self._last[0] != how:
            self._last = None  # before the next is made: two would not fit where one does
            self._last = how, read_and_sent(filled_up(self.raw, self.size), how, self._where)
        return self._last[1]

"""Stacks rearranged as they are read: layers in a random order, which leaves only what is in the plane; rows and columns exchanged."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scroll.errors import InputError
from scroll.volumes.changed import Changed
from scroll.volumes.volume import Volume


def layer_order(layers: int, seed: int) -> tuple[int, ...]:
    """A permutation of the layers, the same for the same seed, and never the one that changes nothing.

    >>> sorted(layer_order(5, seed=1))
    [0, 1, 2, 3, 4]

    Raises:
        InputError: fewer than two layers, which have but one order.
    """
    if layers < 2:
        raise InputError(f"{layers} layer has no other order; expected a data.depth of two layers or more")
    rng = np.random.default_rng([seed, layers])
    order = rng.permutation(layers)
    while (order == np.arange(layers)).all():
        order = rng.permutation(layers)
    return tuple(int(z) for z in order)


@dataclass(frozen=True, eq=False)
class ShuffledLayers(Changed):
    """A lazy (Z, Y, X) array whose layer z is layer `order[z]` of `volume`."""

    order: tuple[int, ...]

    def __getitem__(self, box: tuple[slice, ...]) -> NDArray[Any]:
        """The block of three slices with positive steps inside the shape; reads the layers between the ones it needs too."""
        picked = np.array(self.order)[box[0]]
        first = int(picked.min())
        return np.asarray(self.volume[(slice(first, int(picked.max()) + 1), *box[1:])])[picked - first]


def shuffled_layers(volume: Volume, seed: int) -> Volume:
    """The same volume with its layers in the order `layer_order` gives; its path and voxel size stay."""
    return replace(volume, array=ShuffledLayers(volume, layer_order(volume.shape[0], seed)))


@dataclass(frozen=True, eq=False)
class ExchangedAxes(Changed):
    """A lazy (Z, X, Y) array out of a (Z, Y, X) volume."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """That of the volume, rows and columns exchanged."""
        depth, height, width = self.volume.shape
        return depth, width, height

    def __getitem__(self, box: tuple[slice, ...]) -> NDArray[Any]:
        """The block of three slices with positive steps inside the shape."""
        z, row, column = box
        return np.asarray(self.volume[z, column, row]).transpose(0, 2, 1)


def exchanged_axes(volume: Volume) -> Volume:
    """The same volume, rows as columns; together with reversed layers that is a sheet turned over and then by a quarter."""
    return replace(volume, array=ExchangedAxes(volume))

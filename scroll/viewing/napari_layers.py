"""Layers as napari takes them: the keyword arguments of `add_image` and `add_labels`; knows nothing of napari itself."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from scroll.viewing.layers import ViewedLayer

ORANGE = ((0.90, 0.62, 0.0, 0.0), (0.90, 0.62, 0.0, 0.8))  # from nothing to a probability of 1, RGBA


class Readable(Protocol):
    """What is read piece by piece by a basic index."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Voxels along each axis."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """The numpy type of a voxel."""

    def __getitem__(self, key: Any) -> Any:
        """The voxels of the index."""


class Lazy:
    """A volume, or a plane of one, as napari wants it: with a number of axes, and read piece by piece."""

    def __init__(self, volume: Readable, is_labels: bool) -> None:
        self._volume = volume
        self.shape, self.ndim, self.size = volume.shape, len(volume.shape), math.prod(volume.shape)
        self.dtype = np.dtype(np.int32) if is_labels and volume.dtype.kind not in "ui" else _drawn(volume.dtype)

    def __getitem__(self, key: Any) -> np.ndarray:
        """The voxels of a basic index."""
        return np.asarray(self._volume[key], dtype=self.dtype)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """All of it."""
        return np.asarray(self[...], dtype=dtype)


def _drawn(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return np.dtype(np.float32) if dtype == np.float16 else dtype  # graphics cards take no float16


@dataclass(frozen=True)
class Layer:
    """One call: `viewer.add_image(**options)`, or add_labels where `is_labels`."""

    is_labels: bool
    options: dict[str, object]


def napari_layers(layers: Sequence[ViewedLayer]) -> list[Layer]:
    """The calls that show these volumes over each other, CT below, in micrometres."""
    return [_layer(one) for one in sorted(layers, key=lambda one: ("image", "probability", "labels").index(one.kind))]


def _layer(one: ViewedLayer) -> Layer:
    is_labels = one.kind == "labels"
    levels = [Lazy(level, is_labels) for level in one.levels]
    options: dict[str, object] = {
        "data": levels if len(levels) > 1 else levels[0],
        "multiscale": len(levels) > 1,
        "name": one.name,
        "scale": one.steps_um[0],
        "units": ("um", "um", "um"),
        "translate": tuple(
            at + step / 2 for at, step in zip(one.first_um, one.steps_um[0], strict=True)
        ),  # of the first voxel's centre
        "opacity": 0.5 if is_labels else 1.0,
    }
    if is_labels:
        return Layer(True, options)
    over = {
        "colormap": {"name": "probability", "colors": ORANGE},
        "blending": "translucent_no_depth",
    }  # "additive" drowns in bright CT
    colours = over if one.kind == "probability" else {"colormap": "gray"}
    return Layer(False, options | colours | {"contrast_limits": one.grey_range()})

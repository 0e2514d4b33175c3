"""A label kept as a Zarr: a picture (Y, X), or one layer of a canvas (Z, Y, X) that is empty elsewhere."""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scroll.errors import InputError
from scroll.runtime.reading import reads
from scroll.volumes.both_formats import check_formats_agree
from scroll.volumes.chunk_files import chunks_there
from scroll.volumes.flat_picture import check_size
from scroll.volumes.ome_zarr import open_array

MOST_LAYERS = 4096
Box = tuple[slice, ...]


@reads("a whole zarr with a label in it", "copy it again")
def read_label_zarr(path: Path, shape_yx: tuple[int, int] | None = None, slack: int = 0) -> NDArray[Any]:
    """The label as (Y, X) of any unsigned type; bool reads as 0 and 255. Level 0 of a pyramid; nothing stored reads as 0.

    Of a canvas of many layers, such as 65 with the label in layer 32, it is the layer that holds anything. In memory are
    the picture and one chunk; chunks that are not stored are not looked for.
    `shape_yx`: the size it must have, give or take `slack` pixels along either axis.

    Raises:
        MissingInputError: no such zarr.
        InputError: of another size, no unsigned numbers, several layers that differ, or damaged.
    """
    array = open_array(path)
    check_formats_agree(path, array)
    canvas = _Canvas(path, array)
    height, width = canvas.shape_yx
    check_size(path, (height, width), shape_yx, slack)
    picture = canvas.picture()
    return picture.astype(np.uint8) * np.uint8(255) if picture.dtype == bool else picture


@dataclass
class _Canvas:
    """The array of a label, its axes before y and x taken together as layers."""

    path: Path
    array: Any
    held: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        shape, dtype = tuple(self.array.shape), self.array.dtype
        layers = math.prod(shape[:-2])
        if len(shape) < 2 or dtype.kind not in "ub" or max(shape[:-2], default=1) != layers or layers > MOST_LAYERS:
            raise InputError(
                f"{self.path}: holds {dtype} of shape {shape}; expected a label as 8-bit grey, (Y, X) or in one layer of (Z, Y, X): "
                "write it again"
            )
        if self.array.fill_value:
            raise InputError(
                f"{self.path}: what is not stored in it reads as {self.array.fill_value}; expected 0: write it again with fill_value 0"
            )

    @property
    def shape_yx(self) -> tuple[int, int]:
        return int(self.array.shape[-2]), int(self.array.shape[-1])

    def picture(self) -> NDArray[Any]:
        """The layer that holds anything, (Y, X)."""
        picture: NDArray[Any] = np.zeros(self.shape_yx, self.array.dtype)
        for box in self._boxes():
            values = np.asarray(self.array[box])
            layers = values.reshape(-1, *values.shape[-2:])
            first = max((part.start for part in box[:-2]), default=0)
            for number, layer in enumerate(layers, start=first):
                if not layer.any():
                    continue
                if number not in self.held:
                    self.held.append(number)
                if number == self.held[0]:
                    picture[box[-2:]] = layer
        self._check_others(picture)
        return picture

    def _boxes(self) -> Iterator[Box]:
        """What is stored, a chunk at a time, also of a shard."""
        outer, inner = self.array.shards or self.array.chunks, self.array.chunks
        for index in chunks_there(self.path, self.array):
            spans = []
            for at, edge, step, length in zip(index, outer, inner, self.array.shape, strict=True):
                end = min((at + 1) * edge, length)
                spans.append([slice(start, min(start + step, end)) for start in range(at * edge, end, step)])
            yield from itertools.product(*spans)

    def _check_others(self, picture: NDArray[Any]) -> None:
        """Refuse layers that say something else than the one that is taken."""
        axis = next((n for n, length in enumerate(self.array.shape[:-2]) if length > 1), 0)
        rows = self.array.chunks[-2]
        differing = []
        for layer in self.held[1:]:
            for start in range(0, len(picture), rows):
                at = [slice(layer, layer + 1) if n == axis else slice(None) for n in range(self.array.ndim - 2)]
                strip = np.asarray(self.array[(*at, slice(start, start + rows), slice(None))])
                if (strip.reshape(strip.shape[-2:]) != picture[start : start + rows]).any():
                    differing.append(layer)
                    break
        if differing:
            names = ", ".join(map(str, sorted([self.held[0], *differing])))
            raise InputError(
                f"{self.path}: layers {names} hold labels that differ; expected one layer that holds anything: empty the others"
            )

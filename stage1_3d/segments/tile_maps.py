"""A flattened stack and its coverage on disk, written tile by tile in any order; a killed run goes on where it stopped."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scroll.inference.prediction_store import CHUNK, begin_map, is_finished
from scroll.runtime import manifest
from scroll.runtime.files import remove
from scroll.volumes.ome_zarr import create_ome_zarr, open_array

MAPS = ("flat.zarr", "coverage.zarr")
Tile = tuple[int, int]  # its row and column among the tiles


class TileMaps:
    """<folder>/flat.zarr (C, N, H, W) and coverage.zarr (C, H, W), float16; under these names only when all is there.

    Started again with the same `key` it goes on; with another it begins again. For one process at a time; what is never
    written is 0. An empty file notes each tile that is written; these go with the maps, and never outlive them.
    """

    def __init__(
        self, folder: Path, key: str, shape: tuple[int, int, int, int], voxel_um: float | None, pixel_vox: int
    ) -> None:
        self.folder = folder
        self._done = folder / ".tiles.part"
        self._take_back(key)
        if not all(is_finished(self._aside(name), key) for name in MAPS):
            for path in (self._done, *map(self._aside, MAPS)):
                remove(path)
            folder.mkdir(parents=True, exist_ok=True)
            self._create("flat.zarr", key, shape, "czyx", voxel_um, pixel_vox)
            self._create("coverage.zarr", key, (shape[0], *shape[2:]), "cyx", voxel_um, pixel_vox)
        self._flat, self._coverage = (open_array(self._aside(name), mode="r+") for name in MAPS)

    def write(self, at: tuple[int, int], flat: NDArray[np.float32], coverage: NDArray[np.float32]) -> None:
        """Store a tile, flat (C, N, h, w) and coverage (C, h, w), whose first pixel is `at` (row, column)."""
        rows, columns = (slice(first, first + length) for first, length in zip(at, coverage.shape[-2:], strict=True))
        self._flat[..., rows, columns] = flat.astype(np.float16)
        self._coverage[..., rows, columns] = coverage.astype(np.float16)

    def is_done(self, tile: Tile) -> bool:
        """Whether the tile is on disk."""
        return self._note(tile).exists()

    def mark_done(self, tile: Tile) -> None:
        """Note that it is; to be called once it is."""
        self._note(tile).parent.mkdir(parents=True, exist_ok=True)
        self._note(tile).touch()

    def _note(self, tile: Tile) -> Path:
        return self._done / str(tile[0]) / str(tile[1])

    def finish(self) -> None:
        """Give the maps their names."""
        for name in MAPS:
            manifest.seal(self._aside(name))
            remove(self.folder / name)
            self._aside(name).rename(self.folder / name)
        remove(self._done)

    def _take_back(self, key: str) -> None:
        """Undo the renames of a `finish` that was killed between two of them."""
        for name in MAPS:
            if self._done.exists() and not self._aside(name).exists() and is_finished(self.folder / name, key):
                (self.folder / name).rename(self._aside(name))

    def _aside(self, name: str) -> Path:
        return self.folder / f".{name}.part"

    def _create(
        self, name: str, key: str, shape: tuple[int, ...], axes: str, voxel_um: float | None, pixel_vox: int
    ) -> None:
        chunks = (*(min(length, CHUNK) for length in shape[:-2]), CHUNK, CHUNK)
        array: Any = create_ome_zarr(self._aside(name), shape, "float16", chunks, voxel_um, axes, bin_yx=pixel_vox)
        begin_map(self._aside(name), array, key)

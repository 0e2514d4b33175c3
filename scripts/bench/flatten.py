"""Sampling a volume along the normals of a curved sheet beside scipy and torch, from memory and from a chunked store."""

import argparse
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.ndimage import map_coordinates
from torch.nn.functional import grid_sample

from scripts.bench.storage import voxels
from scripts.bench.timing import Times, beside, in_turns
from scroll.surfaces.sample import Offsets, Source, sample_along_normals
from scroll.surfaces.surface import Tile, normals_of
from scroll.volumes.chunk_cache import CachedChunks
from scroll.volumes.ome_zarr import create_ome_zarr

Floats = np.ndarray[Any, np.dtype[np.float32]]

MARGIN_VOX = 48  # between the sheet and the volume's faces
TILE = 128  # pixels a side of the pieces for which a peer's coordinates are built
OURS, STORED = "ours, uint8 in memory", "ours, zarr 64^3 zstd, nothing cached"


def run(arguments: argparse.Namespace) -> None:
    """Measure, check that all agree, and print the table and what larger surfaces cost in memory."""
    torch.set_num_threads(1)
    count, height, width = arguments.samples
    tile = sheet(height, width)
    depth = int(tile.points[..., 0].max()) + MARGIN_VOX
    volume = voxels((depth, height + 2 * MARGIN_VOX, width + 2 * MARGIN_VOX))
    print(f"\nflatten: {count} x {height} x {width} samples of a uint8 volume {volume.shape}, CPU s of all threads")
    with tempfile.TemporaryDirectory() as folder:
        times, differences, chunks = measure(volume, tile, count, max(3, arguments.flatten_runs), Path(folder))
    samples = count * height * width
    print(beside(times, OURS, lambda one: f"{samples / one.median / 1e6:8.1f} M samples/s"))
    print(f"chunks read from the store: {chunks[0]} of {chunks[1]}")
    for name, difference in differences.items():
        print(f"largest difference from {name}: {difference:.6f} grey levels")


def sheet(height: int, width: int) -> Tile:
    """A wavy sheet, a pixel a voxel, whose normals are tilted by up to some 25 degrees."""
    y, x = np.meshgrid(np.arange(height) + MARGIN_VOX + 0.3, np.arange(width) + MARGIN_VOX + 0.4, indexing="ij")
    z = 2 * MARGIN_VOX + 24 * np.sin(y / 90) + 16 * np.cos(x / 70)
    points = np.stack([z, y, x], axis=-1).astype(np.float32)
    valid = np.ones((height, width), bool)
    return Tile(points, normals_of(points, valid), valid)


def measure(
    volume: np.ndarray, tile: Tile, count: int, runs: int, folder: Path
) -> tuple[dict[str, Times], dict[str, float], tuple[int, int]]:
    """Times of every way; largest differences from the peers; how many chunks were read, and of how many."""
    offsets = Offsets(-(count // 2), count - count // 2)
    stored = _stored(volume, folder)
    calls: dict[str, Callable[[], Any]] = {
        OURS: lambda: sample_along_normals(tile, offsets, [Source(volume)])[0],
        "ours, nearest voxel": lambda: sample_along_normals(tile, offsets, [Source(volume)], order=0),
        "ours, 4 such volumes together": lambda: sample_along_normals(tile, offsets, [Source(volume)] * 4),
        STORED: lambda: sample_along_normals(tile, offsets, [Source(CachedChunks(stored))])[0],
    }
    kept = CachedChunks(stored, limit_bytes=2 * volume.nbytes)
    calls["ours, zarr 64^3 zstd, all cached"] = lambda: sample_along_normals(tile, offsets, [Source(kept)])
    ours = calls[OURS]()
    if not np.array_equal(ours, calls[STORED]()):
        raise RuntimeError("the store gives other values than memory")
    differences = {}
    for name, (prepare, sample, taken) in _peers(volume).items():
        at = prepare(volume, places(tile, offsets.values))
        differences[name] = float(np.abs(sample(taken, at) - ours).max())
        calls[f"{name}, coordinates at hand"] = partial(sample, taken, at)
        calls[f"{name}, coordinates built"] = partial(
            _tile_by_tile, volume, tile, offsets.values, (prepare, sample, taken)
        )
    return in_turns(calls, runs), differences, (len(kept._kept), stored.nchunks)


def _stored(volume: np.ndarray, folder: Path) -> Any:
    array = create_ome_zarr(folder / "volume.zarr", volume.shape, volume.dtype, (64, 64, 64), 7.91)
    array[:] = volume
    return array


def _peers(volume: np.ndarray) -> dict[str, tuple[Any, Any, Any]]:
    """Name -> how coordinates are made ready, how it samples, and the volume as it takes it (made once, not timed)."""
    return {
        "scipy map_coordinates(order=1)": (_as_they_are, _scipy, volume),
        "torch grid_sample": (_for_torch, _torch, torch.from_numpy(volume).float()[None, None]),
    }


def places(tile: Tile, offsets: Floats) -> np.ndarray:
    """Coordinates of all samples, (3, N, H, W) float64."""
    points, normals = (np.moveaxis(part, -1, 0)[:, None].astype(np.float64) for part in (tile.points, tile.normals))
    return points + offsets.astype(np.float64)[None, :, None, None] * normals


def _tile_by_tile(volume: np.ndarray, tile: Tile, offsets: Floats, peer: tuple[Any, Any, Any]) -> None:
    prepare, sample, taken = peer
    height, width = tile.valid.shape
    for row in range(0, height, TILE):
        for column in range(0, width, TILE):
            box = slice(row, row + TILE), slice(column, column + TILE)
            piece = Tile(tile.points[box], tile.normals[box], tile.valid[box])
            sample(taken, prepare(volume, places(piece, offsets)))


def _as_they_are(volume: np.ndarray, at: np.ndarray) -> np.ndarray:
    return at


def _scipy(volume: np.ndarray, at: np.ndarray) -> np.ndarray:
    return np.asarray(map_coordinates(volume, at, output=np.float32, order=1))


def _for_torch(volume: np.ndarray, at: np.ndarray) -> Any:
    """Coordinates from -1 to 1 in the order x, y, z, (1, N, H, W, 3) float32."""
    ends = np.array(volume.shape, np.float64).reshape(3, 1, 1, 1) - 1
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis((2 * at / ends - 1)[::-1], 0, -1), np.float32))[None]


def _torch(volume: Any, at: Any) -> np.ndarray:
    return grid_sample(volume, at, mode="bilinear", align_corners=True)[0, 0].numpy()

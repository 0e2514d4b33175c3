"""Random patches a second from each way to store a volume, beside a raw memory map of the same voxels."""

import argparse
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import fmean, median
from typing import Any

import numpy as np
import tifffile
import zarr

from scripts.bench.timing import Times
from scroll.errors import InputError
from scroll.inference.prediction_store import CHUNK, RowWriter, open_map
from scroll.volumes import ome_zarr, open_volume
from scroll.volumes.ome_zarr import create_ome_zarr, open_array
from scroll.volumes.working_copy import working_copy

Box = tuple[slice, ...]
Read = Callable[[Box], np.ndarray]
YARDSTICK = "raw memory map (np.memmap, copied)"


def run(arguments: argparse.Namespace) -> None:
    """Write every store, time random patches from each (page cache warm), check them, print the table.

    Raises:
        InputError: the patch is larger than the volume.
    """
    shape, patch = tuple(arguments.shape), tuple(arguments.patch)
    if any(part > whole or part < 1 for part, whole in zip(patch, shape, strict=True)):
        raise InputError(f"--patch {patch}: expected 1 to --shape {shape} along each axis: make the patch smaller")
    truth = voxels(shape)
    corners = np.random.default_rng(1).random((1000, 3)) * (np.array(shape) - patch + 1)
    boxes = [
        tuple(slice(int(at), int(at) + size) for at, size in zip(corner, patch, strict=True)) for corner in corners
    ]
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        stores = write_stores(truth, Path(folder))
        times = {name: time_reads(name, read, boxes, truth, arguments.seconds) for name, read in stores.items()}
        cost = {is_checked: map_cpu_s(truth, Path(folder), is_checked) for is_checked in (False, True, False, True)}
    print(f"volume {shape} uint8, patches {patch}, one thread asking, page cache warm\n{table(times)}")
    size = f"a map of {2 * truth.nbytes / 2**20:.0f} MiB float16 written and read back"
    print(f"{size}: {cost[False]:.2f} s of CPU time without checksums, {cost[True]:.2f} s with them")


def map_cpu_s(truth: np.ndarray, folder: Path, is_checked: bool) -> float:
    """CPU seconds, of all threads, to write a map as a prediction does and to read all of it, with its checksums or without."""
    path, began = folder / f"map-{time.monotonic_ns()}.zarr", time.process_time()
    rows = range(0, truth.shape[1], CHUNK)
    if is_checked:
        writer = RowWriter(path, "", truth.shape, None, "zyx")
        for row in rows:
            writer.write(row, truth[:, row : row + CHUNK] / 255)
        writer.finish()
        open_map(path, "")[:]
    else:
        plain = create_ome_zarr(path, truth.shape, "float16", (min(len(truth), CHUNK), CHUNK, CHUNK), None)
        for row in rows:
            plain[:, row : row + CHUNK] = truth[:, row : row + CHUNK] / 255
        open_array(path)[:]
    return time.process_time() - began


def voxels(shape: tuple[int, ...]) -> np.ndarray:
    """Sheets with noise of 8 grey levels: what CT looks like to a compressor."""
    rng = np.random.default_rng(0)
    z, y, x = (np.arange(length, dtype=np.float32) for length in shape)
    volume = np.empty(shape, np.uint8)
    for layer in range(shape[0]):
        sheets = 110 + 60 * np.sin((x[None, :] + 0.3 * y[:, None] + 0.1 * z[layer]) / 3.5)
        volume[layer] = np.clip(sheets + rng.normal(0, 8, shape[1:]), 0, 255)
    return volume


def write_stores(truth: np.ndarray, folder: Path) -> dict[str, Read]:
    """Every store of the same (Z, Y, X) voxels under `folder`: its name -> how a patch is read from it."""
    np.save(folder / "volume.npy", truth)
    mapped = np.load(folder / "volume.npy", mmap_mode="r")
    reads: dict[str, Read] = {YARDSTICK: lambda box: np.array(mapped[box])}
    reads["open_volume: .npy"] = open_volume(folder / "volume.npy").__getitem__
    for name, (path, read) in {**_zarrs(truth, folder), **_tiffs(truth, folder)}.items():
        if read is not None:
            reads[name] = read
        volume = open_volume(path, voxel_um=1.0)
        if "LZW" in name:  # as for a real fragment, whose decoded layers are some 25 times what the cache holds
            volume.array._pieces.limit = truth.nbytes // 25  # type: ignore[attr-defined]
        reads[f"open_volume: {name.split(',')[0]}"] = volume.__getitem__
    reads["working copy of the LZW layers"] = _copied(folder / "lzw", folder)
    return reads


def _zarrs(truth: np.ndarray, folder: Path) -> dict[str, tuple[Path, Read | None]]:
    size = (64, 64, 64)
    raw = zarr.create_array(folder / "raw.zarr", data=truth, chunks=size, compressors=None)
    made: dict[str, tuple[Path, Read | None]] = {"zarr 64^3 raw, zarr alone": (folder / "raw.zarr", raw.__getitem__)}
    for name, options in {"zstd": {}, "zstd sharded": {"version": "0.5", "shards": (128, 128, 128)}}.items():
        path = folder / f"{name}.zarr"
        array: Any = ome_zarr.create_ome_zarr(path, truth.shape, truth.dtype, size, 1.0, **options)  # type: ignore[arg-type]
        array[:] = truth
        made[f"zarr 64^3 {name}, zarr alone"] = (path, array.__getitem__)
    return made


def _tiffs(truth: np.ndarray, folder: Path) -> dict[str, tuple[Path, Read | None]]:
    made: dict[str, tuple[Path, Read | None]] = {}
    for name, compression in {"raw": None, "lzw": "lzw"}.items():
        stack = folder / name
        stack.mkdir()
        files = [stack / f"{layer:03d}.tif" for layer in range(len(truth))]
        for file, layer in zip(files, truth, strict=True):
            tifffile.imwrite(file, layer, compression=compression)

        def whole(box: Box, files: list[Path] = files) -> np.ndarray:
            return np.stack([tifffile.imread(file)[box[1:]] for file in files[box[0]]])

        def mapped(box: Box, files: list[Path] = files) -> np.ndarray:
            return np.stack([tifffile.memmap(file, mode="r")[box[1:]] for file in files[box[0]]])

        if compression is None:
            made["TIFF layers raw, mapped again for each patch"] = (stack, mapped)
            made["TIFF layers raw, read whole"] = (stack, whole)
        else:
            made["TIFF layers LZW, read whole"] = (stack, whole)
    cube = folder / "cube.tif"
    tifffile.imwrite(cube, truth, compression="lzw", photometric="minisblack")
    made["TIFF cube LZW"] = (cube, None)
    return made


def _copied(stack: Path, folder: Path) -> Read:
    volume = open_volume(stack)
    read: Read = working_copy(volume, folder / "copies", (0, volume.shape[0]), bin_yx=1).__getitem__
    return read


def time_reads(name: str, read: Read, boxes: list[Box], truth: np.ndarray, seconds: float) -> Times:
    """Read the boxes in order until the time is over, three at least; the first read of each store is not counted.

    Raises:
        RuntimeError: a patch differs from the truth.
    """
    times = Times()
    if not np.array_equal(read(boxes[-1]), truth[boxes[-1]]):
        raise RuntimeError(f"{name}: patch {boxes[-1]} is not what was written")
    for box in boxes[:-1]:
        with times.one():
            patch = read(box)
        if not np.array_equal(patch, truth[box]):
            raise RuntimeError(f"{name}: patch {box} is not what was written")
        if sum(times.wall) > seconds and len(times.wall) >= 3:
            break
    return times


def table(times: Mapping[str, Times]) -> str:
    """Lines of text: wall clock (median, least, most) and processor time (mean) of a patch; both as ratios to the yardstick's."""
    spread, titles = "ms/patch [least..most]", f"{'x wall':>7} {'x cpu':>7} {'n':>5}"
    head = f"{'store':<46} {'patches/s':>9} {spread:>24} {'cpu ms':>8} {titles}"
    lines = [head, "-" * len(head)]
    yard_wall, yard_cpu = median(times[YARDSTICK].wall), fmean(times[YARDSTICK].cpu)
    for name, one in times.items():
        wall, cpu = median(one.wall), fmean(one.cpu)
        spread = f"{wall * 1e3:.2f} [{min(one.wall) * 1e3:.2f}..{max(one.wall) * 1e3:.1f}]"
        ratios = f"{wall / yard_wall:>7.1f} {cpu / yard_cpu:>7.1f} {len(one.wall):>5}"
        lines.append(f"{name:<46} {1 / wall:>9.1f} {spread:>24} {cpu * 1e3:>8.2f} {ratios}")
    return "\n".join(lines)

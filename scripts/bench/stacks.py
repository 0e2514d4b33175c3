"""Training patches a CPU second from a stack in a zarr, here and on a server, beside a raw memory map and the TIFF working copy."""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image
from torch.utils.data import DataLoader, Dataset, get_worker_info

from scripts.bench.storage import voxels
from scripts.bench.timing import Times
from scroll.config.schema import DataSettings, MemberSettings
from scroll.data.folds import Fold
from scroll.data.fragments import Fragment
from scroll.runtime.children import family
from scroll.runtime.processes import share_memory_with
from scroll.volumes.ome_zarr import create_ome_zarr
from stage1_3d.fragments.dataset import InkPatches

MIB = 2**20
YARDSTICK, COPY, HERE = "raw memory map", "TIFF, working copy", "zarr here, working copy"
FETCHING, SERVED, QUARTER = "zarr on a server, fetching", "the same, kept on disk", "kept, a quarter in memory"
WORKERS = (1, 2, 4, 8)


def run(arguments: argparse.Namespace) -> None:
    """Write the stack in every way, cut the same patches from each, print patches a CPU second and what is kept in memory."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        stack = voxels((65, arguments.stack_edge, arguments.stack_edge))
        with served(folder / "bucket") as address:
            places = written(stack, folder, address)
            rates = {way: rate(folder, places[way], arguments.stack_patches) for way in places}
            rates[SERVED] = rate(folder, places[FETCHING], arguments.stack_patches)
            rates[QUARTER] = rate(folder, places[FETCHING], arguments.stack_patches, stack.nbytes // MIB // 4)
            kept = {workers: kept_mib(folder, places[FETCHING], workers) for workers in WORKERS}
    limit, copy = rates[YARDSTICK], rates[COPY]
    print(f"stack {stack.shape} uint8, items of 16 x 96 x 96 augmented as configs/ink.yaml says, one process")
    for way, found in rates.items():
        print(
            f"  {way:<28} {found:7.1f} items/CPU s  {found / limit:5.2f} of the memory map  {found / copy:5.2f} of the copy"
        )
    chunks = ", ".join(f"{workers}: {mib:.0f} MiB" for workers, mib in kept.items())
    print(f"decoded chunks kept by so many loading processes together (data.cache_mb 64): {chunks}")


def written(stack: np.ndarray, folder: Path, address: str) -> dict[str, Path]:
    """A folder of a fragment for each way, with mask and label."""
    places = {way: folder / f"{number}" for number, way in enumerate((YARDSTICK, COPY, HERE, FETCHING))}
    for place in places.values():
        place.mkdir()
        label = np.zeros(stack.shape[1:], np.uint8)
        label[::3] = 255
        Image.fromarray(label).save(place / "inklabels.png")
    np.save(places[YARDSTICK] / "stack.npy", stack)
    (places[COPY] / "layers").mkdir()
    for number, layer in enumerate(stack):
        tifffile.imwrite(places[COPY] / "layers" / f"{number:02d}.tif", layer, compression="lzw")
    for path in (places[HERE] / "surface-volume.zarr", folder / "bucket" / "stack.zarr"):
        create_ome_zarr(path, stack.shape, stack.dtype, (65, 128, 128), 7.91)[...] = stack
    (places[FETCHING] / "surface_volume_source.txt").write_text(f"{address}/stack.zarr")
    return places


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a web server in a process of its own."""
    folder.mkdir()
    command = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        answer = server.stdout.readline() if server.stdout else ""
        try:
            yield f"http://127.0.0.1:{answer.split(' port ')[1].split()[0]}"
        finally:
            server.kill()


def patches_of(folder: Path, place: Path, cache_mb: int = 512) -> InkPatches:
    """The items of one fragment."""
    data = DataSettings(
        root=folder, voxel_um=7.91, depth=(-8, 8), cache_dir=folder / "cache" / place.name, cache_mb=cache_mb
    )
    bare = place / "stack.npy"
    fragment = _Bare("1", bare, data) if bare.exists() else Fragment("1", place, data)
    return InkPatches([fragment], Fold(0, {}, {}), MemberSettings(network="unet3d"), 1, True)


class _Bare(Fragment):
    """A stack that is one .npy file, with the label beside it."""

    @property
    def folders(self) -> list[Path]:
        return [self.folder.parent] * 2


def rate(folder: Path, place: Path, count: int, cache_mb: int = 512) -> float:
    """Items a CPU second; the first twenty open files, and make copies."""
    patches, times = patches_of(folder, place, cache_mb), Times()
    for n in range(20):
        patches[n]
    with times.one():
        for n in range(20, 20 + count):
            patches[n]
    return count / times.median


def kept_mib(folder: Path, place: Path, workers: int) -> float:
    """Decoded chunks that loading processes hold together after a few hundred items."""
    loader: Any = DataLoader(
        _Kept(patches_of(folder, place, cache_mb=64)),
        batch_size=None,
        num_workers=workers,
        multiprocessing_context=family(),
        worker_init_fn=_Share(workers),
    )
    held: dict[int, float] = {}
    for worker, mib in loader:
        held[int(worker)] = float(mib)
    return sum(held.values())


class _Share:
    def __init__(self, workers: int) -> None:
        self.workers = workers

    def __call__(self, _: int) -> None:
        share_memory_with(self.workers)


class _Kept(Dataset[tuple[int, float]]):
    """Item n is (number of the loading process, MiB of decoded chunks that it keeps), after one more patch was cut."""

    def __init__(self, patches: InkPatches) -> None:
        self.patches = patches

    def __len__(self) -> int:
        return 400

    def __getitem__(self, n: int) -> tuple[int, float]:
        self.patches[n]
        array = self.patches.fragments[0].stored.array
        return get_worker_info().id, array._kept.spent / MIB  # type: ignore[attr-defined, union-attr]

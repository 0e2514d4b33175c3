"""The compiled kernels beside the library calls that give the same (normals: to 1e-6; all else: the same bits), on the same arrays."""

import argparse
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, gaussian_filter
from torch.nn.functional import grid_sample

from scripts.bench.score import draw_pair
from scripts.bench.timing import beside, in_turns
from scroll.config.schema import AugmentSettings, LossSettings
from scroll.data.augment.augment import augmented
from scroll.data.augment.draws import Changes, draw_changes
from scroll.data.augment.elastic import Warp, warped
from scroll.data.augment.noise import Noise
from scroll.data.augment.on_device import Cuts, Source, augmented_batch
from scroll.data.deferred import codes_of
from scroll.data.sample import Sample, Space, as_item, skeleton_tube
from scroll.runtime.gaussian import gaussian
from scroll.tracing.directions import first_eigenvectors
from scroll.training.loss_terms.critical_components import critical_mistakes
from scroll.volumes.chunk_cache import CachedChunks
from scroll.volumes.ome_zarr import create_ome_zarr, open_array

STORED, PATCH = (128, 512, 512), (72, 136, 136)
Calls = Mapping[str, Callable[[], object]]
# as configs/surface.yaml has it
SURFACE = AugmentSettings(
    brightness=0.2, contrast=0.2, noise=0.15, blur=1.0, turn_degrees=15, zoom=0.1, layer_dropout=0, depth_jitter=0, cutout=0.1
)  # fmt: skip


def run(arguments: argparse.Namespace) -> None:
    """Print a table for each kernel."""
    edge, runs = arguments.kernel_edge, arguments.kernel_runs
    torch.set_num_threads(1)
    sample = draw_sample(edge)
    tables = {"a blur of 1 voxel": blurs(sample), "a turn and a zoom": warps(sample), "normals": normals(edge)}
    for name, calls in {**tables, "a training item, as configs/surface.yaml": items(sample)}.items():
        print(f"\n{name}, {edge}^3, {runs} runs\n{beside(in_turns(calls, runs), next(iter(calls)))}")
    with tempfile.TemporaryDirectory() as folder:
        calls = reads(Path(folder))
        print(
            f"\nforty patches of {PATCH} out of chunks that are kept, {runs} runs\n{beside(in_turns(calls, runs), next(iter(calls)))}"
        )


def draw_sample(edge: int) -> Sample:
    """Sheets with noise, and their label."""
    label = np.ascontiguousarray(draw_pair("typical", edge)[1])
    noise = np.random.default_rng(0).standard_normal(label.shape, dtype=np.float32)
    return Sample(label + 0.3 * noise, label, np.zeros(label.shape, bool))


def blurs(sample: Sample) -> Calls:
    """A Gaussian blur."""
    return {"scipy": lambda: gaussian_filter(sample.image, 1.0), "ours": lambda: gaussian(sample.image, 1.0)}


def warps(sample: Sample) -> Calls:
    """Image, label and ignore mask turned by 10 degrees and 5 % larger; torch's grid is at hand."""
    warp, shape = Warp(10.0, 1.05), sample.image.shape
    turn = torch.tensor([[np.cos(0.17), -np.sin(0.17), 0], [np.sin(0.17), np.cos(0.17), 0], [0, 0, 1]]) / 1.05
    matrix = torch.cat([turn.float(), torch.zeros(3, 1)], dim=1)[None]
    grid = torch.nn.functional.affine_grid(matrix, [1, 1, *shape], align_corners=False)
    image, flags = torch.from_numpy(sample.image)[None, None], np.stack([sample.target, sample.ignore])

    def by_torch() -> None:
        grid_sample(image, grid, padding_mode="border", align_corners=False)
        marks = torch.from_numpy(flags.astype(np.float32))[None]
        grid_sample(marks, grid, mode="nearest", padding_mode="border", align_corners=False)

    return {"torch grid_sample": by_torch, "ours": lambda: warped(sample, warp, Space.SCROLL)}


def normals(edge: int) -> Calls:
    """Eigenvectors of as many symmetric matrices as a quarter of the cube has voxels."""
    slopes = np.random.default_rng(1).standard_normal((edge // 4, edge, edge, 3, 3), dtype=np.float32)
    full = np.einsum("...ij,...kj->...ik", slopes, slopes)
    parts = np.stack([full[..., i, j] for i, j in ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))], axis=-1)
    return {
        "numpy eigh (LAPACK)": lambda: np.linalg.eigh(full),
        "ours, 10 squarings": lambda: first_eigenvectors(parts, 10),
    }


def items(sample: Sample) -> Calls:
    """A whole training item and what is in it."""
    loss, cross = LossSettings(skeleton_recall=0.5), np.array([[[0, 1, 0], [1, 1, 1], [0, 1, 0]]], bool)

    def item() -> object:
        changed = augmented(np.random.default_rng([1, 2]), lambda rng, _: sample, SURFACE, Space.SCROLL)
        return as_item(changed, Space.SCROLL, loss)

    wrong = sample.image > 0.5
    stored = in_bytes(sample)
    return {
        "item": item,
        "left to the device: what the loading process does": lambda: drawn_and_coded(stored),
        "left to the device: what that does, here on the CPU": partial(by_torch, stored, *drawn_and_coded(stored)),
        "its noise": lambda: Noise(5, 0.1).values(sample.image.shape),
        "its skeleton": lambda: skeleton_tube(sample.target, sample.ignore),
        "scipy's dilation alone": lambda: binary_dilation(sample.target, cross),
        "critical mistakes of the topology term": lambda: critical_mistakes(wrong, sample.target, sample.ignore),
    }


def in_bytes(sample: Sample) -> Sample:
    """The same with its grey values as they would be stored."""
    raw = np.clip(100 + 50 * sample.image, 0, 255).astype(np.uint8)
    return replace(sample, image=raw, grey_scale=(100.0, 50.0))


def drawn_and_coded(stored: Sample) -> tuple[Changes, NDArray[np.uint8]]:
    """What is drawn for a patch that is augmented on the device, and its label as bits; skeletons are not asked for."""
    changes = draw_changes(np.random.default_rng([1, 2]), lambda rng, _: stored, SURFACE, Space.SCROLL)[1]
    return changes, codes_of(stored)


def by_torch(stored: Sample, changes: Changes, codes: NDArray[np.uint8]) -> object:
    """A batch of one patch, normalised, moved and changed by torch."""
    cuts = Cuts(torch.from_numpy(stored.image)[None], torch.from_numpy(codes)[None], None)
    return augmented_batch(cuts, [Source(stored.grey_scale, False, False)], [changes], Space.SCROLL)


def reads(folder: Path) -> Calls:
    """Forty patches out of chunks of 64^3 that are all kept, and the same copied from a memory map."""
    rng = np.random.default_rng(2)
    voxels = rng.integers(0, 255, STORED, dtype=np.uint8)
    create_ome_zarr(folder / "volume.zarr", STORED, "uint8", (64,) * 3, 1.0)[...] = voxels
    np.save(folder / "volume.npy", voxels)
    mapped, chunks = np.load(folder / "volume.npy", mmap_mode="r"), CachedChunks(open_array(folder / "volume.zarr"))
    corners = rng.integers(0, np.subtract(STORED, PATCH), (40, 3)).tolist()
    boxes = [tuple(slice(c, c + p) for c, p in zip(corner, PATCH, strict=True)) for corner in corners]
    return {
        "memory map, copied": lambda: [np.array(mapped[box]) for box in boxes],
        "ours": lambda: [chunks[box] for box in boxes],
    }

"""Ink labels of a volume's segments lifted into it, made once and kept on disk."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scroll.data.segments import TracedVolume
from scroll.runtime.files import written_aside
from scroll.runtime.manifest import begin, is_whole, seal
from scroll.runtime.receipt import key_of
from scroll.surfaces.lift import INK, UNKNOWN, Band, Painted, image_band, label_bands, lift_into, soft_ink
from scroll.volumes.chunk_cache import CachedChunks
from scroll.volumes.ome_zarr import create_ome_zarr, open_array

__all__ = ["INK", "UNKNOWN", "lifted_label", "lifted_proposals", "open_lifted", "soft_ink"]
CHUNK = 64


def lifted_label(traced: TracedVolume, ink_depth: tuple[int, int]) -> Path:
    """Path of an OME-Zarr (Z, Y, X) uint8 on the grid of the volume's level: 0 unknown, 1 no ink, 2 ink (of soft labels see `label_bands`).

    Papyrus known to be bare is 1 over `data.depth`; inked papyrus is 2 over `ink_depth` and unknown at other depths. Both
    count voxels of the level along the normal. Chunks that no segment reaches are not stored.
    """
    path = _path(traced, "label", ink_depth)
    if path.exists() and is_whole(path):
        return path
    painted = []
    for segment in traced.segments:
        label = segment.full_label
        painted.append(label_bands(segment.surface, label.target, ~label.ignore, *_bands(traced, ink_depth)))
    return _lifted(traced, path, painted)


def lifted_proposals(traced: TracedVolume, ink_depth: tuple[int, int]) -> Path:
    """Path of an OME-Zarr on the same grid: 1 where the pixel that a voxel of the lifted label has its value from is proposed.

    It reaches as deep as both bands together; where the lifted label is unknown it says nothing.
    """
    path = _path(traced, "proposed", ink_depth)
    if path.exists() and is_whole(path):
        return path
    marks = [segment.full_label.proposed for segment in traced.segments]
    if all(mark is None for mark in marks):
        return _lifted(traced, path, [])
    firsts, ends = zip(*_bands(traced, ink_depth), strict=True)
    painted = []
    for segment, mark in zip(traced.segments, marks, strict=True):
        # those without too: a nearer sheet hides a farther one
        image = np.zeros(segment.full_label.ignore.shape, np.uint8) if mark is None else mark.astype(np.uint8)
        painted.append(image_band(segment.surface, image, (min(firsts), max(ends))))
    return _lifted(traced, path, painted)


def _path(traced: TracedVolume, what: str, ink_depth: tuple[int, int]) -> Path:
    return traced.data.cache_dir / f"{what}-{traced.name}-{key_of([traced.key, ink_depth])}.zarr"


def _bands(traced: TracedVolume, ink_depth: tuple[int, int]) -> tuple[Band, Band]:
    """The bands of ink and of papyrus in voxels of level 0."""
    edge = traced.volume.place.edge
    ink, papyrus = ((first * edge, end * edge) for first, end in (ink_depth, traced.data.depth))
    return ink, papyrus


def _lifted(traced: TracedVolume, path: Path, painted: Sequence[Painted]) -> Path:
    place = traced.volume.place
    voxel_um = traced.segments[0].pixel_um * place.edge
    with written_aside(path) as aside:
        create_ome_zarr(aside, traced.volume.shape, "uint8", (CHUNK,) * 3, voxel_um)
        begin(aside)
        lift_into(open_array(aside, mode="r+"), painted, level=place)
        seal(aside)
    return path


def open_lifted(path: Path, cache_mb: int = 256) -> Any:
    """A lifted label, read chunk by chunk, those last used kept in memory."""
    return CachedChunks(open_array(path), cache_mb * 2**20)

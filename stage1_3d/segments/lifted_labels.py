"""Ink labels of a volume's segments lifted into it, made once and kept on disk."""

from pathlib import Path
from typing import Any

from scroll.data.segments import TracedVolume
from scroll.runtime.files import written_aside
from scroll.runtime.manifest import begin, is_whole, seal
from scroll.runtime.receipt import key_of
from scroll.surfaces.lift import INK, UNKNOWN, label_bands, lift_into, soft_ink
from scroll.volumes.chunk_cache import CachedChunks
from scroll.volumes.ome_zarr import create_ome_zarr, open_array

__all__ = ["INK", "UNKNOWN", "lifted_label", "open_lifted", "soft_ink"]
CHUNK = 64


def lifted_label(traced: TracedVolume, ink_depth: tuple[int, int]) -> Path:
    """Path of an OME-Zarr (Z, Y, X) uint8 on the grid of the volume's level: 0 unknown, 1 no ink, 2 ink (of soft labels see `label_bands`).

    Papyrus known to be bare is 1 over `data.depth`; inked papyrus is 2 over `ink_depth` and unknown at other depths. Both
    count voxels of the level along the normal. Chunks that no segment reaches are not stored.
    """
    data = traced.data
    path = data.cache_dir / f"label-{traced.name}-{key_of([traced.key, ink_depth])}.zarr"
    if path.exists() and is_whole(path):
        return path
    place = traced.volume.place
    painted = []
    for segment in traced.segments:
        label = segment.full_label
        bands = [(first * place.edge, end * place.edge) for first, end in (ink_depth, data.depth)]
        painted.append(label_bands(segment.surface, label.target, ~label.ignore, *bands))
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

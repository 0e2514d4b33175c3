"""Any volumes that lie in the same space, onto any surface: (C, N, H, W) with C volumes and N depths, tile by tile."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from scroll.inference.prediction_store import RowWriter
from scroll.runtime.progress import progress
from scroll.runtime.receipt import NAME, fingerprint, is_current, key_of, read_receipt, write_receipt
from scroll.surfaces.sample import Offsets, Source, sample_along_normals
from scroll.surfaces.surface import Surface
from scroll.volumes.volume_key import volume_key
from stage1_3d.flatten import flattened

STRIP_ROWS, TILE_COLUMNS = 128, 256
LARGEST = float(np.finfo(np.float16).max)  # white in a 16-bit scan is 65535, and would be infinite
PROBES = 16  # rows and columns of normals that tell one direction of depth from the other


@dataclass(frozen=True)
class Flattening:
    """How to flatten: depths in voxels of level 0, `order` 0 nearest or 1 trilinear, `reduce` "layers" keeps every depth."""

    offsets: Offsets
    order: Literal[0, 1] = 1
    reduce: str = "layers"
    pixel_vox: int = 1

    @property
    def depth(self) -> int:
        """N of the result."""
        return len(self.offsets.values) if self.reduce == "layers" else 1


def flatten_surface(
    surface: Surface, sources: dict[str, Source], how: Flattening, folder: Path, voxel_um: float | None
) -> None:
    """Write <folder>/flat.zarr (C, N, H, W) float16, coverage.zarr (C, H, W) and a receipt; goes on where it was stopped.

    Channels are in the order of `sources`. Coverage is the share of the depths that lie inside the volume and were
    predicted (0 to 1); values that are not covered are 0 in flat.zarr, and what float16 cannot hold (above 65504) becomes the
    most it can. Memory: a strip of 128 rows of the result, whatever the surface.
    """
    made_from = state_of_sources(sources)
    key = key_of([str(surface.path), state_of_surface(surface), made_from, how_as_json(how), voxel_um])
    if is_current(folder, key) and (folder / "flat.zarr").exists():
        return
    shape = surface.canvas_shape(how.pixel_vox)
    writers = (
        RowWriter(folder / "flat.zarr", key, (len(sources), how.depth, *shape), voxel_um, "czyx", how.pixel_vox),
        RowWriter(folder / "coverage.zarr", key, (len(sources), *shape), voxel_um, "cyx", how.pixel_vox),
    )
    first = min(writer.done_rows for writer in writers)
    with progress(f"flatten {surface.path.name}", shape[0] - first, "row") as advance:
        for row in range(first, shape[0], STRIP_ROWS):
            rows = slice(row, min(row + STRIP_ROWS, shape[0]))
            tiles = [
                _tile(surface, (rows, slice(column, min(column + TILE_COLUMNS, shape[1]))), sources, how)
                for column in range(0, shape[1], TILE_COLUMNS)
            ]
            for writer, parts in zip(writers, zip(*tiles, strict=True), strict=True):
                if row >= writer.done_rows:
                    writer.write(row, np.concatenate(parts, axis=-1))
            advance(rows.stop - rows.start)
    for writer in writers:
        writer.finish()
    write_receipt(
        folder, key, surface=str(surface.path), sources={name: where_of(s) for name, s in sources.items()}, axes="czyx",
        channels=list(sources), voxel_um=voxel_um, how=how_as_json(how),
    )  # fmt: skip


def _tile(
    surface: Surface, box: tuple[slice, slice], sources: dict[str, Source], how: Flattening
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    tile = surface.tile(*box, how.pixel_vox)
    return pooled_channels(sample_along_normals(tile, how.offsets, list(sources.values()), how.order), how.reduce)


def pooled_channels(values: NDArray[np.float32], how: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Samples (C, N, h, w) -> what flat.zarr (C, N or 1, h, w) and coverage.zarr (C, h, w) hold of them."""
    pairs = [pooled(one, how) for one in values]
    flat = np.stack([flat for flat, _ in pairs]).clip(-LARGEST, LARGEST)
    return flat, np.concatenate([coverage for _, coverage in pairs])


def pooled(values: NDArray[np.float32], how: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Samples (N, Y, X), NaN where there is none -> (N or 1, Y, X) pooled over depth, and (1, Y, X) the share of depths there.

    Depths that are not there count as the mean of those that are; where none is, the result is 0.
    """
    seen = np.isfinite(values)
    count = seen.sum(axis=0)
    mean = np.divide(np.where(seen, values, 0).sum(axis=0), count, out=np.zeros_like(values[0]), where=count > 0)
    return flattened(np.where(seen, values, mean), how), (count / values.shape[0]).astype(np.float32)[None]


def how_as_json(how: Flattening) -> dict[str, object]:
    """For keys and receipts."""
    offsets = {"start": how.offsets.start, "stop": how.offsets.stop, "step": how.offsets.step}
    return {"offsets_vox": offsets, "order": how.order, "reduce": how.reduce, "pixel_vox": how.pixel_vox}


def state_of_surface(surface: Surface) -> list[Any]:
    """What tells a surface from another one at the same path, and from itself with its normals turned round."""
    step = [max(1, n // PROBES) for n in surface.shape]
    probes = np.asarray(surface.normals[:: step[0], :: step[1]])
    files = [surface.path] if surface.path.is_file() else sorted(p for p in surface.path.glob("*.*") if p.is_file())
    return [np.round(probes, 3).tolist(), [fingerprint(file) for file in files]]


def state_of_sources(sources: dict[str, Source]) -> dict[str, list[Any]]:
    """Of each: where it is, at which level and place, and what tells its content from another."""
    return {name: [where_of(s), s.base.name, s.origin_zyx, _state(s)] for name, s in sources.items()}


def _state(source: Source) -> str | None:
    """The receipt's key of a prediction of ours, else the state of the volume's metadata; None of what is in memory."""
    path = getattr(source.volume, "path", None)
    if path is None:
        return None
    receipt = Path(path).parent / NAME
    made_with = str(read_receipt(receipt.parent, "")["key"]) if receipt.exists() else ""
    return key_of([made_with, volume_key(str(path))])


def where_of(source: Source) -> str:
    """Path or address of its volume."""
    return str(getattr(source.volume, "path", "in memory"))

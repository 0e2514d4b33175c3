"""Per-voxel predictions in scroll space, and the CT, onto traced sheets: all sources of a segment in one pass."""

import itertools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scroll.config.schema import FlattenSettings, Settings
from scroll.data.intensity import robust_z_score
from scroll.data.segments import Segment, TracedVolume
from scroll.inference.prediction_store import RowWriter, open_map
from scroll.runtime.progress import progress
from scroll.runtime.receipt import is_current, key_of, read_receipt, weights_in, write_receipt
from scroll.surfaces.sample import Offsets, Source, sample_along_normals
from scroll.volumes.chunk_cache import CachedChunks
from stage1_3d.flatten import depth_window
from stage1_3d.segments.flatten_surface import pooled
from stage1_3d.segments.predict import SegmentRows

STRIP_ROWS = 128  # of the working canvas: whole chunks of the maps
TILE_COLUMNS = 512
CT = "ct"
At = dict[str, Path | None]  # source -> folder of its volume; None for the scroll itself
Pooled = tuple[NDArray[np.float32], NDArray[np.float32]]


@dataclass(frozen=True)
class Pending:
    """One map to make: from which volumes (rows in order), how many channels, how depth is pooled, under which key."""

    folder: Path
    parts: list[SegmentRows]
    channels: int
    how: str
    key: str


def flatten_segment(
    settings: Settings,
    traced: TracedVolume,
    segment: Segment,
    parts: dict[str, list[SegmentRows]],
    folders: dict[str, Path],
) -> None:
    """Write flat.zarr (C, Y, X) and coverage.zarr (1, Y, X) of every source of the segment, at working resolution, with receipts.

    `parts` says, per member, where its volumes lie; the CT (if asked for) is read from the scroll itself, as robust z-scores of the
    grey scale. Coverage is the share of the depth that was predicted; where that is 0 the map is 0, and layers that
    were not predicted count as the mean of those that were.
    """
    pending = {name: _pending(settings, segment, folders[name], parts[name]) for name in parts}
    if settings.stage1.flatten.ct != "none":
        pending[CT] = _pending_ct(settings, traced, segment, folders[CT])
    pending = {name: one for name, one in pending.items() if not _is_done(one)}
    if not pending:
        return
    _sample_all(settings, (traced, segment), pending)
    for name, one in pending.items():
        weights = {
            path: hash_ for part in one.parts for path, hash_ in weights_in(read_receipt(part.folder, "")).items()
        }
        write_receipt(
            one.folder, one.key, fragment=segment.id, member=name, voxel_um=segment.pixel_um, bin_yx=settings.data.bin_yx, axes="cyx",
            depth=settings.data.depth, data=segment.key, weights=weights, volume=segment.source, normal_sign=settings.data.normal_sign,
        )  # fmt: skip


def _pending(settings: Settings, segment: Segment, folder: Path, parts: list[SegmentRows]) -> Pending:
    flatten = settings.stage1.flatten
    made_from = [[part.rows, read_receipt(part.folder, "run stage one again")["key"]] for part in parts]
    key = key_of([segment.key, made_from, flatten.model_dump(include={"reduce", "window"})])
    return Pending(folder, parts, _channels(settings, flatten.reduce), flatten.reduce, key)


def _pending_ct(settings: Settings, traced: TracedVolume, segment: Segment, folder: Path) -> Pending:
    flatten = settings.stage1.flatten
    key = key_of([segment.key, traced.grey_scale, flatten.model_dump()])
    return Pending(folder, [], _channels(settings, flatten.ct), flatten.ct, key)


def _channels(settings: Settings, how: str) -> int:
    layers = depth_window(settings.stage1.flatten, settings.data.depth)
    return layers.stop - layers.start if how == "layers" else 1


def _is_done(pending: Pending) -> bool:
    return is_current(pending.folder, pending.key) and (pending.folder / "flat.zarr").exists()


def offsets(flatten: FlattenSettings, depth: tuple[int, int], step: float) -> Offsets:
    """Depths along the normals in voxels of level 0, one for every `step` of them: a voxel of the predicted level."""
    layers = depth_window(flatten, depth)
    return Offsets((layers.start + depth[0]) * step, (layers.stop + depth[0]) * step, step)


def _sample_all(settings: Settings, where: tuple[TracedVolume, Segment], pending: dict[str, Pending]) -> None:
    traced, segment = where
    height, width = segment.mask.shape
    writers = {name: _writers(one, (height, width), segment, settings.data.bin_yx) for name, one in pending.items()}
    first = min(writer.done_rows for pair in writers.values() for writer in pair)
    sources = _Sources(traced)
    with progress(f"flatten {segment.id}", height - first, "row") as advance:
        for row in range(first, height, STRIP_ROWS):
            rows = slice(row, min(row + STRIP_ROWS, height))
            for start, end, at in _spans(pending, rows):
                pieces = [
                    _piece(settings, segment, (slice(start, end), slice(column, min(column + TILE_COLUMNS, width))), sources, at, pending)
                    for column in range(0, width, TILE_COLUMNS)
                ]  # fmt: skip
                for name, pair in writers.items():
                    _write(
                        pair,
                        start,
                        [np.concatenate(part, axis=-1) for part in zip(*(p[name] for p in pieces), strict=True)],
                    )
            advance(rows.stop - rows.start)
    for pair in writers.values():
        for writer in pair:
            writer.finish()


def _piece(
    settings: Settings,
    segment: Segment,
    box: tuple[slice, slice],
    sources: "_Sources",
    at: At,
    pending: dict[str, Pending],
) -> dict[str, Pooled]:
    """A tile of every map: all sources sampled together, then pooled over depth."""
    tile = segment.surface.tile(*box, settings.data.bin_yx)
    depths = offsets(settings.stage1.flatten, settings.data.depth, segment.volume.place.edge)
    values = sample_along_normals(tile, depths, [sources.of(folder) for folder in at.values()])
    return {
        name: pooled(sources.scaled(name, found), pending[name].how) for name, found in zip(at, values, strict=True)
    }


class _Sources:
    """What is sampled under each name, opened once."""

    def __init__(self, traced: TracedVolume) -> None:
        self.traced = traced
        self._open: dict[Path, Source] = {}

    def scaled(self, name: str, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """CT as robust z-scores of the volume's grey scale, as networks see it; probabilities as they are."""
        return robust_z_score(values, self.traced.grey_scale) if name == CT else values

    def of(self, folder: Path | None) -> Source:
        if folder is None:
            return Source(self.traced.volume)
        if folder not in self._open:
            z, y, x = read_receipt(folder, "")["origin_zyx"]
            chunks = CachedChunks(
                open_map(folder / "prob.zarr", "run stage one again"), self.traced.data.cache_mb * 2**20
            )
            self._open[folder] = Source(chunks, self.traced.volume.place, (z, y, x))
        return self._open[folder]


def _spans(pending: dict[str, Pending], rows: slice) -> list[tuple[int, int, At]]:
    """Cut a strip where any source passes from one volume to the next: (first row, end, where each source is)."""
    cuts = {rows.start, rows.stop}
    for one in pending.values():
        cuts |= {edge for part in one.parts for edge in part.rows if rows.start < edge < rows.stop}
    edges = sorted(cuts)
    spans = []
    for start, end in itertools.pairwise(edges):
        at: At = {}
        for name, one in pending.items():
            at[name] = next((part.folder for part in one.parts if part.rows[0] <= start < part.rows[1]), None)
        spans.append((start, end, at))
    return spans


def _writers(one: Pending, shape: tuple[int, int], segment: Segment, pixel: int) -> tuple[RowWriter, RowWriter]:
    return (
        RowWriter(one.folder / "flat.zarr", one.key, (one.channels, *shape), segment.pixel_um, "cyx", pixel),
        RowWriter(one.folder / "coverage.zarr", one.key, (1, *shape), segment.pixel_um, "cyx", pixel),
    )


def _write(writers: tuple[RowWriter, RowWriter], row: int, maps: list[NDArray[np.float32]]) -> None:
    for writer, rows in zip(writers, maps, strict=True):
        done = max(0, writer.done_rows - row)  # a resumed run may be further in one map than in another
        if done < rows.shape[1]:
            writer.write(row + done, rows[:, done:])

"""A member's networks over a scroll volume, only where traced sheets pass, window by window; resumes row by row."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scroll.config import Settings
from scroll.folds import Fold, Rows
from scroll.inference import mean_of
from scroll.maps import RowWriter
from scroll.progress import progress
from scroll.receipt import file_hash, is_current, key_of, write_receipt
from scroll.segments import Segment, TracedVolume
from scroll.surfaces.blocks import Blocks
from scroll.window import Sweep, count_windows, predict
from stage1_3d.predict import load_member, weights_path

RowsOf = dict[str, Rows]  # segment id -> working rows that are wanted


@dataclass(frozen=True)
class Part:
    """Working rows of a segment, and the folder with the volume that predicts them."""

    rows: Rows
    folder: Path


def predict_volume_out_of_fold(
    settings: Settings, name: str, traced: TracedVolume, folds: Sequence[Fold]
) -> dict[str, list[Part]]:
    """Predict the volume about each fold's held-out rows by that fold; returns, per segment, which part holds which rows."""
    parts: dict[str, list[Part]] = {segment.id: [] for segment in traced.segments}
    for fold in folds:
        rows = {s.id: fold.held_out[s.id] for s in traced.segments if s.id in fold.held_out}
        if rows:
            folder = settings.run_dir / "stage1" / name / "oof" / "volumes" / f"{traced.name}-fold{fold.number}"
            predict_volume(settings, name, traced, rows, [fold.number], folder)
            for segment_id, span in rows.items():
                parts[segment_id].append(Part(span, folder))
    return {segment_id: sorted(found, key=lambda part: part.rows) for segment_id, found in parts.items()}


def predict_volume_new(settings: Settings, name: str, traced: TracedVolume, folder: Path) -> dict[str, list[Part]]:
    """Predict a volume that no fold was trained on about all its segments, by all folds together."""
    rows = {segment.id: whole(segment) for segment in traced.segments}
    predict_volume(settings, name, traced, rows, list(range(settings.folds.count)), folder)
    return {segment_id: [Part(span, folder)] for segment_id, span in rows.items()}


def whole(segment: Segment) -> Rows:
    """All working rows of a segment."""
    return 0, segment.mask.shape[0]


def predict_volume(
    settings: Settings, name: str, traced: TracedVolume, rows: RowsOf, folds: list[int], folder: Path
) -> None:
    """Write prob.zarr (Z, Y, X) float16 and a receipt into `folder`: a cut-out of the volume, NaN where nobody predicted.

    The cut-out begins at voxel `origin_zyx` (in the receipt) of `data.level`. Windows far from all wanted rows are skipped.
    Memory: one row of windows over the cut-out's depth and width.
    """
    weights = [weights_path(settings, name, fold) for fold in folds]
    precision = settings.stage1.members[name].training.precision
    how = [settings.stage1.window.model_dump(), settings.data.depth, rows, folds, precision]
    key = key_of([traced.key, [file_hash(path) for path in weights], how])
    if is_current(folder, key) and (folder / "prob.zarr").exists():
        return
    blocks = wanted_blocks(traced, rows)
    extent = blocks.extent() or ((0, 1), (0, 1), (0, 1))
    origin = [first for first, _ in extent]
    shape = tuple(end - first for first, end in extent)
    voxel_um = traced.segments[0].pixel_um * 2**settings.data.level
    writer = RowWriter(folder / "prob.zarr", key, shape, voxel_um, "zyx")
    _sweep(settings, name, (traced, blocks), folds, (writer, origin))
    writer.finish()
    write_receipt(
        folder, key, volume=str(traced.segments[0].source), member=name, folds=folds, rows=rows, axes="zyx", voxel_um=voxel_um,
        level=settings.data.level, origin_zyx=origin, weights={str(path): file_hash(path) for path in weights},
    )  # fmt: skip


def wanted_blocks(traced: TracedVolume, rows: RowsOf) -> Blocks:
    """Where in the volume the wanted rows lie, over the whole depth that is flattened."""
    blocks = Blocks(traced.volume.shape)
    for segment in traced.segments:
        if segment.id in rows:
            first, end = (row * segment.data.bin_yx for row in rows[segment.id])
            blocks.mark(segment.surface, (first, end), segment.data.depth, segment.data.level)
    return blocks


def _sweep(
    settings: Settings,
    name: str,
    where: tuple[TracedVolume, Blocks],
    folds: list[int],
    to: tuple[RowWriter, list[int]],
) -> None:
    (traced, blocks), (writer, origin) = where, to
    member = settings.stage1.members[name]

    def in_volume(corner: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(c + o for c, o in zip(corner, origin, strict=True))

    def read(corner: tuple[int, ...]) -> NDArray[np.float32]:
        return traced.patch(in_volume(corner), member.patch_size)[None]

    padded = tuple(max(n, p) for n, p in zip(writer.shape, member.patch_size, strict=True))
    sweep = Sweep(
        padded, member.patch_size, settings.stage1.window, (0, writer.shape[1]),
        lambda corner: blocks.touches(in_volume(corner), member.patch_size), empty=float("nan"),
    )  # fmt: skip
    depth, _, width = writer.shape

    def write(row: int, probabilities: NDArray[np.float32]) -> None:
        writer.write(row, probabilities[0, :depth, :, :width])

    label = f"predict {name}, volume {traced.name}"
    with progress(label, count_windows(sweep, writer.done_rows), "window") as advance:
        networks: list[Any] = [load_member(settings, name, fold) for fold in folds]
        forward = mean_of(networks, member.training.precision, settings.stage1.window.average)
        predict(sweep, read, forward, write, writer.done_rows, advance)

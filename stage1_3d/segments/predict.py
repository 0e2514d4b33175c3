"""A member's networks over a scroll volume, only where traced sheets pass, window by window; resumes row by row."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from scroll.config.schema import Settings
from scroll.data.folds import Fold, Rows
from scroll.data.members.others import of_others
from scroll.data.members.suits import check_voxels
from scroll.data.segments import TracedVolume
from scroll.inference.grey_values import sent
from scroll.inference.prediction_store import RowWriter
from scroll.inference.sliding_window import Prediction, Sweep
from scroll.runtime.progress import progress
from scroll.runtime.receipt import is_current, key_of, write_receipt
from scroll.surfaces.blocks import Blocks
from stage1_3d.external.member import all_folds, seen_as
from stage1_3d.external.view import view_of
from stage1_3d.predict import load_forward, weights_of

RowsOf = dict[str, Rows]  # segment id -> working rows that are requested


@dataclass(frozen=True)
class SegmentRows:
    """Working rows of a segment, and the folder with the volume that predicts them."""

    rows: Rows
    folder: Path


def predict_volume_out_of_fold(
    settings: Settings, name: str, traced: TracedVolume, folds: Sequence[Fold]
) -> dict[str, list[SegmentRows]]:
    """Predict the volume about each fold's held-out rows by that fold; returns, per segment, which part holds which rows."""
    parts: dict[str, list[SegmentRows]] = {segment.id: [] for segment in traced.segments}
    for numbers, rows in _held_out(settings, name, traced, folds):
        if rows:
            folder = settings.folder.volume_oof(name, traced.name, numbers[0])
            predict_volume(settings, name, traced, rows, numbers, folder)
            for segment_id, span in rows.items():
                parts[segment_id].append(SegmentRows(span, folder))
    return {segment_id: sorted(found, key=lambda part: part.rows) for segment_id, found in parts.items()}


def _held_out(
    settings: Settings, name: str, traced: TracedVolume, folds: Sequence[Fold]
) -> Iterator[tuple[list[int], RowsOf]]:
    """Folds of a member, and the rows of each segment that are new to them."""
    other = of_others(settings).get(name)
    if other is None:
        for fold in folds:
            yield [fold.number], {s.id: fold.held_out[s.id] for s in traced.segments if s.id in fold.held_out}
        return
    unseen = {segment.id: other.card.unseen(segment.id, segment.volume_name) for segment in traced.segments}
    for numbers in sorted({tuple(found) for found in unseen.values() if found}):
        yield [*numbers], {s.id: (0, s.rows) for s in traced.segments if tuple(unseen[s.id]) == numbers}


def predict_volume_new(
    settings: Settings, name: str, traced: TracedVolume, folder: Path
) -> dict[str, list[SegmentRows]]:
    """Predict a volume that no fold was trained on about all its segments, by all folds together."""
    rows = {segment.id: (0, segment.rows) for segment in traced.segments}
    predict_volume(settings, name, traced, rows, all_folds(settings, name), folder)
    return {segment_id: [SegmentRows(span, folder)] for segment_id, span in rows.items()}


def predict_volume(
    settings: Settings, name: str, traced: TracedVolume, rows: RowsOf, folds: list[int], folder: Path
) -> None:
    """Write prob.zarr (Z, Y, X) float16 and a receipt into `folder`: a cut-out of the volume, NaN where nobody predicted.

    The cut-out begins at voxel `origin_zyx` (in the receipt) of `data.level`. Windows far from all requested rows are skipped.
    Memory: one row of windows over the cut-out's depth and width.
    """
    other = of_others(settings).get(name)
    if other:
        check_voxels(other, traced.segments[0].seen_um)
    weights = weights_of(settings, name, folds)
    precision = settings.stage1.members[name].training.precision
    how = [settings.stage1.window.model_dump(), settings.data.depth, rows, folds, precision]
    key = key_of([traced.key, [*weights.values()], how])
    if is_current(folder, key) and (folder / "prob.zarr").exists():
        return
    blocks = requested_blocks(traced, rows)
    origin, shape = cut_out(blocks)
    um, place = traced.segments[0].pixel_um, traced.volume.place
    voxel_um = um * place.edge
    begin_um = [um * at for at in place.cut(origin).first_centre]
    writer = RowWriter(folder / "prob.zarr", key, shape, voxel_um, "zyx", begin_um=begin_um)
    prediction = prediction_of(settings, name, (traced, blocks), folds)
    with progress(f"predict {name}, volume {traced.name}", prediction.count(writer.done_rows), "window") as advance:
        prediction.run(lambda row, values: writer.write(row, values[0]), writer.done_rows, advance)
    writer.finish()
    write_receipt(
        folder, key, volume=str(traced.segments[0].source), member=name, folds=folds, rows=rows, axes="zyx", voxel_um=voxel_um,
        level=settings.data.level, place=place.name, origin_zyx=origin, depth=settings.data.depth, data=traced.key,
        normal_sign=settings.data.normal_sign,
        source=[str(segment.folder) for segment in traced.segments], window=settings.stage1.window.model_dump(mode="json"),
        weights=weights, **(other.resampled(traced.segments[0].seen_um) if other else {}),
    )  # fmt: skip


def requested_blocks(traced: TracedVolume, rows: RowsOf) -> Blocks:
    """Where in the volume the requested rows are, over the whole depth that is flattened."""
    blocks = Blocks(traced.volume.shape)
    for segment in traced.segments:
        if segment.id in rows:
            first, end = (row * segment.data.bin_yx for row in rows[segment.id])
            blocks.mark(segment.surface, (first, end), segment.data.depth, segment.volume.place)
    return blocks


def cut_out(blocks: Blocks) -> tuple[list[int], tuple[int, ...]]:
    """First voxel and shape (z, y, x) of the box about all blocks."""
    extent = blocks.extent() or ((0, 1), (0, 1), (0, 1))
    return [first for first, _ in extent], tuple(end - first for first, end in extent)


def prediction_of(
    settings: Settings, name: str, where: tuple[TracedVolume, Blocks], folds: Sequence[int]
) -> Prediction:
    """A member's folds over the box about the blocks, (1, Z, Y, X), NaN where no window touches one of them."""
    traced, blocks = where
    origin, shape = cut_out(blocks)
    view, how = view_of(settings, name, traced.segments[0].seen_um), seen_as(settings, name, traced)

    def in_volume(corner: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(c + o for c, o in zip(corner, origin, strict=True))

    def read(corner: tuple[int, ...]) -> NDArray[Any]:
        return view.read(partial(traced.patch, in_volume(corner)), how)[None]

    def is_needed(corner: tuple[int, ...]) -> bool:
        return blocks.touches(in_volume(corner), view.size)

    padded = tuple(max(n, p) for n, p in zip(shape, view.size, strict=True))
    sweep = Sweep(padded, view.size, settings.stage1.window, (0, shape[1]), is_needed, empty=float("nan"))
    return Prediction(
        sweep, read, lambda: view.forward(load_forward(settings, name, folds)), shape, partial(sent, how=how)
    )

"""Segments traced in a volume, flattened to layers so that an audit can change them, and who is then asked: the members alone."""

from collections.abc import Sequence
from dataclasses import replace
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ensemble.controls.asked import Asked, alone
from ensemble.ink.predictors import ENSEMBLE
from scroll.config.data import DataSettings
from scroll.config.schema import Settings
from scroll.data.fragments import Fragment
from scroll.data.labels import share_in_blocks
from scroll.data.members.others import of_others
from scroll.data.segments import Segment
from scroll.inference.prediction_store import RowWriter
from scroll.runtime.files import written_aside
from scroll.runtime.progress import progress
from scroll.runtime.receipt import key_of
from scroll.surfaces.sample import Offsets, Source, sample_along_normals
from stage1_3d.external.member import window_of

FOLDER = "flattened"
LAYERS = "surface-volume.zarr"
STRIP_ROWS, TILE_COLUMNS = 128, 512
ROOM_LAYERS = 12  # on either side of what the members see: for moved windows, and for a sheet that is off
SAID = (
    "The segment was flattened to layers below this folder's 'flattened', and its members were asked about these, without stage two: they "
    "see the sheet level, as it is in the middle of their training."
)


def asked_of_traced(asked: Asked, output: Path) -> Asked:
    """The same members, asked about flattened layers: voxels of the level that they see, as deep as the deepest window."""
    settings = asked.settings
    half = half_depth(settings, asked.members)
    # the size of voxels is each segment's own: see `flattened_fragments`
    data = DataSettings(
        root=output / FOLDER, cache_dir=settings.data.cache_dir, cache_mb=settings.data.cache_mb, depth=(-half, half)
    )
    thresholds = {name: asked.threshold(name) for name in asked.members}
    thresholds[ENSEMBLE] = sum(thresholds.values()) / len(thresholds)
    changed = settings.model_copy(
        update={"data": data, "preflight": settings.preflight.model_copy(update={"mode": "off"})}
    )
    return replace(alone(changed, thresholds), trained_as=settings)


def half_depth(settings: Settings, members: Sequence[str]) -> int:
    """Layers on either side of the sheet that are asked about: half the deepest window, and no less than `data.depth` and
    `stage1.flatten.window` reach."""
    others, um = of_others(settings), settings.data.voxel_um
    steps = {name: others[name].step(um) if name in others else 1.0 for name in members}
    reaches = [ceil(window_of(settings, name)[0] * steps[name] / 2) for name in members]
    for first, end in filter(None, (settings.data.depth, settings.stage1.flatten.window)):
        reaches += [-first, end]
    return max(reaches)


def flattened_fragments(asked: Asked, segments: Sequence[Segment]) -> list[Fragment]:
    """Each segment flattened into <output>/flattened/<id>, where it is not yet; a killed one goes on."""
    data = asked.settings.data
    return [
        Fragment(
            one.id,
            flattened_layers(one, data.root / one.id, data.depth),
            with_voxels(data, one.pixel_um * pixel_of(one)),
        )
        for one in segments
    ]


def with_voxels(data: DataSettings, voxel_um: float) -> DataSettings:
    """The same, of voxels of another size."""
    return DataSettings.model_validate({**data.model_dump(exclude_unset=True), "voxel_um": voxel_um})


def pixel_of(segment: Segment) -> int:
    """Edge of a flattened voxel in voxels of level 0: as the networks see it."""
    return max(1, round(segment.volume.place.edge))


def flattened_layers(segment: Segment, folder: Path, depth: tuple[int, int]) -> Path:
    """Write <folder>/surface-volume.zarr (Z, Y, X), cubes of what the networks see, the volume's own kind of numbers, and mask.png.

    The middle layer is the traced surface; `depth` and `ROOM_LAYERS` more are there. Goes on where it was stopped. Memory: a strip
    of rows. Returns `folder`.
    """
    edge, source = pixel_of(segment), Source(segment.volume)
    half = max(-depth[0], depth[1]) + ROOM_LAYERS
    offsets = Offsets(-half * edge, (half + 0.5) * edge, edge)
    shape = (2 * half + 1, *segment.surface.canvas_shape(edge))
    writer = RowWriter(
        folder / LAYERS, key_of([segment.key, half]), shape, segment.pixel_um * edge, "zyx", dtype=segment.volume.dtype
    )
    with progress(f"flatten {segment.id}", shape[1] - writer.done_rows, "row") as advance:
        for row in range(writer.done_rows, shape[1], STRIP_ROWS):
            rows = slice(row, min(row + STRIP_ROWS, shape[1]))
            pieces = [
                sample_along_normals(segment.surface.tile(rows, slice(x, min(x + TILE_COLUMNS, shape[2])), edge), offsets, [source])[0]
                for x in range(0, shape[2], TILE_COLUMNS)
            ]  # fmt: skip
            writer.write(row, as_stored(np.concatenate(pieces, axis=-1), writer.dtype))
            advance(rows.stop - rows.start)
    writer.finish()
    mask = share_in_blocks(segment.full_mask, edge)[: shape[1], : shape[2]] >= 0.5
    with written_aside(folder / "mask.png") as aside:
        Image.fromarray(mask.astype(np.uint8) * 255).save(aside, format="PNG")
    return folder


def as_stored(values: NDArray[np.float32], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Samples of any shape as numbers of the volume's own kind; 0 where there is none.

    >>> as_stored(np.array([np.nan, 1.6, 300.0], np.float32), np.dtype(np.uint8)).tolist()
    [0, 2, 255]
    """
    known = np.nan_to_num(values)
    if dtype.kind not in "ui":
        return known.astype(dtype)
    bounds = np.iinfo(dtype)
    return np.clip(np.rint(known), bounds.min, bounds.max).astype(dtype)

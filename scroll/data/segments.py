"""A segment: a surface traced in a scroll volume, with its ink label; and all segments of one volume together."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scroll.config.schema import DataSettings
from scroll.data.boxes import Size, box_inside, filled_up
from scroll.data.fragments import names_below
from scroll.data.intensity import AsStored, GreyScale, Intensity, grey_scale_of, robust_z_score
from scroll.data.labels import SheetLabels, label_contents, labels_beside
from scroll.data.sheets import Sheet
from scroll.data.sources import chunks_on_disk, source_said_in, spelled
from scroll.errors import InputError, MissingInputError
from scroll.runtime.names import name_of_file
from scroll.runtime.receipt import fingerprint, key_of
from scroll.runtime.scroll_names import VOLUME_SOURCE
from scroll.surfaces import open_surface, tifxyz
from scroll.surfaces.flat_view import FlatView
from scroll.surfaces.geometry import check_surface
from scroll.surfaces.sample import Offsets, Source, sample_along_normals
from scroll.surfaces.surface import Surface
from scroll.volumes.masks import CANVAS_SLACK, ENDINGS, MASK, files_beside, read_beside, say_what_is_passed_over
from scroll.volumes.opened_level import open_level
from scroll.volumes.place import Place, check_cubes, place_of
from scroll.volumes.volume import Volume
from scroll.volumes.volume_key import volume_key
from scroll.volumes.voxel_size import is_same

STRIP_ROWS = 64
STACK_LAYERS = 65  # as the ink competition's stacks have
SAMPLED_PLACES, SAMPLED_EDGE = 200, 12  # cubes about the sheets that the grey scale is measured on


@dataclass(frozen=True)
class Segment(Sheet):
    """A segment, its layers sampled along the surface."""

    @cached_property
    def source(self) -> str:
        """Path or URL of the volume: what `volume_source.txt` says (relative to the segment), else `data.volume`.

        The same volume is always spelled the same: folds and predictions go by it.

        Raises:
            MissingInputError: neither says.
        """
        source = source_said_in(self.folder / VOLUME_SOURCE, "of the segment's OME-Zarr")
        if source is not None:
            return source
        if self.data.volume is None:
            raise MissingInputError(
                f"{self.folder / VOLUME_SOURCE}: not there, and data.volume is not set; write the path or URL of the segment's OME-Zarr "
                "into either"
            )
        return spelled(self.data.volume, Path())

    @property
    def volume_name(self) -> str:
        """The last part of the volume's path, a folder of which is in a run.

        Raises:
            InputError: it would lead elsewhere.
        """
        name = self.source.rstrip("/").split("/")[-1].removesuffix(".zarr")
        if name in ("", ".", "..") or "\\" in name:
            raise InputError(
                f"{self.folder}: its volume {self.source} has no name of its own; give the path or URL of an OME-Zarr"
            )
        return name

    @cached_property
    def volume(self) -> Volume:
        """The scroll at `data.level`, its chunks kept in memory up to `data.cache_mb`; one for all its segments.

        Raises:
            InputError: its voxels are no cubes, or its metadata contradict each other.

        Warns:
            UserWarning: `data.voxel_um` was set to another size than the volume says; the volume's counts.
        """
        volume = open_level(
            self.source, self.data.level, self.data.cache_mb, self.data.voxel_um, chunks_on_disk(self.data)
        )
        check_cubes(self.source, volume.place)
        if volume.voxel_um is not None and "voxel_um" in self.data.model_fields_set:
            found_um = volume.voxel_um / volume.place.edge
            if not is_same(found_um, self.data.voxel_um):
                warnings.warn(
                    f"data.voxel_um is {self.data.voxel_um:g}, but {self.source} says {found_um:g} um, which is used: set one right",
                    stacklevel=2,
                )
        return volume

    @cached_property
    def surface(self) -> Surface:
        """The traced sheet in voxels of level 0, depth growing along its normals.

        Raises:
            InputError: its geometry contradicts itself or the volume.
        """
        surface = open_surface(surface_path(self.folder))
        check_in_volume(surface, self.volume)
        return surface if self.data.normal_sign == 1 else surface.flipped()

    @cached_property
    def shape_yx(self) -> tuple[int, int]:
        """The canvas: one pixel a voxel of level 0."""
        return self.surface.canvas_shape()

    @property
    def pixel_um(self) -> float:
        """Edge of a voxel of level 0 in micrometres."""
        voxel_um = self.volume.voxel_um
        return self.data.voxel_um if voxel_um is None else voxel_um / self.volume.place.edge

    @property
    def seen_um(self) -> float:
        """Edge of a voxel of `data.level` in micrometres."""
        return self.pixel_um * self.volume.place.edge

    @cached_property
    def full_mask(self) -> NDArray[np.bool_]:
        """(Y, X) where the sheet was traced, inside the volume, and mask.png or <id>_mask.png (if one is there) says papyrus.

        Warns:
            UserWarning: a file that looks like a mask has no name under which one is read.
        """
        surface = surface_path(self.folder)
        of_the_surface = {
            ".ppm": [f"{surface.stem}_mask{ending}".lower() for ending in ENDINGS],
            ".obj": [],
        }  # read with it
        reserved = of_the_surface.get(surface.suffix.lower(), tifxyz.MASKS)
        say_what_is_passed_over([self.folder], self.id, reserved)
        files = files_beside([self.folder], self.id, MASK, reserved)
        mask = read_beside(files, self.shape_yx, CANVAS_SLACK) if files else np.ones(self.shape_yx, dtype=bool)
        place = self.volume.place
        low, top = np.array(place.begin), np.array(place.end(self.volume.shape)) - 1
        for row in range(0, self.shape_yx[0], STRIP_ROWS):
            rows = slice(row, row + STRIP_ROWS)
            tile = self.surface.tile(rows, slice(None))
            mask[rows] &= tile.valid & ((tile.points >= low) & (tile.points <= top)).all(axis=-1)
        return mask

    def labels_in(self, folder: Path, data: DataSettings) -> SheetLabels:
        """What a folder says is written on the canvas; unknown off the sheet and outside a supervision mask.

        Raises:
            MissingInputError: no label there.
            InputError: it has another size than the canvas.
        """
        return labels_beside(folder, self.id, self.full_mask, data)

    def picture(self) -> NDArray[np.float32]:
        """(Y, X) CT on the traced sheet; 0 where there is none."""
        source, middle = Source(self.volume), Offsets(0, 1)
        picture = np.zeros(self.shape_yx, np.float32)
        for row in range(0, self.shape_yx[0], STRIP_ROWS):
            rows = slice(row, row + STRIP_ROWS)
            picture[rows] = np.nan_to_num(
                sample_along_normals(self.surface.tile(rows, slice(None)), middle, [source])[0, 0]
            )
        return picture

    @property
    def layer_um(self) -> float:
        """How far layers of its stack lie apart, in micrometres: a voxel of `data.level`."""
        return self.pixel_um * self.volume.place.edge

    @property
    def middle_layer(self) -> int:
        """The layer of the stack that the sheet is in."""
        return STACK_LAYERS // 2

    @property
    def grey_sample(self) -> NDArray[Any]:
        """(n,) grey values about the sheet, a fixed sample.

        Raises:
            InputError: it has no valid point.
        """
        return grey_sample_about(self.volume, [self.surface], self.volume.place)

    @property
    def stack(self) -> FlatView:
        """Layers about the sheet: the CT flattened along the surface, sampled as it is read."""
        step = self.volume.place.edge
        return FlatView(self.surface, Source(self.volume), -(STACK_LAYERS // 2) * step, STACK_LAYERS, step)

    @property
    def key(self) -> str:
        """Hash of the segment's files, of its volume's metadata, and of how they are looked at."""
        seen = {"voxel_um", "depth", "bin_yx", "level", "normal_sign", "label_versions", "grey_labels"}
        how = self.data.model_dump(include=seen)
        parts = [fingerprint(self.folder), volume_key(self.source), how, *label_contents(self.folder, self.id)]
        place = self.volume.place.name
        parts += self.known_labels + self.known_scroll
        return key_of(parts if place == self.data.level else [*parts, place])


def check_in_volume(surface: Surface, volume: Volume) -> None:
    """Refuse a surface that contradicts itself or is nowhere in a volume.

    Raises:
        InputError: see `check_surface`.
    """
    place = volume.place
    shape = tuple(n * step for n, step in zip(volume.shape, place.step, strict=True))
    check_surface(surface, shape, begin_zyx=place.begin)


def surface_path(folder: Path) -> Path:
    """What holds the surface of a segment: the folder itself as a tifxyz, else the one .ppm or .obj in it.

    Raises:
        MissingInputError: none of them, or several to choose from.
    """
    if tifxyz.recognises(folder):
        return folder
    found = _called(folder, ".ppm") or _called(folder, ".obj")
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise MissingInputError(
            f"{folder}: expected x.tif, y.tif, z.tif and meta.json, or one .ppm or .obj; found: {names}"
        )
    return found[0]


def is_segment(folder: Path) -> bool:
    """Whether a folder is a segment rather than a folder of segments."""
    return tifxyz.recognises(folder) or bool(_called(folder, ".ppm") or _called(folder, ".obj"))


def _called(folder: Path, ending: str) -> list[Path]:
    """Files with that ending, in letters of either case; those with a dot in front are of the machine, not of the user."""
    there = folder.iterdir() if folder.is_dir() else ()
    return sorted(path for path in there if path.suffix.lower() == ending and not path.name.startswith("."))


def find_segments(folder: Path, data: DataSettings, ids: Sequence[str] = ()) -> list[Segment]:
    """The segments below `folder` (such as <root>/train), sorted by id; `ids` picks some.

    Raises:
        MissingInputError: the folder, or one of the ids, is not there.
    """
    return [Segment(name, folder / name, data) for name in names_below(folder, ids, "segment", "meta.json")]


def segments_at(source: Path, data: DataSettings) -> list[Segment]:
    """The segments at a place: a folder of them, or one of them.

    Raises:
        MissingInputError: none is there.
    """
    if is_segment(source):
        return [Segment(name_of_file(source.name), source, data)]
    return find_segments(source, data)


@dataclass(frozen=True)
class TracedVolume:
    """A scroll volume and the segments in it that a run knows of."""

    segments: tuple[Segment, ...]

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self.segments[0].volume_name

    @property
    def data(self) -> DataSettings:
        """How it is looked at."""
        return self.segments[0].data

    @property
    def volume(self) -> Volume:
        """The CT at `data.level`."""
        return self.segments[0].volume

    @cached_property
    def grey_scale(self) -> GreyScale:
        """Median and robust spread (half the 16-84 % range) of the grey values about the sheets, from a fixed sample of cubes.

        Raises:
            InputError: no segment has a valid point.
        """
        return grey_scale_of(self.grey_sample)

    @property
    def grey_sample(self) -> NDArray[Any]:
        """(n,) grey values about the sheets, from a fixed sample of cubes.

        Raises:
            InputError: no segment has a valid point.
        """
        return grey_sample_about(self.volume, [segment.surface for segment in self.segments], self.volume.place)

    def inside(self, corner: NDArray[np.floating], size: Size) -> Size:
        """The corner of a box of that size, moved so that the box is inside the volume where it can."""
        return box_inside(self.volume.shape, corner, size)

    def patch(
        self, corner: tuple[int, ...], size: tuple[int, int, int], seen_as: Intensity | AsStored | None = None
    ) -> NDArray[Any]:
        """CT at `data.level` as robust z-scores, (Z, Y, X) float32 of `size`; beyond the volume its edge is repeated.

        `seen_as`: another scaling, with the figures of this volume in it.

        Raises:
            UnreadableError: not all values are finite.
        """
        raw = self.volume[tuple(slice(c, c + s) for c, s in zip(corner, size, strict=True))]
        where = f"{self.volume.path}: NaN or infinity near {corner} (z, y, x)"
        values = robust_z_score(raw, self.grey_scale, where) if seen_as is None else seen_as.scaled(raw, where)
        return filled_up(values, size)

    @property
    def key(self) -> str:
        """Hash of the volume's metadata, its segments and how they are looked at."""
        return key_of([segment.key for segment in self.segments])


def grey_sample_about(volume: Volume, surfaces: Sequence[Surface], level: int | Place) -> NDArray[Any]:
    """(n,) grey values about surfaces (in voxels of level 0) in a volume at `level`, a fixed sample.

    `level` is a place, or the number of a level of a pyramid that halves.

    Raises:
        InputError: no surface has a valid point.
    """
    rng = np.random.default_rng(0)
    valid_below = [_valid_below_rows(surface) for surface in surfaces]
    samples = []
    for n in range(SAMPLED_PLACES):
        surface, below = surfaces[n % len(surfaces)], valid_below[n % len(surfaces)]
        if not below[-1]:
            continue
        picked = rng.integers(below[-1])
        row = int(np.searchsorted(below, picked, side="right")) - 1
        column = np.flatnonzero(np.asarray(surface.valid[row : row + 1]))[picked - below[row]]
        point = np.asarray(surface.points[row, column], np.float64)
        corner = box_inside(volume.shape, at_level(point, level) - SAMPLED_EDGE // 2, (SAMPLED_EDGE,) * 3)
        samples.append(volume[tuple(slice(c, c + SAMPLED_EDGE) for c in corner)].ravel())
    if not samples:
        raise InputError(f"{surfaces[0].path}: no valid point in any surface that is in {volume.path}; trace it again")
    return np.concatenate(samples)


def _valid_below_rows(surface: Surface) -> NDArray[np.int64]:
    """(H + 1,) how many valid points lie in the rows before each; a strip at a time, for a .ppm holds a point per pixel."""
    starts = range(0, surface.shape[0], STRIP_ROWS)
    counts = [np.count_nonzero(np.asarray(surface.valid[row : row + STRIP_ROWS]), axis=1) for row in starts]
    return np.concatenate([[0], np.cumsum(np.concatenate(counts))])


def at_level(place: NDArray[Any], level: int | Place) -> NDArray[Any]:
    """Level-0 voxels as voxels of `level` (or of a place), whose centres are half a coarse voxel further in.

    >>> at_level(np.array([0.5]), 1)
    array([0.])
    """
    return place_of(level).voxels(place)


def by_volume(segments: Sequence[Segment]) -> list[TracedVolume]:
    """The segments put together by the volume they lie in, in order of its name.

    Raises:
        InputError: two volumes bear the same name, under which their predictions would lie.
    """
    sources = sorted({segment.source for segment in segments})
    volumes = [TracedVolume(tuple(s for s in segments if s.source == source)) for source in sources]
    names = [volume.name for volume in volumes]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        places = ", ".join(volume.segments[0].source for volume in volumes if volume.name == twice)
        raise InputError(
            f"two volumes are called '{twice}' ({places}); rename one, for predictions lie under that name"
        )
    return volumes

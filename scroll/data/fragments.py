"""A fragment in the ink competition's layout: a layer stack, a papyrus mask and, for training, an ink label."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scroll.config.schema import DataSettings
from scroll.data.intensity import AsStored, GreyScale, Intensity, grey_scale_of, robust_z_score
from scroll.data.kinds import training_items
from scroll.data.labels import SheetLabels, label_contents, labels_beside, share_in_blocks
from scroll.data.sheets import Sheet
from scroll.data.sources import open_pooled, open_stack_level, stack_said_in, zarr_of
from scroll.errors import InputError, MissingInputError
from scroll.runtime.links import refuse_dead_link
from scroll.runtime.names import checked_name, name_of_file
from scroll.runtime.receipt import fingerprint, key_of
from scroll.volumes import is_volume, ome_zarr, open_volume
from scroll.volumes.changed import reversed_layers
from scroll.volumes.chunk_cache import cached
from scroll.volumes.masks import CANVAS_SLACK, MASK, files_beside, read_beside, say_what_is_passed_over
from scroll.volumes.place import check_cubes
from scroll.volumes.pooling import pooled, window_of
from scroll.volumes.tiff.pages import TiffPages
from scroll.volumes.tiff.stack import STACK_NAMES
from scroll.volumes.url import Url, path_or_url
from scroll.volumes.volume import Volume
from scroll.volumes.volume_key import volume_key
from scroll.volumes.voxel_size import Stated, in_name_um, is_same, stated_beside
from scroll.volumes.working_copy import working_copy

SAMPLED_PLACES, SAMPLED_EDGE = 200, 12  # windows that the grey scale is measured on


@dataclass(frozen=True)
class Fragment(Sheet):
    """A fragment, its layers as they lie on disk.

    A preflight may have found that its layers run the other way than in training (`is_flipped`), or that its sheet is
    `shift_layers` deeper (in the direction of the training); then it is shown turned round and shifted.
    """

    margin: int = 0  # layers kept beyond the depth window on either side, for depth jitter
    is_flipped: bool = False
    shift_layers: int = 0
    is_seen_about_labels: bool = field(default=False, kw_only=True)  # alone; the rest of it is not fetched
    beyond: tuple[int, int] = field(default=(0, 0), kw_only=True)  # layers kept before and behind the margin as well

    def to_train_on(self) -> "Fragment":
        """The same; of one that is far away only what is about its labels is looked at."""
        return replace(self, is_seen_about_labels=self.is_remote)

    @cached_property
    def volume(self) -> Volume:
        """The whole stack, (Z, Y, X), in the direction of the training."""
        return reversed_layers(self.stored) if self.is_flipped else self.stored

    @cached_property
    def stored(self) -> Volume:
        """The whole stack as it is on disk, its layers in the order that is said beside it.

        Raises:
            InputError: no readable stack, voxels that are no cubes, or its metadata, JSON beside it or its name say another size of a
                voxel than the default of `data.voxel_um`.

        Warns:
            UserWarning: they say another size than `data.voxel_um` was set to; the setting counts.
        """
        volume, pool = self._finest, self.data.pool
        check_cubes(self.folder, volume.place)
        for stated in self._stated(volume):
            if not is_same(stated.um, self.data.voxel_um):
                message = f"{self.folder}: {stated.who} says voxels of {stated.um:g} um, data.voxel_um is {self.data.voxel_um:g}"
                if "voxel_um" not in self.data.model_fields_set:
                    raise InputError(f"{message}, its default; expected one size: set data.voxel_um to the right one")
                warnings.warn(f"{message}, which is used", stacklevel=2)
        if pool > 1:
            volume = open_pooled(self.zarr, self.data) if self.zarr else pooled(volume, pool, volume)
        _, is_reversed = stack_said_in(self.folder) or ("", False)
        return replace(reversed_layers(volume) if is_reversed else volume, voxel_um=self.data.voxel_um * pool)

    @property
    def canvas_yx(self) -> tuple[int, int]:
        """In-plane size of its layers as they are stored, which is that of its masks and labels."""
        return self._finest.shape[1:]

    def on_canvas(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """A (Y, X) mask as large as its layers are stored: each pixel is `data.pool` of theirs."""
        height, width = self.canvas_yx
        return mask.repeat(self.data.pool, axis=0)[:height].repeat(self.data.pool, axis=1)[:, :width]

    @cached_property
    def zarr(self) -> str | None:
        """Path or address of the OME-Zarr that its layers are in; None where they are TIFF."""
        return zarr_of(self.folder, self.id)

    @cached_property
    def _finest(self) -> Volume:
        """Its layers at level 0."""
        return (
            open_volume(self.folder, self.data.voxel_um)
            if self.zarr is None
            else open_stack_level(self.zarr, self.data)
        )

    @property
    def is_remote(self) -> bool:
        """Whether its layers are read over a network."""
        return self.zarr is not None and isinstance(path_or_url(self.zarr), Url)

    def _stated(self, volume: Volume) -> list[Stated]:
        """What says the size of its voxels: JSON beside it, else its own metadata, or its name."""
        own_folders = [] if isinstance(volume.path, Url) else [Path(volume.path)]
        beside = [stated for stated in stated_beside((*own_folders, self.folder)) if stated.is_own]
        if beside:
            return beside
        if isinstance(volume.array, TiffPages) and len(volume.array.files) > 1:
            named_um = in_name_um(self.folder.name)
            return [] if named_um is None else [Stated("its name", named_um)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            own_um = volume.voxel_um if self.zarr else open_volume(self.folder).voxel_um
        return [] if own_um is None else [Stated("its own metadata or name", own_um)]

    @property
    def kept(self) -> tuple[int, int]:
        """How many layers are kept before and behind the depth window."""
        return self.margin + self.beyond[0], self.margin + self.beyond[1]

    @cached_property
    def layers(self) -> tuple[int, int]:
        """First and end layer of the depth window, the margin and what is kept beyond it included.

        Raises:
            InputError: the stack is too thin for it.
        """
        centre = self.volume.shape[0] // 2 + self.shift_layers
        before, behind = self.kept
        start, stop = centre + self.data.depth[0] - before, centre + self.data.depth[1] + behind
        if start < 0 or stop > self.volume.shape[0]:
            widest = (self.margin - centre, self.volume.shape[0] - centre - self.margin)
            raise InputError(
                f"{self.folder}: {self.volume.shape[0]} layers, centre {centre}, do not hold data.depth {self.data.depth} "
                f"with a depth_jitter of {self.margin}; the widest window is {widest}"
            )
        return start, stop

    @cached_property
    def ct(self) -> Volume:
        """The depth window with its margin at working resolution, (layers, Y / bin, X / bin), fast to cut patches from."""
        start, stop = self.layers
        if not self.is_flipped:
            return self._window(start, stop)
        depth = self.stored.shape[0]
        return reversed_layers(self._window(depth - stop, depth - start))

    def _window(self, start: int, stop: int) -> Volume:
        """Layers as they are stored, at working resolution: copied once, or what is asked for fetched where it is far away."""
        if not self.is_remote:
            return working_copy(self.stored, self.data.cache_dir, (start, stop), self.data.bin_yx)
        window = window_of(self.stored, (start, stop), self.data.bin_yx)
        is_made = self.data.pool > 1 or self.data.bin_yx > 1  # else the chunks that it is cut from are kept
        return cached(window, self.data.cache_mb * 2**20) if is_made else window

    @property
    def shape_yx(self) -> tuple[int, int]:
        """In-plane size in pixels, pooled where `data.pool` says so."""
        return self.volume.shape[1], self.volume.shape[2]

    @property
    def pixel_um(self) -> float:
        """Edge of a full-resolution pixel in micrometres."""
        return self.volume.voxel_um or self.data.voxel_um

    @property
    def seen_um(self) -> float:
        """Edge of a pixel at working resolution in micrometres."""
        return self.pixel_um * self.data.bin_yx

    @property
    def mask_files(self) -> list[Path]:
        """The masks of the papyrus: mask.png or <id>_mask.png in its folder or beside the layers; beside a bare file the latter."""
        if self.folders:
            return files_beside(self.folders, self.id, MASK)
        own = [path for path in files_beside([self.folder.parent], self.id, MASK) if path.stem.lower() != MASK]
        inside = self.folder / "mask.png"
        return [*own, inside] if inside.exists() else own

    @property
    def folders(self) -> list[Path]:
        """Where its pictures may lie; none of them for a bare file or zarr."""
        if not self.folder.is_dir() or ome_zarr.recognises(self.folder):
            return []
        return [self.folder, *(self.folder / name for name in STACK_NAMES)]

    @cached_property
    def full_mask(self) -> NDArray[np.bool_]:
        """Papyrus, (Y, X) bool at full resolution; all true where no mask is beside a bare stack.

        Warns:
            UserWarning: a file that looks like a mask has no name under which one is read.
        """
        return share_in_blocks(self._canvas_mask, self.data.pool) >= 0.5 if self.data.pool > 1 else self._canvas_mask

    @cached_property
    def _canvas_mask(self) -> NDArray[np.bool_]:
        say_what_is_passed_over(self.folders, self.id)
        files = self.mask_files
        return read_beside(files, self.canvas_yx, CANVAS_SLACK) if files else np.ones(self.canvas_yx, dtype=bool)

    def labels_in(self, folder: Path, data: DataSettings) -> SheetLabels:
        """What a folder says is written on it, drawn on the canvas of its layers; outside the papyrus it is ignored."""
        also = self.folders[1:] if folder == self.folder else ()
        return labels_beside(folder, self.id, self._canvas_mask, data, also).binned(self.data.pool)

    @cached_property
    def grey_scale(self) -> GreyScale:
        """Median and robust spread (half the 16-84 % range) of the papyrus' grey values, from a fixed sample of voxels."""
        return grey_scale_of(self.grey_sample)

    @property
    def grey_sample(self) -> NDArray[Any]:
        """(n,) grey values of the papyrus, a fixed sample.

        Raises:
            InputError: no papyrus at all.
        """
        rows, cols = np.nonzero(self.labelled_mask if self.is_seen_about_labels else self.mask)
        if not len(rows):
            raise InputError(
                f"{next(iter(self.mask_files), self.folder)}: marks no papyrus at all; nothing could be trained on or predicted"
            )
        picked = np.random.default_rng(0).choice(len(rows), size=SAMPLED_PLACES)
        samples = []
        before, behind = self.kept
        depth = slice(before, self.ct.shape[0] - behind)  # the same scale whatever is kept about the window
        for row, col in zip(rows[picked], cols[picked], strict=True):
            window = (slice(row, row + SAMPLED_EDGE), slice(col, col + SAMPLED_EDGE))
            samples.append(self.ct[(depth, *window)][:, self.mask[window]].ravel())
        return np.concatenate(samples)

    def patch(
        self, z: int, y: int, x: int, size: tuple[int, int, int], seen_as: Intensity | AsStored | None = None
    ) -> NDArray[Any]:
        """CT at working resolution, normalised by `grey_scale`, float32 of shape `size`; (z, y, x) counts from the first layer kept.

        `seen_as`: another scaling, with the figures of this fragment in it.

        Raises:
            UnreadableError: not all values are finite.
        """
        where = f"{self.folder}: NaN or infinity in the CT near z {z}, y {y}, x {x} (working resolution)"
        raw = self.ct[z : z + size[0], y : y + size[1], x : x + size[2]]
        return robust_z_score(raw, self.grey_scale, where) if seen_as is None else seen_as.scaled(raw, where)

    @property
    def volume_name(self) -> str:
        """A fragment is a volume of its own."""
        return self.id

    def picture(self) -> NDArray[Any]:
        """(Y, X) CT of the middle layer."""
        return np.asarray(self.volume[self.volume.shape[0] // 2 + self.shift_layers])

    @property
    def stack(self) -> Volume:
        """All of its layers."""
        return self.volume

    @property
    def middle_layer(self) -> int:
        """The layer of the stack that the sheet is in."""
        return self.volume.shape[0] // 2 + self.shift_layers

    @property
    def key(self) -> str:
        """Hash of the files and of how they are looked at."""
        how = self.data.model_dump(
            include={"voxel_um", "depth", "bin_yx", "pool", "pool_from", "label_versions", "grey_labels"}
        )
        far = [volume_key(self.zarr)] if self.zarr is not None and not _is_inside(self.zarr, self.folder) else []
        turned = [self.is_flipped, self.shift_layers] if self.is_flipped or self.shift_layers else []
        labels = label_contents(self.folder, self.id, self.folders[1:])
        return key_of([fingerprint(self.folder), how, *far, *turned, *labels, *self.known_labels, *self.known_scroll])


def _is_inside(place: str, folder: Path) -> bool:
    return isinstance(path := path_or_url(place), Path) and path.is_relative_to(folder.resolve())


def find_fragments(folder: Path, data: DataSettings, ids: Sequence[str] = (), margin: int = 0) -> list[Fragment]:
    """The fragments below `folder` (such as <root>/train), sorted by id; `ids` picks some.

    Raises:
        MissingInputError: the folder, or one of the ids, is not there.
    """
    return [
        Fragment(name, folder / name, data, margin) for name in names_below(folder, ids, "fragment", "surface_volume")
    ]


def names_below(folder: Path, ids: Sequence[str], what: str, content: str) -> list[str]:
    """Names of the folders below `folder`, sorted, or of those in `ids`; `content` is what one of them holds, for the message.

    Raises:
        MissingInputError: the folder, or one of the ids, is not there.
        InputError: one of them is called what no folder of a run can be called.
    """
    if not refuse_dead_link(folder).is_dir():
        raise MissingInputError(
            f"{folder}: no such folder; expected one folder per {what} in it (docs/real_data.md); "
            "the demos' phantoms are drawn by 'make demo'"
        )
    seen = [path for path in folder.iterdir() if not path.name.startswith(".")]
    for path in seen:
        if not ids or path.name in ids:
            refuse_dead_link(path)
    there = sorted(path.name for path in seen if path.is_dir())
    for item in ids:
        if item not in there:
            raise MissingInputError(f"{folder / item}: no such {what}; there are: {', '.join(there) or 'none'}")
    if not there:
        raise MissingInputError(f"{folder}: holds no {what} folders; expected for example {folder / '1' / content}")
    return [checked_name(name, f"{folder}: the {what}") for name in sorted({*ids}) or there]


def fragments_at(source: Path, data: DataSettings) -> list[Fragment]:
    """The fragments at a place: a folder of them, one of them, or a bare layer stack.

    Raises:
        MissingInputError: none is there.
    """
    if source.name in STACK_NAMES and source.is_dir():
        source = source.parent  # the mask is beside the layers
    if zarr_of(source, source.name) is not None and not ome_zarr.recognises(path_or_url(source)):
        return [Fragment(name_of_file(source.name), source, data)]
    if is_volume(source):
        is_stack = source.is_dir() and source.suffix != ".zarr"  # of a folder "7.91um" nothing is an ending
        return [Fragment(name_of_file(source.name if is_stack else source.stem), source, data)]
    return find_fragments(source, data)


def training_fragments(data: DataSettings, margin: int = 0) -> list[Fragment]:
    """The labelled fragments of a run, of whichever flattened kind, read with so many layers about the window."""
    return [replace(fragment, margin=margin) for fragment in training_items(data)]

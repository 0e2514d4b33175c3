"""Which shards of a scroll will be predicted, by which networks and weights, at what cost."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import isfinite, prod
from pathlib import Path
from typing import Any, Literal

from ensemble.whole_scroll.grey_values import Figures, measured, sample_about, sample_in
from ensemble.whole_scroll.members import check_voxels_of, member_weights, voxel_um_of
from ensemble.whole_scroll.run import EnsembleRecipe, read_box, sweep_of
from scroll.config.schema import Settings
from scroll.data.intensity import GreyScale, Intensity
from scroll.data.kinds import kind_of
from scroll.data.segments import check_in_volume, surface_path
from scroll.errors import InputError
from scroll.inference.sliding_window import Sweep, symmetric_mean, windows_about
from scroll.runtime.receipt import fingerprint, key_of
from scroll.shards.grid import Shard, shard_at, shards_of
from scroll.shards.plan import FORMAT, Plan
from scroll.shards.requested import check_same_space, where_marked, where_not_zero
from scroll.surfaces import open_surface
from scroll.surfaces.blocks import Blocks
from scroll.surfaces.surface import Surface
from scroll.volumes.ome_zarr import open_array
from scroll.volumes.opened_level import open_level
from scroll.volumes.place import check_cubes
from scroll.volumes.sharded.output import OutputFormat
from scroll.volumes.url import Url, path_or_url
from scroll.volumes.volume import Volume
from scroll.volumes.volume_key import placed_key, volume_key
from stage1_3d.external.member import all_folds
from stage1_3d.external.view import View, view_of
from stage1_3d.predict import load_forward, weights_of

COARSE_VOXELS = 3e8  # that are looked through for emptiness, if there is such a level
MOST_LEVELS = 12


@dataclass(frozen=True)
class ScrollRequest:
    """What a user asks for.

    Attributes:
        source: path or address of the volume.
        level: of its pyramid; predicted at that size of voxel.
        surfaces: only shards that these pass through.
        mask: a volume of any size of voxel over the same space; only shards where it is not 0.
        grey_scale: median and spread; None to measure them.
    """

    source: str
    level: int = 0
    shard_vox: int = 512
    chunk_vox: int = 128
    version: Literal["0.5", "0.4"] = "0.5"
    levels: int = 1
    surfaces: tuple[Path, ...] = ()
    mask: Path | None = None
    grey_scale: GreyScale | None = None

    def check(self) -> None:
        """Refuse what does not fit together.

        Raises:
            InputError: a shard is not made of whole chunks, or a level or a grey scale that cannot be.
        """
        if self.level < 0:
            raise InputError(f"--level {self.level}: expected 0, the finest level of the volume, or more")
        if self.grey_scale is not None and not (isfinite(sum(self.grey_scale)) and self.grey_scale[1] > 0):
            middle, spread = self.grey_scale
            raise InputError(
                f"--grey {middle:g} {spread:g}: expected the median and a spread above 0, such as --grey 100 40; or leave it out"
            )
        if self.chunk_vox < 1 or self.shard_vox < 1 or self.shard_vox % self.chunk_vox or self.levels < 1:
            raise InputError(
                f"--shard {self.shard_vox} --chunk {self.chunk_vox} --levels {self.levels}: expected a shard of whole chunks and one "
                "level or more, such as --shard 512 --chunk 128 --levels 5"
            )


def key_of_request(settings: Settings, request: ScrollRequest) -> str:
    """Hash of everything that decides a voxel of the result; reads no voxel."""
    weights = member_weights(settings)
    networks = [
        [name, w, *weights_of(settings, name, all_folds(settings, name)).values()] for name, w in weights.items()
    ]
    precision = [settings.stage1.members[name].training.precision for name in weights]
    cut = [request.level, request.shard_vox, request.chunk_vox, request.version, request.levels, request.grey_scale]
    where: list[Any] = [fingerprint(path) for path in request.surfaces]
    where += [settings.data.depth, settings.data.normal_sign] if request.surfaces else []
    where += [_state_of(request.mask)] if request.mask else []
    return key_of(
        [FORMAT, placed_key(request.source), networks, settings.stage1.window.model_dump(), precision, cut, where]
    )


def _state_of(mask: Path) -> str:
    """What tells a mask from another one; of an address, where no file can be looked at, its metadata."""
    place = path_or_url(mask)
    return volume_key(place) if isinstance(place, Url) else fingerprint(place)


def make_plan(settings: Settings, request: ScrollRequest, is_measured: bool = False) -> Plan:
    """The plan of a request; `is_measured` times the networks on this machine for the hours.

    Raises:
        MissingInputError: the volume, the weights or the fit is not there.
        InputError: nothing is left to predict, the sizes do not fit together, or a member was trained on other voxels.
    """
    request.check()
    if kind_of(settings.data).is_flattened:
        raise InputError(
            f"data.kind is {settings.data.kind}: these networks know flattened stacks, not volumes; use a run on segments or cubes"
        )
    volume, weights = open_scroll(request, settings), member_weights(settings)
    check_voxels_of(settings, weights, volume)
    surfaces = [opened(path, settings) for path in request.surfaces]
    for surface in surfaces:
        check_in_volume(surface, volume)
    shards = list(requested_shards(settings, request, volume, surfaces))
    if not shards:
        raise InputError(
            f"{request.source}: no shard is left to predict; check --surface and --mask, and that the volume is not empty"
        )
    views = {name: view_of(settings, name, voxel_um_of(settings, volume)) for name in weights}
    sweeps = {name: sweep_of(settings, view, volume.shape) for name, view in views.items()}
    figures = measured(
        settings,
        weights,
        lambda: sample_about(volume, surfaces) if surfaces else sample_in(volume, shards),
        request.grey_scale,
    )
    how = OutputFormat(
        volume.shape, request.shard_vox, request.chunk_vox, volume.voxel_um, request.version, request.levels
    )
    return Plan(
        key=key_of_request(settings, request),
        how=how,
        indices=tuple(shard.index for shard in shards),
        bytes_read=_bytes_read(list(sweeps.values()), volume, shards, request.shard_vox),
        windows={name: _windows(sweep, shards, request.shard_vox) for name, sweep in sweeps.items()},
        window_s={name: _window_s(settings, name, view) for name, view in views.items()} if is_measured else {},
        about={
            "source": request.source, "level": request.level, **_as_record(figures), "weights": weights,
            "window": settings.stage1.window.model_dump(mode="json"), "run_dir": str(settings.run_dir),
            **_begin_of(volume),
        },
    )  # fmt: skip


def _as_record(figures: Figures) -> dict[str, Any]:
    """The figures for a plan; of members trained elsewhere only where there are some, so that other plans are as they were."""
    others = {name: how.model_dump(mode="json") for name, how in figures.seen_as.items()}
    return {"grey_scale": list(figures.grey_scale)} | ({"seen_as": others} if others else {})


def _begin_of(volume: Volume) -> dict[str, list[float]]:
    """Where the first voxel of a cut-out is centred, which its prediction is to say too; nothing of a whole scroll."""
    if not any(volume.place.begin) or volume.voxel_um is None:
        return {}
    level_0_um = volume.voxel_um / volume.place.edge
    return {"begin_um": [at * level_0_um for at in volume.place.first_centre]}


def open_scroll(request: ScrollRequest, settings: Settings) -> Volume:
    """The volume of a request at its level.

    Raises:
        MissingInputError: it is not there, or has no such level.
        InputError: its voxels are no cubes, or its metadata contradict each other.
    """
    volume = open_level(request.source, request.level, settings.data.cache_mb, settings.data.voxel_um)
    check_cubes(request.source, volume.place)
    return volume


def recipe_of(settings: Settings, plan: Plan) -> EnsembleRecipe:
    """What the workers of a plan build."""
    about = plan.about
    middle, spread = about["grey_scale"]
    seen_as = {name: Intensity.model_validate(how) for name, how in about.get("seen_as", {}).items()}
    return EnsembleRecipe(settings, about["source"], about["level"], (middle, spread), about["weights"], seen_as)


def opened(path: Path, settings: Settings) -> Surface:
    """A surface, its normals as the run has them."""
    surface = open_surface(surface_path(path) if path.is_dir() else path)
    return surface if settings.data.normal_sign == 1 else surface.flipped()


def requested_shards(
    settings: Settings, request: ScrollRequest, volume: Volume, surfaces: Sequence[Surface]
) -> Iterator[Shard]:
    """The shards that a surface passes through, where the mask is, and where a coarse level of the pyramid is not all 0.

    Raises:
        InputError: the mask is that of another volume.
    """
    shards: Iterator[Shard] = shards_of(volume.shape, request.shard_vox)
    if surfaces:
        blocks = Blocks(volume.shape)
        for surface in surfaces:
            blocks.mark(surface, (0, surface.canvas_shape()[0]), settings.data.depth, volume.place)
        shards = where_marked(shards, blocks)
    if request.mask is not None:
        mask = open_level(str(request.mask), 0, settings.data.cache_mb)
        check_same_space(mask, volume.shape)
        shards = where_not_zero(shards, volume.shape, mask)
    coarse = coarse_level(request, volume, settings.data.cache_mb)
    if coarse is not None:
        return where_not_zero(shards, volume.shape, coarse)
    if max(volume.shape) > request.shard_vox:
        print(
            f"{request.source}: has no coarser level to see air in; every shard is read, and those without papyrus are not predicted"
        )
    return shards


def coarse_level(request: ScrollRequest, volume: Volume, cache_mb: int) -> Volume | None:
    """The finest coarser level of the pyramid that can be looked through quickly, or else the coarsest there is; None where
    there is none.

    Emptiness then means that nothing brighter than a rounding error is there. Shards that prove empty only when they
    are read cost their reading, and are not predicted.
    """
    level_0_um = None if volume.voxel_um is None else volume.voxel_um / volume.place.edge
    most_up = next((up for up in range(1, MOST_LEVELS) if prod(volume.shape) / 8**up <= COARSE_VOXELS), MOST_LEVELS)
    for up in range(most_up, 0, -1):
        try:
            open_array(
                request.source, request.level + up
            )  # asks for the level alone; a volume without a pyramid has none
            return open_level(request.source, request.level + up, cache_mb, level_0_um)
        except InputError:  # the pyramid ends before it
            continue
    return None


def _bytes_read(sweeps: Sequence[Sweep], volume: Volume, shards: Sequence[Shard], edge: int) -> int:
    """Of the CT about all shards; along each axis it depends on the shard's number alone, and there are few of these."""

    def length(axis: int, shard: Shard) -> int:
        first, end = read_box(sweeps, volume.shape, shard.corner, shard.size)
        return end[axis] - first[axis]

    return _sum_of_products(volume.shape, shards, edge, length) * volume.dtype.itemsize


def _windows(sweep: Sweep, shards: Sequence[Shard], edge: int) -> int:
    """About all shards; those that fill last batches up are left out."""
    return _sum_of_products(
        sweep.shape, shards, edge, lambda axis, shard: len(windows_about(sweep, shard.corner, shard.size)[axis])
    )


def _sum_of_products(
    shape: Sequence[int], shards: Sequence[Shard], edge: int, along: Callable[[int, Shard], int]
) -> int:
    """Sum over the shards of the product of what `along` says of each of the three axes."""
    tables = []
    for axis, length in enumerate(shape):
        numbers = [tuple(number if a == axis else 0 for a in range(3)) for number in range(-(-length // edge))]
        tables.append([along(axis, shard_at(shape, edge, index)) for index in numbers])  # type: ignore[arg-type]
    return sum(prod(table[number] for table, number in zip(tables, shard.index, strict=True)) for shard in shards)


def _window_s(settings: Settings, name: str, view: View) -> float:
    """Seconds for one window through all folds and views of a member, in full batches: the better of three, warmed up."""
    import torch

    from scroll.inference.fold_ensemble import device

    forward = view.forward(load_forward(settings, name, all_folds(settings, name)))
    batch = torch.zeros((settings.stage1.window.batch_size, 1, *view.window), device=device())
    seconds = []
    for _ in range(4):
        began = time.perf_counter()
        symmetric_mean(forward, batch, settings.stage1.window).cpu()
        seconds.append(time.perf_counter() - began)
    return min(seconds[1:]) / len(batch)

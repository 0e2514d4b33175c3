"""Turn, zoom and smooth displacement of a patch in one resampling, so that nothing is blurred twice."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scroll.config.schema import AugmentSettings
from scroll.data.labels import is_grey
from scroll.data.sample import Sample, Space

if TYPE_CHECKING:
    from scroll.data.augment.smooth_fields import SmoothField

LEAST_KNOTS_VOX = 24.0  # between two independent displacements
KNOTS_PER_SD = 8  # then slopes have a standard deviation of about 0.15, and 1, a fold, is out of reach
EDGE_VOX = 1e-3  # what float32 coordinates may err by; beyond the outermost voxels' centres nothing is known


@dataclass(frozen=True)
class Warp:
    """Where each voxel of the new patch comes from: turned and scaled about the centre, then displaced.

    Attributes:
        degrees: turn from y to x (in scroll space: about z).
        scale: size of things in the new patch over that in the old one.
        elastic_vox: standard deviation of the displacement.
        fields: smooth fields of variance 1, one for each moving axis; none: no displacement.
    """

    degrees: float
    scale: float
    elastic_vox: float = 0.0
    fields: "tuple[SmoothField, ...]" = ()

    @property
    def turn(self) -> tuple[np.float32, np.float32]:
        """Cosine and sine of the turn."""
        return np.float32(np.cos(np.deg2rad(self.degrees))), np.float32(np.sin(np.deg2rad(self.degrees)))

    @property
    def displacement_vox(self) -> NDArray[np.float32] | None:
        """(n, *moving axes) float32, one component per axis; None: no displacement."""
        if not self.fields:
            return None
        return np.stack([field.values for field in self.fields]) * np.float32(self.elastic_vox)


def draw_warp(rng: np.random.Generator, settings: AugmentSettings, space: Space, shape: tuple[int, ...]) -> Warp | None:
    """A warp for a patch of `shape` (L, Y, X), in its plane (all layers alike) or in scroll space; none where all is switched off,
    or by chance.
    """
    if not (settings.turn_degrees or settings.zoom or settings.elastic_vox) or not happens(rng, settings.warp_chance):
        return None
    degrees = settings.turn_degrees * rng.uniform(-1, 1)
    scale = 1 + settings.zoom * rng.uniform(-1, 1)
    if not settings.elastic_vox:
        return Warp(degrees, scale)
    from scroll.data.augment.smooth_fields import draw_field  # scipy's sparse matrices

    moving = shape[-space.moving_axes :]
    knots = (max(LEAST_KNOTS_VOX, KNOTS_PER_SD * settings.elastic_vox),) * len(moving)
    return Warp(degrees, scale, settings.elastic_vox, tuple(draw_field(rng, moving, knots) for _ in moving))


def happens(rng: np.random.Generator, chance: float) -> bool:
    """Whether something of this chance comes about; nothing is drawn for what always does."""
    return chance >= 1 or bool(rng.random() < chance)


def warped(sample: Sample, warp: Warp, space: Space) -> Sample:
    """The sample, its target of the type it had, through a warp: the image linearly, the label by the nearest voxel.

    A target with greys goes linearly too, as the weighted mean of what is known.
    What comes from outside the patch is 0 (the normalised middle) in the image, and ignored. An image of no layers stays one.
    """
    images = [sample.image] if sample.image.size else []
    marks = [] if sample.proposed is None else [sample.proposed]
    flags, is_soft, known = (
        [sample.target > 0.5, sample.ignore, *marks],
        is_grey(sample.target, sample.ignore),
        ~sample.ignore,
    )
    greys = [np.where(known, sample.target, 0), known] if is_soft else []
    if space is Space.SCROLL:
        values, (target, ignore, *moved), outside = _through_volume(warp, [*images, *greys], flags)
        image, warped_greys = values[0] if images else sample.image, values[len(images) :]
    else:
        image, warped_greys, (target, ignore, *moved), outside = _through_plane(warp, sample.image, greys, flags)
    ignore = ignore | outside
    if is_soft:
        target = np.clip(
            np.divide(warped_greys[0], warped_greys[1], out=np.zeros_like(warped_greys[0]), where=warped_greys[1] > 0),
            0,
            1,
        )
    if images:
        np.copyto(image, np.float32(0), where=outside)
    return replace(
        sample,
        image=image,
        target=np.where(outside, target.dtype.type(0), target).astype(sample.target.dtype),
        ignore=ignore,
        proposed=moved[0] & ~outside if moved else None,
    )


Seen = tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_]]


def _through_volume(warp: Warp, values: list[NDArray[Any]], flags: list[NDArray[np.bool_]]) -> Seen:
    """Of volumes (Z, Y, X): all values and all flags warped, one behind the other, and what comes from outside."""
    from scroll.data.augment.resample import seen_through  # numba's compiler, which takes a second to come

    z, y, x = (c / np.float32(warp.scale) for c in _centred(flags[0].shape))
    parts = [part.astype(np.float32, copy=False)[None] for part in values]
    channels = np.concatenate(parts) if parts[1:] else (parts or [np.empty((0, *flags[0].shape), np.float32)])[0]
    return seen_through(channels, np.stack(flags), (z, y, x), warp.turn, warp.displacement_vox, EDGE_VOX)


def _through_plane(
    warp: Warp, image: NDArray[np.float32], greys: list[NDArray[Any]], flags: list[NDArray[np.bool_]]
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_]]:
    """Of layers (..., Y, X) that all move alike: image, greys and flags warped, and what comes from outside (Y, X)."""
    # MONAI's Resample is this too, but importing it takes every worker about ten seconds
    import torch
    from torch.nn.functional import grid_sample

    moving = image.shape[-2:]
    places = _places(warp, moving)
    reach = [(length - 1) / 2 for length in moving]
    outside = np.any([np.abs(at) > r + EDGE_VOX for at, r in zip(places, reach, strict=True)], axis=0)
    # -1 and 1 are the outer faces of the outermost voxels
    units = [at * np.float32(2 / length) for at, length in zip(places, moving, strict=True)]
    grid = torch.from_numpy(np.stack(units[::-1], axis=-1))[None]  # (1, Y, X, 2), x first

    def resampled(array: NDArray[Any], mode: str) -> NDArray[np.float32]:
        channels = torch.from_numpy(np.ascontiguousarray(array, np.float32).reshape(1, -1, *moving))
        found = grid_sample(channels, grid, mode=mode, padding_mode="border", align_corners=False)
        return np.asarray(found.numpy()).reshape(array.shape)

    warped_greys = resampled(np.stack(greys), "bilinear") if greys else np.zeros(0, np.float32)
    return resampled(image, "bilinear"), warped_greys, resampled(np.stack(flags), "nearest") > 0.5, outside


def _centred(moving: tuple[int, ...]) -> list[NDArray[np.float32]]:
    return [np.arange(length, dtype=np.float32) - (length - 1) / 2 for length in moving]


def _places(warp: Warp, moving: tuple[int, ...]) -> list[NDArray[np.float32]]:
    """Where each pixel of the new plane comes from, in voxels from the centre: one array of shape `moving` per axis."""
    y, x = np.meshgrid(*(c / np.float32(warp.scale) for c in _centred(moving)), indexing="ij")
    cos, sin = warp.turn
    places = [cos * y - sin * x, sin * y + cos * x]
    displacement_vox = warp.displacement_vox
    if displacement_vox is None:
        return places
    return [at + away for at, away in zip(places, displacement_vox, strict=True)]

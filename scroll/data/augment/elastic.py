"""Turn, zoom and smooth displacement of a patch in one resampling, so that nothing is blurred twice."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scroll.config.schema import AugmentSettings
from scroll.data.labels import is_grey
from scroll.data.sample import Sample, Space

LEAST_KNOTS_VOX = 24.0  # between two independent displacements
KNOTS_PER_SD = 8  # then slopes have a standard deviation of about 0.15, and 1, a fold, is out of reach
EDGE_VOX = 1e-3  # what float32 coordinates may err by; beyond the outermost voxels' centres nothing is known


@dataclass(frozen=True)
class Warp:
    """Where each voxel of the new patch comes from: turned and scaled about the centre, then displaced.

    Attributes:
        degrees: turn from y to x (in scroll space: about z).
        scale: size of things in the new patch over that in the old one.
        displacement_vox: (n, *moving axes) float32, one component per axis; none: no displacement.
    """

    degrees: float
    scale: float
    displacement_vox: NDArray[np.float32] | None = None


def draw_warp(rng: np.random.Generator, settings: AugmentSettings, space: Space, shape: tuple[int, ...]) -> Warp | None:
    """A warp for a patch of `shape` (L, Y, X), in its plane (all layers alike) or in scroll space; none where all is switched off."""
    if not (settings.turn_degrees or settings.zoom or settings.elastic_vox):
        return None
    degrees = settings.turn_degrees * rng.uniform(-1, 1)
    scale = 1 + settings.zoom * rng.uniform(-1, 1)
    if not settings.elastic_vox:
        return Warp(degrees, scale)
    from scroll.data.augment.smooth_fields import smooth_noise

    moving = shape[-space.moving_axes :]
    knots = (max(LEAST_KNOTS_VOX, KNOTS_PER_SD * settings.elastic_vox),) * len(moving)
    noise = np.stack([smooth_noise(rng, moving, knots) for _ in moving])
    return Warp(degrees, scale, noise * np.float32(settings.elastic_vox))


def warped(sample: Sample, warp: Warp, space: Space) -> Sample:
    """The sample, its target of the type it had, through a warp: the image linearly, the label by the nearest voxel.

    A target with greys goes linearly too, as the weighted mean of what is known.
    What comes from outside the patch is 0 (the normalised middle) in the image, and ignored.
    """
    # MONAI's Resample is this too, but importing it takes every worker about ten seconds
    import torch
    from torch.nn.functional import grid_sample

    moving = sample.image.shape[-space.moving_axes :]
    places = _places(warp, moving)
    reach = [(length - 1) / 2 for length in moving]
    outside = np.any([np.abs(at) > r + EDGE_VOX for at, r in zip(places, reach, strict=True)], axis=0)
    # -1 and 1 are the outer faces of the outermost voxels
    units = [at * np.float32(2 / length) for at, length in zip(places, moving, strict=True)]
    grid = torch.from_numpy(np.stack(units[::-1], axis=-1))[None]  # (1, *moving, n), x first

    def resampled(array: NDArray[Any], mode: str) -> NDArray[np.float32]:
        channels = torch.from_numpy(np.ascontiguousarray(array, np.float32).reshape(1, -1, *moving))
        found = grid_sample(channels, grid, mode=mode, padding_mode="border", align_corners=False)
        return np.asarray(found.numpy()).reshape(array.shape)

    marks = [] if sample.proposed is None else [sample.proposed]
    target, ignore, *moved = resampled(np.stack([sample.target, sample.ignore, *marks]), "nearest") > 0.5
    ignore = ignore | outside
    if is_grey(sample.target, sample.ignore):
        known = ~sample.ignore
        said, weight = resampled(np.stack([np.where(known, sample.target, 0), known]), "bilinear")
        target = np.clip(np.divide(said, weight, out=np.zeros_like(said), where=weight > 0), 0, 1)
    return Sample(
        np.where(outside, np.float32(0), resampled(sample.image, "bilinear")),
        np.where(outside, target.dtype.type(0), target).astype(sample.target.dtype),
        ignore,
        moved[0] & ~outside if moved else None,
    )


def _places(warp: Warp, moving: tuple[int, ...]) -> list[NDArray[np.float32]]:
    """Where each voxel of the new patch comes from, in voxels from the centre: one array of shape `moving` per axis."""
    centred = [np.arange(length, dtype=np.float32) - (length - 1) / 2 for length in moving]
    *rest, y, x = np.meshgrid(*(c / np.float32(warp.scale) for c in centred), indexing="ij")
    cos, sin = (np.float32(f(np.deg2rad(warp.degrees))) for f in (np.cos, np.sin))
    places = [*rest, cos * y - sin * x, sin * y + cos * x]
    if warp.displacement_vox is None:
        return places
    return [at + away for at, away in zip(places, warp.displacement_vox, strict=True)]

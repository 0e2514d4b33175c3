"""Augmentation of a whole batch by torch, on whatever device it is: what was drawn for each patch, done to all of them together.

Every step is the one of `scroll.data.augment.augment`, in float32. Where a device adds up in another order values differ in their
last bits, and a label may where a place is midway between two voxels.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import accumulate
from math import inf

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from scroll.data.augment.draws import Changes, DepthMove, GreyChange, Move
from scroll.data.augment.elastic import EDGE_VOX, Warp
from scroll.data.augment.noise import Noise, normal_numbers
from scroll.data.intensity import FAR, GreyScale
from scroll.data.sample import Space

Seen = Callable[[Tensor, str], Tensor]  # (patches, how they are sampled) -> the same through their warps
TARGET, IGNORE, PROPOSED = 1, 2, 4  # bits of a label's codes


@dataclass(frozen=True)
class Source:
    """How a patch was cut.

    Attributes:
        grey_scale: what its grey values are to be normalised with; None: they are normalised.
        is_soft: whether its target has greys where it is known.
        has_proposed: whether it says what of its label is proposed.
    """

    grey_scale: GreyScale | None
    is_soft: bool
    has_proposed: bool


@dataclass(frozen=True)
class Cuts:
    """Patches as they were cut, those of one training patch one behind the other, on one device.

    Attributes:
        image: (P, L, Y, X), L layers or channels; float32 once it is normalised.
        codes: (P, Y, X) or (P, L, Y, X) uint8, target, ignore mask and what is proposed as bits; None: labels are done with.
        shares: float32, as the codes: targets that are not bool; None: they are.
    """

    image: Tensor
    codes: Tensor | None
    shares: Tensor | None

    def each(self, change: Callable[[Tensor], Tensor]) -> "Cuts":
        """The same change of all of them."""
        codes = None if self.codes is None else change(self.codes)
        return Cuts(change(self.image), codes, None if self.shares is None else change(self.shares))

    def put(self, index: Tensor, others: "Cuts") -> None:
        """Let others take the place of those that are numbered."""
        for mine, other in ((self.image, others.image), (self.codes, others.codes), (self.shares, others.shares)):
            if mine is not None and other is not None:
                mine.index_copy_(0, index, other)


@dataclass(frozen=True)
class Augmented:
    """Training patches: image (B, L, Y, X) float32, target, ignore mask and what is proposed; no labels where those are done with."""

    image: Tensor
    target: Tensor | None = None
    ignore: Tensor | None = None
    proposed: Tensor | None = None


@torch.no_grad()
def augmented_batch(cuts: Cuts, sources: Sequence[Source], changes: Sequence[Changes], space: Space) -> Augmented:
    """Training patches made of patches as they were cut; `changes` are those of each training patch, in the order of the patches."""
    moves = [move for one in changes for move in one.moves]
    image = _normalised(cuts.image, [source.grey_scale for source in sources])
    cuts = replace(cuts, image=image).each(lambda part: _mirrored(part, moves))
    warps = {n: move.warp for n, move in enumerate(moves) if move.warp is not None}
    are_soft = [sources[n].is_soft for n in warps]
    if len(warps) == len(moves):
        cuts = _warped(cuts, [*warps.values()], are_soft, space)
    elif warps:
        index = _sent([*warps], image.device)
        some = cuts.each(lambda part: part.index_select(0, index))
        cuts.put(index, _warped(some, [*warps.values()], are_soft, space))
    for n, move in enumerate(moves):
        if move.depth is not None:
            _move_through_depth(cuts, n, move.depth)
    batch = _put_together(_labelled(cuts, sources, changes[0].has_shares), changes)
    return replace(batch, image=_with_grey_changes(batch.image, [one.grey for one in changes], space))


def _sent(figures: Sequence[object], device: torch.device, dtype: torch.dtype | None = None) -> Tensor:
    """Figures as a tensor on the device, without waiting for what it still computes."""
    return torch.tensor(figures, dtype=dtype).to(device, non_blocking=True)


def _normalised(image: Tensor, scales: Sequence[GreyScale | None]) -> Tensor:
    """(P, L, Y, X) float32 in spreads from the median, as `robust_z_score`; what is normalised already stays as it is."""
    values = image.float()
    if not any(scales):
        return values
    figures = [(*scale, FAR) if scale else (0.0, 1.0, inf) for scale in scales]
    middle, spread, far = _sent(figures, image.device, torch.float32).T[..., None, None, None]
    values = (values - middle) / spread
    return torch.minimum(torch.maximum(values, -far), far)


def _mirrored(part: Tensor, moves: Sequence[Move]) -> Tensor:
    """Each patch (..., Y, X) through its symmetry, as `Symmetry.apply` does it; a copy."""
    symmetries = [move.symmetry for move in moves]
    seen = [torch.flip(one, symmetry.mirrored_axes) for one, symmetry in zip(part, symmetries, strict=True)]
    return torch.stack([torch.rot90(one, s.quarter_turns, (-2, -1)) for one, s in zip(seen, symmetries, strict=True)])


def _warped(cuts: Cuts, warps: Sequence[Warp], is_soft: Sequence[bool], space: Space) -> Cuts:
    """Patches through one warp each, as `warped` does it."""
    device, moving = cuts.image.device, tuple(cuts.image.shape[-space.moving_axes :])
    places = _places(warps, moving, device)
    reaches = [(length - 1) / 2 + EDGE_VOX for length in moving]
    outside = torch.stack([at.abs() > reach for at, reach in zip(places, reaches, strict=True)]).any(0)  # (P, *moving)
    # -1 and 1 are the outer faces of the outermost voxels
    units = [at * (2 / length) for at, length in zip(places, moving, strict=True)]
    grid = torch.stack(units[::-1], dim=-1)  # (P, *moving, 2 or 3), x first

    def seen(part: Tensor, mode: str) -> Tensor:
        has_channels = space is not Space.SCROLL and part.ndim == 4
        channels = part.float() if has_channels else part.float()[:, None]
        return grid_sample(channels, grid, mode=mode, padding_mode="border", align_corners=False).view(part.shape)

    def without_outside(part: Tensor, value: int) -> Tensor:
        return part.masked_fill(outside if part.ndim == outside.ndim else outside[:, None], value)

    image, shares = without_outside(seen(cuts.image, "bilinear"), 0), cuts.shares
    if cuts.codes is None:
        return Cuts(image, None, None)
    codes = seen(cuts.codes, "nearest").to(torch.uint8)
    if shares is not None:
        shares = without_outside(_warped_shares(cuts, codes, is_soft, seen), 0)
    return Cuts(image, without_outside(codes, IGNORE), shares)


def _warped_shares(cuts: Cuts, codes: Tensor, is_soft: Sequence[bool], seen: Seen) -> Tensor:
    """Targets that are shares: with greys the weighted mean of what is known, else yes or no as the warped `codes` say."""
    hard = (codes & TARGET).float()
    if cuts.shares is None or cuts.codes is None or not any(is_soft):
        return hard
    known = (cuts.codes & IGNORE) == 0
    shares, weight = seen(torch.where(known, cuts.shares, 0), "bilinear"), seen(known, "bilinear")
    mean = torch.where(weight > 0, shares / weight, 0).clamp(0, 1)
    soft = _sent(is_soft, hard.device).view(-1, *[1] * (hard.ndim - 1))
    return torch.where(soft, mean, hard)


def _places(warps: Sequence[Warp], moving: tuple[int, ...], device: torch.device) -> list[Tensor]:
    """Where each voxel comes from, in voxels from the centre: one (P, *moving) per axis."""
    figures = _sent([(*w.turn, w.scale) for w in warps], device, torch.float32)
    cos, sin, scale = figures.T.reshape(3, -1, *[1] * len(moving))
    lines = []
    for axis, length in enumerate(moving):
        line = torch.arange(length, dtype=torch.float32, device=device) - (length - 1) / 2
        lines.append(line.view(-1, *[1] * (len(moving) - 1 - axis)) / scale)
    *z, y, x = lines
    places = [at.expand(len(warps), *moving) for at in (*z, cos * y - sin * x, sin * y + cos * x)]
    if not warps[0].fields:
        return places
    return [at + away for at, away in zip(places, _displacements_vox(warps, device).unbind(1), strict=True)]


def _displacements_vox(warps: Sequence[Warp], device: torch.device) -> Tensor:
    """(P, n, *moving), the smooth fields of each warp, summed as the sparse products of `SmoothField` are."""
    fields = [field for warp in warps for field in warp.fields]
    sizes = np.max([field.lattice.shape for field in fields], axis=0)
    lattices = np.zeros((len(fields), *sizes), np.float32)
    for lattice, field in zip(lattices, fields, strict=True):
        lattice[tuple(slice(n) for n in field.lattice.shape)] = field.lattice
    values = torch.from_numpy(lattices).to(device, non_blocking=True)
    for axis in reversed(range(len(sizes))):
        splines = [field.splines[axis] for field in fields]
        first = torch.from_numpy(np.stack([spline.first for spline in splines])).to(device, non_blocking=True)
        weights = torch.from_numpy(np.stack([spline.weights for spline in splines])).to(device, non_blocking=True)
        along = (len(fields), *(first.shape[1] if n == axis else 1 for n in range(len(sizes))))
        size = (*values.shape[: axis + 1], first.shape[1], *values.shape[axis + 2 :])
        values = sum(  # type: ignore[assignment]
            weights[..., k].reshape(along) * values.gather(axis + 1, (first + k).reshape(along).expand(size))
            for k in range(4)
        )
    by = _sent([warp.elastic_vox for warp in warps], device, torch.float32)
    shape = values.shape[1:]
    return values.view(len(warps), -1, *shape) * by.view(-1, *[1] * (len(shape) + 1))


def _move_through_depth(cuts: Cuts, n: int, move: DepthMove) -> None:
    """Give patch n a run of its layers at another depth, as `depth_moved` does it."""
    has_layers = cuts.codes is not None and cuts.codes.ndim == 4
    parts = ((cuts.image, 0), (cuts.codes, IGNORE), (cuts.shares, 0)) if has_layers else ((cuts.image, 0),)
    for part, blank in parts:
        if part is not None:
            run = part[n, move.source : move.source + move.layers].clone()
            part[n] = blank
            part[n, move.goal : move.goal + move.layers] = run


def _labelled(cuts: Cuts, sources: Sequence[Source], has_shares: bool) -> Augmented:
    """The patches with their labels taken apart."""
    codes, target = cuts.codes, cuts.shares
    if codes is None:
        return Augmented(cuts.image)
    if target is None:
        target = (codes & TARGET).float() if has_shares else (codes & TARGET).bool()
    proposed = (codes & PROPOSED).bool() if any(source.has_proposed for source in sources) else None
    return Augmented(cuts.image, target, (codes & IGNORE).bool(), proposed)


def _put_together(cuts: Augmented, changes: Sequence[Changes]) -> Augmented:
    """Training patches, mixed and pasted of one to three patches each, as `mixed` and `pasted` do it."""
    starts = [0, *accumulate(len(one.moves) for one in changes)]
    parts = (cuts.image, cuts.target, cuts.ignore, cuts.proposed)
    for first, end, one in zip(starts, starts[1:], changes, strict=False):
        for part in (part for part in parts if part is not None):
            if one.share is not None:
                other = part[first + 1]
                part[first] = (
                    part[first] | other
                    if other.dtype == torch.bool
                    else one.share * part[first] + (1 - one.share) * other
                )
            if one.box is not None:
                part[first][one.box] = part[end - 1][one.box]
    if len(changes) == starts[-1]:
        return cuts
    firsts = _sent(starts[:-1], cuts.image.device)
    labels = (None if part is None else part.index_select(0, firsts) for part in parts[1:])
    return Augmented(cuts.image.index_select(0, firsts), *labels)


def _with_grey_changes(image: Tensor, greys: Sequence[GreyChange], space: Space) -> Tensor:
    """Images (B, L, Y, X) with their grey values changed, as `with_grey_change` does it."""
    figures = _sent([(grey.contrast, grey.brightness) for grey in greys], image.device, torch.float32)
    contrast, brightness = figures.T[..., None, None, None]
    image = image * contrast + brightness
    sigmas_vox = {n: grey.blur_vox for n, grey in enumerate(greys) if grey.blur_vox}
    image = _with_some_changed(image, [*sigmas_vox], lambda some: _blurred(some, [*sigmas_vox.values()], space))
    noises = {n: grey.noise for n, grey in enumerate(greys) if grey.noise is not None}
    image = _with_some_changed(image, [*noises], lambda some: some + noise_of([*noises.values()], some))
    for one, grey in zip(image, greys, strict=True):
        for layer in grey.blank_layers:
            one[layer] = 0
        if grey.blank_yx is not None:
            one[(slice(None), *grey.blank_yx)] = 0
    return image


def _with_some_changed(image: Tensor, numbers: list[int], change: Callable[[Tensor], Tensor]) -> Tensor:
    """Images (B, ...), those of these numbers changed; in place, where that is not all of them."""
    if len(numbers) == len(image):
        return change(image)
    if numbers:
        index = _sent(numbers, image.device)
        image.index_copy_(0, index, change(image.index_select(0, index)))
    return image


def noise_of(noises: Sequence[Noise], images: Tensor) -> Tensor:
    """Noise for each of some images (B, L, Y, X): what `Noise.values` gives, where the images are."""
    numbers, shape = _normal_numbers(images.device), images.shape[1:]
    starts, sds = (_sent([getattr(noise, name) for noise in noises], images.device) for name in ("start", "sd"))
    places = (starts[:, None] + torch.arange(shape.numel(), device=images.device)) % len(numbers)
    return numbers[places].reshape(-1, *shape) * sds.float()[:, None, None, None]


@cache
def _normal_numbers(device: torch.device) -> Tensor:
    return torch.from_numpy(normal_numbers()).to(device)


def _blurred(image: Tensor, sigmas_vox: Sequence[float], space: Space) -> Tensor:
    """Images (B, L, Y, X) through a Gaussian each, the border repeated; sums from the outermost voxel inwards, as `gaussian` has them."""
    from scroll.runtime.gaussian import half_kernel  # numba's compiler, which takes a second to come

    kernels = [half_kernel(sigma) for sigma in sigmas_vox]
    reach = max(len(kernel) for kernel in kernels) - 1
    padded = np.stack([np.pad(kernel, (0, reach + 1 - len(kernel))) for kernel in kernels]).astype(np.float32)
    weights = (
        torch.from_numpy(padded).to(image.device, non_blocking=True).T[..., None, None, None]
    )  # (reach + 1, B, 1, 1, 1)
    for axis in (2, 3) if space is Space.STACK else (1, 2, 3):
        length = image.shape[axis]
        places = torch.arange(-reach, length + reach, device=image.device).clamp(0, length - 1)
        wide = image.index_select(axis, places)
        image = image * weights[0]
        for off in range(reach, 0, -1):
            before, after = wide.narrow(axis, reach - off, length), wide.narrow(axis, reach + off, length)
            image += (before + after) * weights[off]
    return image

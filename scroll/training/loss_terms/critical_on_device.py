"""Critical mistakes on the device of the network: what `critical_components` finds, voxel for voxel, without a way through the CPU."""

import torch
from torch import Tensor

ALL, FACES = 26, 6  # neighbours, as in `critical_components`
NONE = torch.iinfo(torch.int32).max


def critical_mistakes_of(predicted: Tensor, truth: Tensor, ignore: Tensor) -> Tensor:
    """The critical ones among the wrong voxels of predictions, all (B, Z, Y, X) bool; see `critical_mistakes`.

    One patch after the other, so that what it takes besides, some 100 bytes a voxel, is that of one.
    """
    return torch.stack([_of_patch(*patch) for patch in zip(predicted, truth, ignore, strict=True)])


def _of_patch(predicted: Tensor, truth: Tensor, ignore: Tensor) -> Tensor:
    """Missed and false ones side by side, (2, Z, Y, X), for they are asked the same."""
    mistakes = torch.stack([truth & ~predicted, predicted & ~truth]) & ~ignore
    foreground, background = torch.stack([truth & predicted, truth]), torch.stack([~truth, ~truth & ~predicted])
    around = pieces(foreground | ignore, ALL)
    behind = pieces(background | ignore, FACES).masked_fill(ignore, 0)
    around = around.masked_fill(ignore, 0)
    wrong = mistakes.flatten().nonzero()[:, 0]
    number, count = torch.unique(pieces(mistakes, ALL).flatten()[wrong], return_inverse=True)[1], len(wrong)
    is_one = [_touches(parts, near, wrong, number, count) for parts, near in ((around, ALL), (behind, FACES))]
    touches_unknown = torch.zeros(count, dtype=torch.bool, device=truth.device)
    at_unknown = _highest_beside(ignore.expand_as(mistakes).to(torch.uint8), ALL).flatten()[wrong] > 0
    touches_unknown[number[at_unknown]] = True
    several, none = is_one[0][0] | is_one[1][0], is_one[0][1] | is_one[1][1]
    blamed = several | (none & ~touches_unknown)
    critical = torch.zeros(mistakes.numel(), dtype=torch.bool, device=truth.device)
    critical[wrong] = blamed[number]
    return critical.view(mistakes.shape).any(0)


def _touches(parts: Tensor, near: int, wrong: Tensor, number: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Of each component of mistakes, (count,): whether it touches several of the numbered parts, and whether it touches none."""
    highest = _highest_beside(parts, near).flatten()[wrong]
    lowest = -_highest_beside(torch.where(parts > 0, -parts, -NONE), near).flatten()[wrong]
    most = torch.zeros(count, dtype=parts.dtype, device=parts.device).scatter_reduce_(0, number, highest, "amax")
    least = torch.full_like(most, NONE).scatter_reduce_(0, number, lowest, "amin")
    return (most > 0) & (least < most), most == 0


def pieces(mask: Tensor, near: int) -> Tensor:
    """Connected components of masks (N, Z, Y, X) by faces alone or by corners too: a number for each, from 1, 0 outside; int32.

    Numbers are those of a voxel and have gaps. Every voxel takes over the highest number beside it, and with it goes all that
    took over its own: Zhang, Azad and Hu 2020, "FastSV: a distributed-memory connected component algorithm".
    """
    inside = mask.flatten()
    parents = torch.arange(mask.numel(), dtype=torch.int32, device=mask.device)
    while True:
        own = parents[parents]
        beside = _highest_beside(own.masked_fill(~inside, -1).view(mask.shape), near).flatten()
        beside = torch.where(inside, beside, own)
        more = (beside > own).nonzero()[:, 0]
        if not len(more):
            return (own + 1).masked_fill(~inside, 0).view(mask.shape)
        parents.scatter_reduce_(0, parents[more].long(), beside[more], "amax")
        parents = torch.maximum(torch.maximum(parents, own), beside)


def _highest_beside(values: Tensor, near: int) -> Tensor:
    """The highest of each voxel and those beside it, of volumes (N, Z, Y, X); nothing is beyond the border."""
    found = values.clone()
    for axis in range(1, 4):
        before = found.clone() if near == ALL else values  # by corners: of what is the highest along the axes so far
        length = values.shape[axis] - 1
        ahead, behind = found.narrow(axis, 0, length), found.narrow(axis, 1, length)
        torch.maximum(ahead, before.narrow(axis, 1, length), out=ahead)
        torch.maximum(behind, before.narrow(axis, 0, length), out=behind)
    return found

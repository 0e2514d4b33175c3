"""Weighted sums of windows that overlap, row of windows by row of windows, in this machine's memory or in that of the device."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scroll.errors import InputError
from scroll.runtime.compiled import njit

Floats = NDArray[np.float32]
Corner = tuple[int, ...]
DEVICE_SHARE = 4  # sums take at most a quarter of what is free there


class WindowSums(ABC):
    """Sums of as many rows as a window has, from row `first_row` of the space on; rows move on, none comes back.

    Both ways do the same float32 operations in the same order, and so give the same bits.
    """

    def __init__(self, first_row: int) -> None:
        self.first_row = first_row

    @abstractmethod
    def begin_at(self, row: int) -> None:
        """Forget the rows above `row`."""

    @abstractmethod
    def add(self, corners: Sequence[Corner], scores: Tensor) -> None:
        """Add windows, scores (B, K, *patch), whose row is `first_row`.

        Raises:
            InputError: a score is NaN or infinite. Said now, or when rows are asked for.
        """

    @abstractmethod
    def mean(self, first: int, end: int) -> tuple[Floats, NDArray[np.bool_] | None]:
        """Of rows [first, end): weighted mean (K, *space with these rows), and where a window was, (*space with these rows).

        The mean is 0 where none was; None: there was one everywhere.
        """


def sums_of(scores: Tensor, space: tuple[int, ...], weight: Floats, first_row: int) -> WindowSums:
    """Empty sums for windows that score (B, K, *patch): on their device where that is a GPU with room for them.

    space: (Z, rows of a window, X) or (rows, X); weight: of each voxel of a window, (*patch).
    """
    channels = scores.shape[1]
    if scores.is_cuda:
        free_bytes, _ = torch.cuda.mem_get_info(scores.device)
        if 4 * (channels + 1) * int(np.prod(space)) < free_bytes // DEVICE_SHARE:
            return DeviceSums(channels, space, weight, first_row, scores.device)
    return HostSums(channels, space, weight, first_row)


class HostSums(WindowSums):
    """In this machine's memory, one compiled pass a window. Row y of the space is in row y % rows, so that none is moved."""

    def __init__(self, channels: int, space: tuple[int, ...], weight: Floats, first_row: int) -> None:
        super().__init__(first_row)
        self.space = space
        rows, width = space[-2:]
        depth = int(np.prod(space[:-2]))
        self.weight = weight.reshape(-1, *weight.shape[-2:])
        self.sums = np.zeros((channels, depth, rows, width), np.float32)
        self.weights = np.zeros((depth, rows, width), np.float32)

    def begin_at(self, row: int) -> None:
        """Forget the rows above `row`."""
        rows = self.space[-2]
        for gone in range(self.first_row, min(row, self.first_row + rows)):
            self.sums[:, :, gone % rows] = 0
            self.weights[:, gone % rows] = 0
        self.first_row = row

    def add(self, corners: Sequence[Corner], scores: Tensor) -> None:
        """Add windows; one that is not finite is named at once."""
        values = scores.cpu().numpy()
        for corner, score in zip(corners, values, strict=True):
            added = np.ascontiguousarray(score).reshape(len(score), *self.weight.shape)
            first_z = corner[0] if len(corner) == 3 else 0
            if not _add(self.sums, self.weights, added, self.weight, (first_z, self.first_row, corner[-1])):
                raise _not_finite(corner)

    def mean(self, first: int, end: int) -> tuple[Floats, NDArray[np.bool_] | None]:
        """Of rows [first, end), in one compiled pass."""
        depth, _, width = self.weights.shape
        mean = np.empty((len(self.sums), depth, end - first, width), np.float32)
        unseen = _mean(self.sums, self.weights, first, mean)
        space = (*self.space[:-2], end - first, width)
        seen = self.weights[:, np.arange(first, end) % self.space[-2]].reshape(space) > 0 if unseen else None
        return mean.reshape(len(mean), *space), seen


class DeviceSums(WindowSums):
    """On the device of the networks: a window's scores stay there, only finished rows are fetched."""

    def __init__(
        self, channels: int, space: tuple[int, ...], weight: Floats, first_row: int, device: torch.device
    ) -> None:
        super().__init__(first_row)
        self.weight = torch.from_numpy(weight).to(device)
        self.sums = torch.zeros((channels, *space), device=device)
        self.weights = torch.zeros(space, device=device)
        self._odd: list[tuple[Corner, Tensor]] = []  # of each window added, whether a score is not finite

    def begin_at(self, row: int) -> None:
        """Forget the rows above `row`."""
        gone = min(row - self.first_row, self.weights.shape[-2])
        if gone:
            for kept in (self.sums, self.weights):
                kept.copy_(kept.roll(-gone, -2))
                kept[..., kept.shape[-2] - gone :, :] = 0
        self.first_row = row

    @torch.inference_mode()
    def add(self, corners: Sequence[Corner], scores: Tensor) -> None:
        """Add windows; whether they are finite is looked at when rows are fetched, so that nothing waits."""
        for corner, score in zip(corners, scores, strict=True):
            depth, width = self.weight.shape[0], self.weight.shape[-1]
            across = slice(corner[-1], corner[-1] + width)
            box = (slice(corner[0], corner[0] + depth), slice(None), across) if len(corner) == 3 else (..., across)
            self.sums[:, *box] += score * self.weight
            self.weights[box] += self.weight
            self._odd.append((corner, ~torch.isfinite(score).all()))

    def mean(self, first: int, end: int) -> tuple[Floats, NDArray[np.bool_] | None]:
        """Of rows [first, end), divided here.

        Raises:
            InputError: a score of a window added so far is NaN or infinite.
        """
        if self._odd:
            is_odd = torch.stack([odd for _, odd in self._odd]).cpu().numpy()
            if is_odd.any():
                raise _not_finite(self._odd[int(is_odd.argmax())][0])
            self._odd.clear()
        rows = slice(first - self.first_row, end - self.first_row)
        sums, weights = (kept[..., rows, :].cpu().numpy() for kept in (self.sums, self.weights))
        seen = weights > 0
        mean = np.divide(sums, weights, out=np.zeros_like(sums), where=seen)
        return mean, None if seen.all() else seen


def _not_finite(corner: Corner) -> InputError:
    return InputError(
        f"the network gave NaN or infinity for the window at {corner}; predict with training.precision fp32 or bf16"
    )


@njit(cache=True, nogil=True)
def _add(sums: Floats, weights: Floats, score: Floats, weight: Floats, first: tuple[int, int, int]) -> bool:
    """Add `score * weight` to `sums` and `weight` to `weights` from `first` (z, row of the space, x) on; whether all is finite."""
    depth, height, width = weight.shape
    first_z, first_y, first_x = first
    odd = 0
    for z in range(depth):
        for y in range(height):
            row, at = weight[z, y], (first_y + y) % sums.shape[2]
            for k in range(score.shape[0]):
                total, added = sums[k, first_z + z, at, first_x : first_x + width], score[k, z, y]
                for x in range(width):
                    total[x] += added[x] * row[x]
                for x in range(width):  # 0 of a number; NaN of NaN and of infinity
                    odd += added[x] - added[x] != 0
            count = weights[first_z + z, at, first_x : first_x + width]
            for x in range(width):
                count[x] += row[x]
    return odd == 0


@njit(cache=True, nogil=True)
def _mean(sums: Floats, weights: Floats, first_y: int, mean: Floats) -> int:
    """Fill `mean` (K, Z, rows, X) with rows from `first_y` of the space on, 0 where no weight is; how many voxels have none."""
    channels, depth, height, width = mean.shape
    unseen = 0
    for z in range(depth):
        for y in range(height):
            at = (first_y + y) % sums.shape[2]
            count = weights[z, at]
            for x in range(width):
                unseen += count[x] == 0
            for k in range(channels):
                total, row = sums[k, z, at], mean[k, z, y]
                for x in range(width):
                    row[x] = total[x] / count[x] if count[x] > 0 else np.float32(0)
    return unseen

"""Windows that neighbouring boxes share, computed once: for boxes that follow one another and overlap."""

from collections.abc import Callable, Iterator, Sequence
from itertools import product

import torch
from torch import Tensor

from scroll.inference.sliding_window import Corner, Forward, ReadTensor, Sweep, blend_box, window_scores, windows_about
from scroll.volumes.lru import LruCache

LIMIT_BYTES = 2 * 2**30
IsSeen = Callable[[Sequence[int], Sequence[int]], bool]  # corner, size of a window -> whether a voxel in it matters


class RememberedWindows:
    """Boxes of one prediction, as `sliding_window.predict_box` gives them, to the bit; keeps the scores of the windows last used.

    At most `limit_bytes` of scores are kept between two boxes, where the networks are. `computed` counts the windows that
    the networks looked at, `distinct` the different ones among them: what is the least for these boxes.
    """

    def __init__(self, sweep: Sweep, forward: Forward, limit_bytes: int = LIMIT_BYTES) -> None:
        self.sweep, self.forward = sweep, forward
        self.computed = 0
        self._ever: set[Corner] = set()
        self._kept: LruCache[Tensor] = LruCache(limit_bytes, _bytes)

    @property
    def distinct(self) -> int:
        """How many different windows were looked at."""
        return len(self._ever)

    @torch.inference_mode()
    def predict_box(self, read: ReadTensor, corner: Corner, size: tuple[int, ...], is_seen: IsSeen) -> Tensor:
        """Probabilities (K, *size), float32; of the windows that touch the box only those that are seen are looked at.

        So a voxel's value is right where every window that touches it is seen. Memory: the box, and the limit.

        Raises:
            InputError: a score is NaN or infinite, or no window is seen.
        """
        about = product(*windows_about(self.sweep, corner, size))
        return blend_box(
            self.sweep, self._scored([one for one in about if is_seen(one, self.sweep.patch)], read), corner, size
        )

    def _scored(self, corners: Sequence[Corner], read: ReadTensor) -> Iterator[tuple[Corner, Tensor]]:
        """Every window with its score, kept or computed now, in their order."""
        known = {one: score for one in corners if (score := self._kept.peek(one)) is not None}
        missing = [one for one in corners if one not in known]
        self.computed += len(missing)
        self._ever.update(missing)
        fresh = window_scores(self.sweep, read, self.forward, missing)
        for one in corners:
            score = known.pop(one, None)
            if score is None:
                score = next(fresh)[1].clone()  # a score is a view of its batch, which must not be kept for it
            yield one, self._kept.get(one, lambda score=score: score)  # type: ignore[misc]


def _bytes(score: Tensor) -> int:
    return score.numel() * score.element_size()

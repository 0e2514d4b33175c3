"""What every term of a loss looks at: logits and label of a batch, blind where nobody knows."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor


@dataclass(frozen=True)
class Voxels:
    """A batch as the terms see it, (B, Y, X) or (B, Z, Y, X); made by `seen`.

    Attributes:
        logits: float32, 0 where unknown, with no gradient to what was there.
        target: float32, 0 to 1; it may lie between (soft labels, mixup).
        known: float32, 1 or 0.
        skeleton: bool, the label's skeleton, where the batch holds one.
        label_smoothing: s; BCE alone wants s / 2 and 1 - s / 2.
    """

    logits: Tensor
    target: Tensor
    known: Tensor
    skeleton: Tensor | None = None
    label_smoothing: float = 0.0

    @cached_property
    def prob(self) -> Tensor:
        """Probability of ink, 0 where unknown."""
        return torch.sigmoid(self.logits) * self.known

    @cached_property
    def wanted(self) -> Tensor:
        """The target, 0 where unknown."""
        return self.target * self.known

    @cached_property
    def known_count(self) -> Tensor:
        """Number of known voxels, at least 1."""
        return self.known.sum().clamp(min=1)


def seen(logits: Tensor, batch: Mapping[str, Tensor], label_smoothing: float = 0.0) -> Voxels:
    """Logits beside a batch's "target" (bool, or float 0 to 1), "ignore" (bool) and "skeleton" (bool, if there), all of one shape.

    All is summed in float32: float16 cannot count the voxels of a patch.
    """
    ignore = batch["ignore"]
    # masked here, once: multiplied by 0 later, an infinite logit would still make the loss or its gradient NaN
    logits = logits.float().masked_fill(ignore, 0.0)
    return Voxels(logits, batch["target"].float(), (~ignore).float(), batch.get("skeleton"), label_smoothing)

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
        weight: float32, how much each counts: `known` itself, but less where the label is proposed.
        skeleton: bool, the label's skeleton, where the batch holds one.
        label_smoothing: s; BCE alone wants s / 2 and 1 - s / 2.
    """

    logits: Tensor
    target: Tensor
    known: Tensor
    weight: Tensor
    skeleton: Tensor | None = None
    label_smoothing: float = 0.0

    @cached_property
    def prob(self) -> Tensor:
        """Probability of ink, 0 where unknown."""
        return torch.sigmoid(self.logits) * self.known

    @cached_property
    def known_target(self) -> Tensor:
        """The target, 0 where unknown."""
        return self.target * self.known

    @cached_property
    def total_weight(self) -> Tensor:
        """Number of known voxels, each counted by its weight, at least 1."""
        return self.weight.sum().clamp(min=1)

    def weighed(self, values: Tensor) -> Tensor:
        """Something of each voxel that is 0 where unknown, times its weight."""
        return values if self.weight is self.known else values * self.weight


def seen(
    logits: Tensor, batch: Mapping[str, Tensor], label_smoothing: float = 0.0, proposed_weight: float = 1.0
) -> Voxels:
    """Logits beside a batch's "target" (bool, or float 0 to 1), "ignore" (bool) and, if there, "skeleton" and "proposed" (bool).

    All are of one shape. What is proposed counts `proposed_weight`, 0 to 1; of weight 0 it is unknown. All is summed in float32: float16
    cannot count the voxels of a patch.
    """
    ignore, proposed = batch["ignore"], batch.get("proposed")
    if proposed is not None and not proposed_weight:
        ignore, proposed = ignore | proposed, None
    # masked here, once: multiplied by 0 later, an infinite logit would still make the loss or its gradient NaN
    logits = logits.float().masked_fill(ignore, 0.0)
    known = (~ignore).float()
    weight = known if proposed is None else known.masked_fill(proposed & ~ignore, proposed_weight)
    return Voxels(logits, batch["target"].float(), known, weight, batch.get("skeleton"), label_smoothing)

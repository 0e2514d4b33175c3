"""Networks that see a window of layers and return one map of the sheet, fitted to all that works on voxels.

The map is brought to the size of the CT by bilinear interpolation and said of every layer alike, so that pooling over depth,
windows, flattening and the planner treat such a network as any other: whatever the pooling, it gives the map back. Every window
must then show the network the same layers: a patch is best as deep as `data.depth`.
"""

from abc import ABC, abstractmethod

from torch import Tensor, nn
from torch.nn import functional


class OverDepth(nn.Module, ABC):
    """A network of `sheet_map`. One inherits from it, so that no further name stands before those of its tensors."""

    @abstractmethod
    def sheet_map(self, ct: Tensor) -> Tensor:
        """(B, 1, Z, Y, X) CT -> logits of the sheet, (B, 1, y, x), as coarse as the network makes them."""

    def forward(self, ct: Tensor) -> Tensor:
        """(B, 1, Z, Y, X) CT -> (B, 1, Z, Y, X) logits, the same in each layer."""
        logits = self.sheet_map(ct)
        if logits.shape[-2:] != ct.shape[-2:]:
            logits = functional.interpolate(logits, size=ct.shape[-2:], mode="bilinear", align_corners=False)
        return logits.unsqueeze(2).expand(-1, -1, ct.shape[2], -1, -1)

"""A network for patches that are not legal for it: mirrored edges in, the middle out."""

from torch import Tensor, nn
from torch.nn import functional


class Padded(nn.Module):
    """Pads (B, C, Z, Y, X) to `size` by repeating the outermost voxels, runs `network`, and cuts the padding off again."""

    def __init__(self, network: nn.Module, size: tuple[int, int, int]) -> None:
        super().__init__()
        self.network = network
        self.size = size

    def forward(self, ct: Tensor) -> "Tensor | list[Tensor]":
        """(B, C, Z, Y, X) -> (B, K, Z, Y, X), or a list of such, for any patch no larger than `size`."""
        short = [want - have for want, have in zip(self.size, ct.shape[-3:], strict=True)]
        before = [s // 2 for s in short]
        pads = [p for s, b in zip(reversed(short), reversed(before), strict=True) for p in (b, s - b)]
        scores: Tensor | list[Tensor] = self.network(functional.pad(ct, pads, mode="replicate"))
        z, y, x = (slice(b, b + n) for b, n in zip(before, ct.shape[-3:], strict=True))
        if isinstance(scores, list):  # of several levels, see deep_supervision.py
            return [level[..., z, y, x] for level in scores]
        return scores[..., z, y, x]

"""torch.compile, tried before it is trusted: networks that predict are compiled where that works and says the same."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

Found = TypeVar("Found")
ALIKE = {
    torch.float32: 1e-3,
    torch.bfloat16: 0.1,
    torch.float16: 0.02,
}  # share of the largest score by which two may differ
MOST_NETWORKS = 64  # compiled in one process; torch's own limit is 8, and what is above it runs as it is, silently


class Compiled(nn.Module):
    """A network that torch has compiled. torch passes over the forward of its own containers, but not over this one."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.compile(dynamic=False)

    def forward(self, *inputs: Any) -> Any:
        """As the network's."""
        return self.network(*inputs)


def begin_afresh() -> None:
    """Forget what was compiled in this process: it would count against torch's limits."""
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()


def tried(run: Callable[[], Found], label: str, instead: str) -> Found | None:
    """What `run`, which compiles, gives; None where it fails or nothing was compiled since `begin_afresh`, and one line that says so.

    Compiling is lazy: without the trial a network that the compiler cannot take would fail in the middle of the work.
    """
    try:
        with torch._dynamo.config.patch(recompile_limit=MOST_NETWORKS):
            found = run()
        if not torch._dynamo.utils.counters["stats"]["unique_graphs"]:
            raise RuntimeError("it found nothing to compile")
    except Exception as error:  # noqa: BLE001 - whatever the compiler says, the work goes on without it
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        print(f"{label}: torch.compile does not work here ({reason}); {instead}")
        return None
    return found


def compiled_if_alike(networks: Sequence[nn.Module], batch_size: int) -> "list[CompiledIfAlike]":
    """Networks of one shape, which share what is compiled for the first of them."""
    begin_afresh()
    return [CompiledIfAlike(network, batch_size) for network in networks]


class CompiledIfAlike(nn.Module):
    """A network, compiled if its first windows then have the same scores; every batch is filled up to one size, which is compiled once.

    The same machine decides the same again: nothing is timed.
    """

    def __init__(self, network: nn.Module, batch_size: int) -> None:
        super().__init__()
        self.network, self.batch_size = network, batch_size
        self._chosen: nn.Module | None = None

    def forward(self, windows: Tensor) -> Tensor:
        """(B, C, *patch) -> scores (B, K, *patch), B at most `batch_size`."""
        count = len(windows)
        filled = torch.cat([windows, windows[-1:].expand(self.batch_size - count, *windows.shape[1:])])
        if self._chosen is None:
            self._chosen = self._choose(filled)
        scores: Tensor = self._chosen(filled)
        return scores[:count]

    def _choose(self, windows: Tensor) -> nn.Module:
        label, instead = type(self.network).__name__, "predicting without it"
        plain = self.network(windows)
        compiled = Compiled(self.network).eval()
        scores = tried(lambda: compiled(windows), label, instead)
        if scores is None:
            return self.network
        apart, largest = float((scores - plain).abs().max()), float(plain.abs().max())
        if not apart <= ALIKE[_least_precise(plain)] * largest:  # NaN is not alike either
            print(
                f"{label}: compiled it says something else (by {apart:.3g} where scores reach {largest:.3g}); {instead}"
            )
            return self.network
        return compiled


def _least_precise(scores: Tensor) -> torch.dtype:
    """In which type the network computed: that of autocast, where it is on."""
    kind = scores.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else torch.float32

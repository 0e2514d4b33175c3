"""A soup: the mean of the weights that a training would have kept at several steps of its last quarter.

Source: Izmailov et al. 2018, "Averaging weights leads to wider optima and better generalization" (stochastic weight averaging,
SWA: weights at even steps from three quarters of the training on; statistics of batch norms are then taken again).
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from scroll.training.dataloader import Batch

Weights = dict[str, Tensor]
STATISTICS_BATCHES = 64  # that the statistics of batch norms are taken from


def soup_steps(steps: int, count: int) -> list[int]:
    """After which steps weights go into a soup of so many: evenly spaced over the last quarter, the last one the end.

    >>> soup_steps(steps=100, count=5), soup_steps(steps=100, count=0), soup_steps(steps=3, count=1)
    ([80, 85, 90, 95, 100], [], [3])
    """
    return [steps - (count - 1 - n) * (steps // 4) // count for n in range(count)]


class Soup:
    """The running mean of the weights at `soup_steps`, in memory of the CPU; part of what a training resumes from."""

    def __init__(self, steps: int, count: int) -> None:
        self._steps = sorted({*soup_steps(steps, count)})
        self.mean: Weights = {}

    def take(self, step: int, model: nn.Module) -> None:
        """Add a network's weights and buffers after this step, where they belong in it; whole numbers are those of the last."""
        if step not in self._steps:
            return
        share = 1 / (self._steps.index(step) + 1)
        now: Weights = {name: tensor.detach().cpu() for name, tensor in model.state_dict().items()}
        if not self.mean:
            self.mean = {name: tensor.clone() for name, tensor in now.items()}
        for name, mean in self.mean.items():
            if mean.is_floating_point():
                mean += (now[name] - mean) * share  # of equal weights exactly these
            else:
                mean.copy_(now[name])

    @torch.no_grad()
    def pour(self, model: nn.Module, batches: Iterable[Batch], look: Callable[[nn.Module, Batch], object]) -> None:
        """Give a network the mean; where it has batch norms, `look` at training batches, from which their statistics are taken again."""
        model.load_state_dict(self.mean)
        if batch_norms(model):
            with statistics_taken_again(model):
                for batch in batches:
                    look(model, batch)


@contextmanager
def statistics_taken_again(model: nn.Module) -> Iterator[None]:
    """Within it, batch norms forget their statistics and take the plain mean over the batches that pass; all else predicts.

    The mean of weights was never run: the statistics of those that it is the mean of are not its own.
    """
    model.eval()
    norms = batch_norms(model)
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over all batches
        norm.train()
    yield
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    model.eval()


def batch_norms(model: nn.Module) -> list[_BatchNorm]:
    """The layers of a network that keep statistics of batches: ResNets and stage two's networks have them, U-Nets of ours none."""
    found = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    return [module for module in found if module.track_running_stats]

"""The same network, faster: channels-last memory, torch.compile where it works; neither is trusted unseen."""

import copy
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

Thing = TypeVar("Thing", nn.Module, Tensor)


def in_layout(thing: Thing, channels_last: bool) -> Thing:
    """A network, or an image (B, C, Z, Y, X) or (B, C, Y, X), with its channels last in memory; anything else as it is."""
    if not channels_last:
        return thing
    if isinstance(thing, nn.Module):
        for parameter in thing.parameters():
            parameter.data = _channels_last(parameter.data)
        return thing
    return _channels_last(thing)


def _channels_last(values: Tensor) -> Tensor:
    layout = {4: torch.channels_last, 5: torch.channels_last_3d}.get(values.ndim)
    return values.contiguous(memory_format=layout) if layout and values.is_floating_point() else values


class Compiled(nn.Module):
    """A network that torch has compiled. torch passes over the forward of its own containers, but not over this one."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.compile(dynamic=False)

    def forward(self, *inputs: Any) -> Any:
        """As the network's."""
        return self.network(*inputs)


def can_compile(model: nn.Module, run: Callable[[nn.Module], None], label: str) -> bool:
    """Whether `run` (forward and backward) goes through on a compiled copy of `model`; says so where it does not.

    Compiling is lazy: without the trial a network that the compiler cannot take would end the training at its first step.
    """
    state = torch.random.get_rng_state()
    torch._dynamo.reset()  # it stops compiling a class of networks after the eighth shape in one process
    torch._dynamo.utils.counters.clear()
    try:
        run(Compiled(copy.deepcopy(model)))
        if not torch._dynamo.utils.counters["stats"]["unique_graphs"]:
            raise RuntimeError("it found nothing to compile")
    except Exception as error:  # noqa: BLE001 - whatever the compiler says, the training goes on without it
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        print(f"{label}: torch.compile does not work here ({reason}); training without it")
        return False
    finally:
        torch.random.set_rng_state(state)
    return True

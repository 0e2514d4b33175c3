"""The same network, faster: channels-last memory, torch.compile where it works; neither is trusted unseen."""

import copy
from collections.abc import Callable
from typing import TypeVar

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


def compiled_if_it_works(model: nn.Module, run: Callable[[nn.Module], None], label: str) -> bool:
    """Let torch compile `model` in place, once `run` (forward and backward) went through on a compiled copy of it.

    Compiling is lazy: without the trial a network that the compiler cannot take would end the training at its first step.
    """
    trial = copy.deepcopy(model)
    state = torch.random.get_rng_state()
    try:
        trial.compile(dynamic=False)
        run(trial)
    except Exception as error:  # noqa: BLE001 - whatever the compiler says, the training goes on without it
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        print(f"{label}: torch.compile does not work here ({reason}); training without it")
        torch._dynamo.reset()
        return False
    finally:
        torch.random.set_rng_state(state)
    model.compile(dynamic=False)
    return True

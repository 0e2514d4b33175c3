"""The same network, faster: channels-last memory, torch.compile where it works; neither is trusted unseen."""

import copy
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn

from scroll.inference.compiled_networks import Compiled, begin_afresh, tried

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


def can_compile(model: nn.Module, run: Callable[[nn.Module], None], label: str) -> bool:
    """Whether `run` (forward and backward) goes through on a compiled copy of `model`; says so where it does not."""
    state = torch.random.get_rng_state()
    begin_afresh()

    def trial() -> nn.Module:
        compiled = Compiled(copy.deepcopy(model))
        run(compiled)
        return compiled

    try:
        return tried(trial, label, "training without it") is not None
    finally:
        torch.random.set_rng_state(state)

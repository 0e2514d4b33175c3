"""The network of stage two on sheets of cubes: the same as on fragments, with two heads."""

from typing import Any

from torch import nn

from scroll.config.schema import Settings
from stage2_2d.network import about_network, build_network

PRESENCE, OFFSET, HEADS = 0, 1, 2


def channels_of(settings: Settings) -> int:
    """Channels of a stack: all layers of every member, then of the CT."""
    return (len(settings.stage1.members) + 1) * (2 * settings.tracing.reach_vox + 1)


def network_for(settings: Settings) -> nn.Module:
    """The network of stage two with its two heads; presence starts as the members' mean where the sheet was traced."""
    layers = 2 * settings.tracing.reach_vox + 1
    middles = [n * layers + settings.tracing.reach_vox for n in range(len(settings.stage1.members))]
    return build_network(settings.stage2, channels_of(settings), HEADS, middles)


def about(settings: Settings) -> dict[str, Any]:
    """What is stored with the weights."""
    return about_network(settings.stage2, channels_of(settings), HEADS)

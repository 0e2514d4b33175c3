"""A trained member's weights: where they are, and the network that has them."""

from pathlib import Path

from torch import nn

from scroll.config.schema import Settings
from scroll.training.checkpoint import ready, trained_weights
from stage1_3d.network import about_network, build_network


def load_member(settings: Settings, name: str, fold: int) -> nn.Module:
    """A member's network of one fold, ready to predict, on the GPU if there is one."""
    member = settings.stage1.members[name]
    return ready(build_network(member), weights_path(settings, name, fold), about_network(member), _hint(settings))


def weights_path(settings: Settings, name: str, fold: int) -> Path:
    """Where a member's weights of one fold lie.

    Raises:
        MissingInputError: they were not trained to the end.
    """
    return trained_weights(settings.folder.fold(name, fold), _hint(settings))


def _hint(settings: Settings) -> str:
    return f"run 'make stage1 CONFIG=...' for {settings.run_dir} first"

"""One network from CT to ink: a member of stage one, its flattening and stage two, differentiable from end to end."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ensemble.end_to_end.settings import end_to_end_of
from scroll.config.schema import Settings
from scroll.data.boxes import filled_up
from scroll.data.fragments import Fragment
from scroll.errors import InputError
from scroll.runtime.receipt import file_hash, key_of, read_receipt
from scroll.runtime.run_folder import END_TO_END
from scroll.training.checkpoint import ready, trained_weights
from scroll.training.losses import pool_depth
from stage1_3d.flatten import depth_window
from stage1_3d.network import about_network as about_stage1
from stage1_3d.network import build_network as build_stage1
from stage1_3d.weights import load_member
from stage1_3d.weights import weights_path as stage1_weights_path
from stage2_2d.network import about_network as about_stage2
from stage2_2d.network import build_network as build_stage2
from stage2_2d.predict import Predictor, window_of
from stage2_2d.predict import load_fold as load_stage2
from stage2_2d.predict import weights_path as stage2_weights_path
from stage2_2d.stack import LEAST_PROB, LOG_ODDS_UNIT, MOST_UNITS, Stack


@dataclass(frozen=True)
class Layout:
    """What the channels of a window (Z + C, Y, X) are: Z layers of CT, then the C channels of stage two.

    Attributes:
        depth: Z.
        flattened: which of the layers are flattened.
        reduce: how, as in `stage1.flatten`.
        replaced: which of stage two's channels are the member's own.
    """

    depth: int
    flattened: slice
    reduce: str
    replaced: slice


def layout_of(settings: Settings) -> Layout:
    """The layout that the settings ask for."""
    flatten, depth = settings.stage1.flatten, settings.data.depth
    layers = depth_window(flatten, depth)
    width = layers.stop - layers.start if flatten.reduce == "layers" else 1
    first = settings.stage1.sources.index(end_to_end_of(settings).member) * width
    return Layout(depth[1] - depth[0], layers, flatten.reduce, slice(first, first + width))


class EndToEndNetwork(nn.Module):
    """Stage one's network, the flattening and stage two's network in one.

    What stage one left on disk for the member's channels is passed over: they are computed again from the CT. The other
    channels are taken as they are.
    """

    def __init__(self, stage1: nn.Module, stage2: nn.Module, layout: Layout) -> None:
        super().__init__()
        self.stage1, self.stage2 = stage1, stage2
        self.layout = layout

    def forward(self, windows: Tensor) -> Tensor:
        """(B, Z + C, Y, X), normalised CT and then stage two's channels -> logits (B, 1, Y, X)."""
        ct, stack = windows[:, : self.layout.depth], windows[:, self.layout.depth :]
        scores: Tensor | list[Tensor] = self.stage1(ct[:, None])
        finest = scores if isinstance(scores, Tensor) else _with_idle_levels(scores)
        prob = torch.sigmoid(finest.squeeze(1).float())  # (B, Z, Y, X)
        own = log_odds(flattened(prob[:, self.layout.flattened], self.layout.reduce))
        before, after = stack[:, : self.layout.replaced.start], stack[:, self.layout.replaced.stop :]
        logits: Tensor = self.stage2(torch.cat([before, own.to(stack.dtype), after], dim=1))
        return logits


def _with_idle_levels(scores: list[Tensor]) -> Tensor:
    """The finest of the levels that a network under deep supervision gives; the others take part with a gradient of 0.

    Training by several processes waits for the gradient of every parameter, those of the coarse levels' heads too.
    """
    return scores[0] + sum(0 * level.float().mean() for level in scores[1:])


def flattened(values: Tensor, how: str) -> Tensor:
    """Pool (B, Z, Y, X) over depth to (B, C, Y, X), as `stage1_3d.flatten.flattened` does on disk; C is 1, or Z for "layers"."""
    return values if how == "layers" else pool_depth(values, how, dim=1)[:, None]


def log_odds(prob: Tensor) -> Tensor:
    """`stage2_2d.stack.log_odds` of a tensor; where it clips, no gradient passes."""
    inside = prob.clamp(LEAST_PROB, 1 - LEAST_PROB)
    return (torch.log(inside / (1 - inside)) / LOG_ODDS_UNIT).clamp(-MOST_UNITS, MOST_UNITS)


def starting_weights(settings: Settings, fold: int) -> dict[str, str]:
    """Hashes of the weights that a fold starts from, by stage.

    Raises:
        MissingInputError: one of the two was not trained to the end.
    """
    return {
        "stage1": file_hash(stage1_weights_path(settings, end_to_end_of(settings).member, fold)),
        "stage2": file_hash(stage2_weights_path(settings, fold)),
    }


def starting_network(settings: Settings, fold: int, channels: int) -> EndToEndNetwork:
    """The two passes' networks of one fold, chained; `channels` is C, the channels of stage two."""
    stage1, stage2 = load_member(settings, end_to_end_of(settings).member, fold), load_stage2(settings, fold, channels)
    return EndToEndNetwork(stage1, stage2, layout_of(settings))


def load_fold(settings: Settings, fold: int, channels: int) -> nn.Module:
    """The end-to-end network of one fold, ready to predict, on the GPU if there is one."""
    stage1 = build_stage1(settings.stage1.members[end_to_end_of(settings).member])
    network = EndToEndNetwork(stage1, build_stage2(settings.stage2, channels), layout_of(settings))
    return ready(network, weights_path(settings, fold), about_network(settings, channels), _hint(settings))


def about_network(settings: Settings, channels: int) -> dict[str, object]:
    """What is stored with the weights: both networks and what is between them."""
    return {
        "stage1": about_stage1(settings.stage1.members[end_to_end_of(settings).member]),
        "flatten": settings.stage1.flatten.model_dump(mode="json", include={"reduce", "window"}),
        "stage2": about_stage2(settings.stage2, channels),
    }


def weights_path(settings: Settings, fold: int) -> Path:
    """Where the end-to-end weights of one fold lie.

    Raises:
        MissingInputError: they were not trained to the end.
        InputError: one of the two passes was trained again since.
    """
    folder = settings.folder.fold(END_TO_END, fold)
    path = trained_weights(folder, _hint(settings))
    if read_receipt(folder, _hint(settings)).get("started_from") != starting_weights(settings, fold):
        raise InputError(
            f"{path}: was trained on from other weights than those of the two passes now; {_hint(settings)}"
        )
    return path


def end_to_end_predictor(settings: Settings, fragment: Fragment, stack: Stack) -> Predictor:
    """The end-to-end networks on a fragment's CT and its stack."""
    end_to_end, (first, end) = end_to_end_of(settings), settings.data.depth
    patch = end_to_end.patch_size_yx
    channels = filled_up(stack.channels, patch)

    def read(corner: tuple[int, ...]) -> NDArray[np.float32]:
        ct = fragment.patch(fragment.margin, corner[0], corner[1], (end - first, *patch))
        return np.concatenate([filled_up(ct, patch), window_of(channels, patch, corner)])

    return Predictor(
        name=END_TO_END,
        label="end to end",
        sheet=fragment,
        key=key_of([fragment.key, stack.key]),
        patch=patch,
        read=read,
        weights=partial(weights_path, settings),
        load=partial(load_fold, settings, channels=channels.shape[0]),
        precision=end_to_end.training.precision,
    )


def _hint(settings: Settings) -> str:
    return f"run 'make end-to-end CONFIG=...' for {settings.run_dir} first"

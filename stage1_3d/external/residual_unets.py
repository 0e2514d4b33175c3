"""Residual U-Nets in checkpoints of ScrollPrize/villa: which one it is by the names and shapes of its tensors, else by its settings."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor

from scroll.errors import InputError
from scroll.geometry import Size
from scroll.training.shared_encoder import DECODER, ENCODER, LOGITS, OF_A_TARGET, by_our_names, targets_in
from stage1_3d.models.squeeze_excitation import squeezed_channels

BLOCK = f"{ENCODER}stages.{{}}.blocks.{{}}"
CONVOLUTION, SQUEEZED = f"{BLOCK}.conv1.all_modules.0.weight", ".squeeze_excitation."
KINDS = {"scse": "cSE.fc1.weight", "channel": "fc1.weight"}
UP = f"{DECODER}transpconvs.{{}}.weight"
SECOND_NAMES = {".conv.": ".all_modules.0.", ".norm.": ".all_modules.1."}  # of the layers of a convolution
MOST_BLOCKS = 64
REDUCTIONS = (16, *range(1, 257))  # the usual one first
UNSEEN = {"norm_op": "InstanceNorm", "nonlin": "LeakyReLU", "squeeze_excitation_add_maxpool": "False"}  # in no tensor
ZSCORE = ("instance_zscore", "zscore_of_item")
OTHER = "give another checkpoint, or another --kind"


def of_one_target(source: Path, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors under our names.

    Raises:
        InputError: there is no shared encoder in it, or not one target.
    """
    found, targets = by_our_names(state), targets_in(state)
    if not any(name.startswith(ENCODER) for name in found) or len(targets) != 1:
        there = f"targets {', '.join(targets)}" if targets else f"first tensor {next(iter(state))}"
        raise InputError(
            f"{source}: {there}; expected shared_encoder.* and one of {'* or '.join(OF_A_TARGET)}*, for a stem network also "
            f"depth_fusion.*: {OTHER}"
        )
    return found


def options_of_stem(source: Path, state: Mapping[str, Tensor]) -> dict[str, object]:
    """What `stem3d_unet2d` is built by."""
    if (stem := state.get("depth_fusion.features.0.weight")) is None:
        raise InputError(f"{source}: a U-Net without a stem; expected depth_fusion.* as well: {OTHER}")
    levels = _levels(source, state, 2)
    strides = [1, *(int(up.shape[-1]) for up in _steps_up(state))]
    return {"stem_channels": stem.shape[0], "strides": strides, **levels}


def options_of_unet(source: Path, state: Mapping[str, Tensor]) -> dict[str, object]:
    """What `resenc_unet` is built by.

    Raises:
        InputError: also for a target of several classes, and a squeeze and excitation that is not built here.
    """
    levels = _levels(source, state, 3)
    strides = [[1, 1, 1], *(list(up.shape[2:]) for up in _steps_up(state))]
    classes = {len(tensor) for name, tensor in state.items() if name.startswith(LOGITS)}
    if classes - {1}:
        raise InputError(
            f"{source}: a target of {max(classes)} classes; expected one, or background and one: a member predicts one thing"
        )
    return {"strides": strides, **levels, **_squeezed(source, state, levels["channels"])}


def _levels(source: Path, state: Mapping[str, Tensor], dimensions: int) -> dict[str, list[int]]:
    """Channels and blocks of the encoder's levels."""
    count = next((level for level in range(MOST_BLOCKS) if CONVOLUTION.format(level, 0) not in state), MOST_BLOCKS)
    first = [state[CONVOLUTION.format(level, 0)] for level in range(count)]
    ups = _steps_up(state)
    if count < 3 or len(ups) != count - 1:
        raise InputError(
            f"{source}: {count} levels of residual blocks and {len(ups)} steps up; expected a U-Net of three levels or more: {OTHER}"
        )
    if first[0].ndim != dimensions + 2:
        raise InputError(f"{source}: convolutions in {first[0].ndim - 2} dimensions; expected {dimensions}: {OTHER}")
    blocks = [sum(CONVOLUTION.format(level, n) in state for n in range(MOST_BLOCKS)) for level in range(count)]
    return {"channels": [int(tensor.shape[0]) for tensor in first], "blocks": blocks}


def _steps_up(state: Mapping[str, Tensor]) -> list[Tensor]:
    """Weights of the decoder's transposed convolutions, which undo the strides of the encoder's levels, finest first."""
    return [state[name] for n in reversed(range(MOST_BLOCKS)) if (name := UP.format(n)) in state]


def _squeezed(source: Path, state: Mapping[str, Tensor], channels: Sequence[int]) -> dict[str, object]:
    """How features of residual blocks are weighed: nothing, by channel, or by both; and how many times fewer channels are within."""
    there = {name.rpartition(SQUEEZED)[2] for name in state if SQUEEZED in name}
    if not there:
        return {}
    kind = next((kind for kind, name in KINDS.items() if name in there), None)
    if kind is None:
        raise InputError(
            f"{source}: squeezes by {', '.join(sorted(there))}; expected a squeeze and excitation by channel, or scSE: {OTHER}"
        )
    within = {
        count: len(state[name])
        for level, count in enumerate(channels)
        if (name := BLOCK.format(level, 0) + SQUEEZED + KINDS[kind]) in state
    }
    for reduction in REDUCTIONS:
        if all(squeezed_channels(count, reduction) == found for count, found in within.items()):
            return {"squeeze_excitation": kind, "squeeze_reduction": reduction}
    raise InputError(
        f"{source}: {within} are channels and those within their squeeze; expected one share of all, to multiples of 8: {OTHER}"
    )


def check_whole(source: Path, expected: Mapping[str, Tensor], state: Mapping[str, Tensor], family: str) -> None:
    """Refuse tensors that the network has no place for, but for second names, coarser logits and what is beside the network.

    Raises:
        InputError: there are some: the network is of another build, and would say something else without them.
    """
    for name in state:
        first = name
        for second, usual in SECOND_NAMES.items():
            first = first.replace(second, usual)
        is_idle = name.startswith((LOGITS, f"{DECODER}encoder."))
        if name not in expected and first not in expected and not is_idle:
            raise InputError(
                f"{source}: '{family}' has no place for its {name}; expected a network of the usual build: export it as a graph, and "
                "import that with --kind graph"
            )


def check_settings(source: Path, contents: Mapping[str, object], has_intensity: bool) -> None:
    """Refuse what no tensor tells, where the checkpoint says it.

    Raises:
        InputError: it was built with other layers, or saw grey values scaled in another way than those say who import it.
    """
    settings = _settings(contents)
    for name, usual in UNSEEN.items():
        operator = str(settings.get(name) or usual).rpartition(".")[2]
        if not operator.startswith(usual):
            raise InputError(
                f"{source}: built with {name} {operator}; expected {usual}: export it as a graph, and import that with --kind graph"
            )
    scheme = contents.get("normalization_scheme") or ZSCORE[0]
    if scheme not in ZSCORE and not has_intensity:
        raise InputError(
            f"{source}: saw grey values scaled by '{scheme}'; expected {ZSCORE[0]}: say it with --intensity and its figures"
        )


def window_of(contents: Mapping[str, object], usual: Size) -> Size:
    """z, y, x of its patches, where the checkpoint says it."""
    settings = _settings(contents)
    patch = settings.get("train_patch_size") or settings.get("patch_size")
    if not isinstance(patch, list | tuple) or len(patch) != len(usual):
        return usual
    z, y, x = (int(edge) for edge in patch)
    return z, y, x


def _settings(contents: Mapping[str, object]) -> Mapping[str, object]:
    settings = contents.get("model_config")
    return settings if isinstance(settings, Mapping) else {}

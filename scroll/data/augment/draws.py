"""What happens to a training patch, drawn before any of it is done: the same draws, wherever it is done then."""

from collections.abc import Callable
from dataclasses import dataclass
from types import EllipsisType

import numpy as np

from scroll.config.schema import AugmentSettings
from scroll.data.augment.elastic import Warp, draw_warp, happens
from scroll.data.augment.noise import Noise, draw_noise
from scroll.data.augment.symmetries import Symmetry, draw_symmetry
from scroll.data.sample import Sample, Space

MIX_ALPHA = 0.4  # of Beta(alpha, alpha): most mixtures are mostly one of the two (Zhang et al. 2018, "mixup")
KEPT_DEPTH = 0.75  # share of the layers that a move through depth keeps at least

Cut = Callable[[np.random.Generator, AugmentSettings], Sample]
Box = tuple[slice | EllipsisType, ...]


@dataclass(frozen=True)
class DepthMove:
    """A run of so many layers, from layer `source` on, that comes to lie at `goal`."""

    layers: int
    source: int
    goal: int


@dataclass(frozen=True)
class Move:
    """What moves image and label of one patch together, in this order."""

    symmetry: Symmetry
    warp: Warp | None = None
    depth: DepthMove | None = None


@dataclass(frozen=True)
class GreyChange:
    """What changes the grey values alone, in this order.

    Attributes:
        contrast, brightness: what they are multiplied by, and what is added then.
        blur_vox: sigma of a Gaussian.
        noise: what is added; None: nothing.
        blank_layers: numbers of those that become 0.
        blank_yx: the rectangle that becomes 0 in all layers.
    """

    contrast: float = 1.0
    brightness: float = 0.0
    blur_vox: float = 0.0
    noise: Noise | None = None
    blank_layers: tuple[int, ...] = ()
    blank_yx: tuple[slice, slice] | None = None


@dataclass(frozen=True)
class Changes:
    """All that happens to a training patch.

    Attributes:
        moves: of the patch, then of the one that is mixed in, then of the one that a box is pasted from.
        share: of the patch in the mixture; None: nothing is mixed in.
        box: what is pasted; None: nothing.
        grey: what happens to the grey values then.
        has_shares: whether targets are float32, mixed or not: a batch has one type.
    """

    moves: tuple[Move, ...]
    share: float | None
    box: Box | None
    grey: GreyChange
    has_shares: bool


def draw_changes(
    rng: np.random.Generator, cut: Cut, settings: AugmentSettings, space: Space
) -> tuple[list[Sample], Changes]:
    """Unchanged patches, and what happens to them.

    Args:
        rng: all that decides which patches these are and what happens to them.
        cut: draws a patch from the generator and returns it unchanged but for the settings' depth jitter; asked again where
            a second patch is mixed in.
        settings: what may happen, how strongly and how often.
        space: what the patch's axes are.
    """
    samples, moves = [], []

    def one_more() -> None:
        samples.append(cut(rng, settings))
        moves.append(draw_move(rng, settings, space, samples[-1].image.shape))

    one_more()
    shape, share, box = samples[0].image.shape, None, None
    if settings.mixup and rng.random() < settings.mixup:
        one_more()
        share = draw_share(rng)
    if settings.cutmix and rng.random() < settings.cutmix:
        one_more()
        box = draw_box(rng, shape[-space.moving_axes :])
    grey = draw_grey(rng, settings, shape)
    return samples, Changes(tuple(moves), share, box, grey, bool(settings.mixup))


def draw_move(rng: np.random.Generator, settings: AugmentSettings, space: Space, shape: tuple[int, ...]) -> Move:
    """What moves a patch of `shape` (L, Y, X)."""
    symmetry, warp = draw_symmetry(rng, settings, space, shape), draw_warp(rng, settings, space, shape)
    if settings.depth_cut_paste and rng.random() < settings.depth_cut_paste:
        return Move(symmetry, warp, draw_depth_move(rng, shape[0]))
    return Move(symmetry, warp)


def draw_depth_move(rng: np.random.Generator, layers: int) -> DepthMove | None:
    """A run of at least three quarters of the layers to another depth; None where there is one layer."""
    if layers < 2:
        return None
    run = int(rng.integers(min(int(np.ceil(KEPT_DEPTH * layers)), layers - 1), layers))
    source, goal = rng.choice(layers - run + 1, size=2, replace=False)
    return DepthMove(run, int(source), int(goal))


def draw_share(rng: np.random.Generator) -> float:
    """The first patch's share in a mixture of two, a number that float32 holds. Zhang et al. 2018."""
    return float(np.float32(rng.beta(MIX_ALPHA, MIX_ALPHA)))


def draw_box(rng: np.random.Generator, lengths: tuple[int, ...]) -> Box:
    """A box in the last axes; its share of them all is uniform from 0 to 1. Yun et al. 2019, "CutMix"."""
    share = rng.beta(1, 1) ** (1 / len(lengths))
    box: list[slice | EllipsisType] = [...]
    for length in lengths:
        edge = max(1, round(length * share))
        start = int(rng.integers(length - edge + 1))
        box.append(slice(start, start + edge))
    return tuple(box)


def draw_grey(rng: np.random.Generator, settings: AugmentSettings, shape: tuple[int, ...]) -> GreyChange:
    """Contrast, brightness, blur, noise, layer dropout and cut-out of an image of `shape` (L, Y, X): L layers or channels."""
    contrast, brightness, blur_vox, noise = 1.0, 0.0, 0.0, None
    if happens(rng, settings.intensity_chance):
        contrast = 1 + settings.contrast * rng.uniform(-1, 1)
        brightness = settings.brightness * rng.uniform(-1, 1)
    if settings.blur and happens(rng, settings.blur_chance):
        blur_vox = settings.blur * rng.random()
    if settings.noise and happens(rng, settings.noise_chance):
        noise = draw_noise(rng, shape, settings.noise * rng.random())
    blank_layers: tuple[int, ...] = ()
    if rng.random() < settings.layer_dropout and shape[0] > 1:
        count = min(int(rng.integers(1, 3)), shape[0] - 1)
        blank_layers = tuple(int(layer) for layer in rng.choice(shape[0], size=count, replace=False))
    blank_yx = _rectangle(rng, shape[1:]) if rng.random() < settings.cutout else None
    return GreyChange(contrast, brightness, blur_vox, noise, blank_layers, blank_yx)


def _rectangle(rng: np.random.Generator, shape_yx: tuple[int, ...]) -> tuple[slice, slice]:
    """A random rectangle of at most a quarter of the height and width."""
    spans = []
    for length in shape_yx:
        edge = int(rng.integers(1, max(2, length // 4 + 1)))
        start = int(rng.integers(length - edge + 1))
        spans.append(slice(start, start + edge))
    return spans[0], spans[1]

"""Random changes of a training patch, drawn once and applied alike to image, label and ignore mask."""

from collections.abc import Callable
from dataclasses import replace
from types import EllipsisType

import numpy as np
from numpy.typing import NDArray

from scroll.config.schema import AugmentSettings
from scroll.data.augment.elastic import draw_warp, happens, warped
from scroll.data.augment.symmetries import draw_symmetry
from scroll.data.sample import Sample, Space
from scroll.errors import InputError

MIX_ALPHA = 0.4  # of Beta(alpha, alpha): most mixtures are mostly one of the two (Zhang et al. 2018, "mixup")
KEPT_DEPTH = 0.75  # share of the layers that a move through depth keeps at least

Cut = Callable[[np.random.Generator, AugmentSettings], Sample]

NOTHING = AugmentSettings(
    flips=False, quarter_turns=False, brightness=0, contrast=0, noise=0, layer_dropout=0, depth_jitter=0, cutout=0
)


def check_augment(settings: AugmentSettings, space: Space) -> None:
    """Refuse settings that a space gives no meaning to, or that would make its labels untrue.

    Raises:
        InputError: `depth_cut_paste` where no axis is depth; `across_sheets` where all is in one sheet; turns in scroll space
            that show one face as the other.
    """
    if settings.depth_cut_paste and space is not Space.SHEET:
        raise InputError(
            f"augment.depth_cut_paste is {settings.depth_cut_paste}, but only layers of a flattened sheet (stage one, data.kind: "
            "fragments) can move through its depth; set it to 0"
        )
    if settings.across_sheets and space is not Space.SCROLL:
        raise InputError(
            "augment.across_sheets is true, but only in scroll space (stage one, data.kind: segments or cubes) does a turn exchange "
            "recto and verso; leave it out"
        )
    if settings.turn_degrees >= 90 and space is Space.SCROLL and not settings.across_sheets:
        raise InputError(
            f"augment.turn_degrees is {settings.turn_degrees}: turned by 90 degrees or more, the verso faces as the recto did, and labels "
            "lie on the recto; lower it, or set augment.across_sheets: true"
        )


def augmented(rng: np.random.Generator, cut: Cut, settings: AugmentSettings, space: Space) -> Sample:
    """A patch as it is trained on.

    Args:
        rng: all that decides which patch it is and what happens to it.
        cut: draws a patch from the generator and returns it unchanged but for the settings' depth jitter; asked again where
            a second patch is mixed in.
        settings: what may happen, how strongly and how often.
        space: what the patch's axes are.

    The target is float32 whenever `mixup` is above 0, mixed or not: a batch has one type.
    """
    sample = _moved(rng, cut(rng, settings), settings, space)
    if settings.mixup and rng.random() < settings.mixup:
        sample = mixed(rng, sample, _moved(rng, cut(rng, settings), settings, space))
    if settings.cutmix and rng.random() < settings.cutmix:
        sample = pasted(rng, sample, _moved(rng, cut(rng, settings), settings, space), space)
    target = sample.target.astype(np.float32) if settings.mixup else sample.target
    return replace(sample, image=change_image(rng, sample.image, settings, space), target=target)


def _moved(rng: np.random.Generator, sample: Sample, settings: AugmentSettings, space: Space) -> Sample:
    """What moves image and label together."""
    sample = sample.each(draw_symmetry(rng, settings, space, sample.image.shape).apply)
    warp = draw_warp(rng, settings, space, sample.image.shape)
    if warp is not None:
        sample = warped(sample, warp, space)
    if settings.depth_cut_paste and rng.random() < settings.depth_cut_paste:
        sample = depth_moved(rng, sample)
    return sample


def depth_moved(rng: np.random.Generator, sample: Sample) -> Sample:
    """A run of at least three quarters of a sheet's layers at another depth, the layers left over blank.

    A label per layer moves along and is unknown in the blank layers; a label of the whole depth (Y, X) stays. One layer stays.
    """
    layers = sample.image.shape[0]
    if layers < 2:
        return sample
    run = int(rng.integers(min(int(np.ceil(KEPT_DEPTH * layers)), layers - 1), layers))
    source, goal = (slice(int(s), int(s) + run) for s in rng.choice(layers - run + 1, size=2, replace=False))

    def moved(array: NDArray, blank: bool) -> NDArray:
        elsewhere = np.full_like(array, blank)
        elsewhere[goal] = array[source]
        return elsewhere

    image = moved(sample.image, False)
    if sample.target.ndim == 2:
        return replace(sample, image=image)
    proposed = None if sample.proposed is None else moved(sample.proposed, False)
    return Sample(image, moved(sample.target, False), moved(sample.ignore, True), proposed)


def mixed(rng: np.random.Generator, first: Sample, second: Sample) -> Sample:
    """mixup: the weighted mean of two patches and of their targets, unknown, or proposed, where either is. Zhang et al. 2018."""
    share = np.float32(rng.beta(MIX_ALPHA, MIX_ALPHA))
    return Sample(
        share * first.image + (1 - share) * second.image,
        share * first.target.astype(np.float32) + (1 - share) * second.target.astype(np.float32),
        first.ignore | second.ignore,
        _of_both(first, second, np.logical_or),
    )


def pasted(rng: np.random.Generator, first: Sample, second: Sample, space: Space) -> Sample:
    """CutMix: the first patch with a box of the second in its place, label and all. Yun et al. 2019.

    The box goes through all layers of a sheet; its share of the plane (in scroll space: of the volume) is uniform from 0 to 1.
    """
    lengths = first.image.shape[-space.moving_axes :]
    share = rng.beta(1, 1) ** (1 / len(lengths))
    box: list[slice | EllipsisType] = [...]
    for length in lengths:
        edge = max(1, round(length * share))
        start = int(rng.integers(length - edge + 1))
        box.append(slice(start, start + edge))

    def joined(one: NDArray, other: NDArray) -> NDArray:
        both = one.copy()
        both[tuple(box)] = other[tuple(box)]
        return both

    return Sample(
        joined(first.image, second.image),
        joined(first.target, second.target),
        joined(first.ignore, second.ignore),
        _of_both(first, second, joined),
    )


def _of_both(first: Sample, second: Sample, put_together: Callable[[NDArray, NDArray], NDArray]) -> NDArray | None:
    """What is proposed of two patches that became one; None where of neither anything is."""
    marks = [one.proposed for one in (first, second)]
    if marks[0] is None and marks[1] is None:
        return None
    there = (np.zeros_like(first.ignore) if mark is None else mark for mark in marks)
    return put_together(*there)


def change_image(
    rng: np.random.Generator, image: NDArray[np.float32], settings: AugmentSettings, space: Space = Space.SHEET
) -> NDArray[np.float32]:
    """Contrast, brightness, blur, noise, layer dropout and cut-out of a normalised image (L, Y, X): L layers or channels."""
    contrast, brightness = 1.0, 0.0
    if happens(rng, settings.intensity_chance):
        contrast = 1 + settings.contrast * rng.uniform(-1, 1)
        brightness = settings.brightness * rng.uniform(-1, 1)
    changed = np.asarray(image * contrast, dtype=np.float32)
    changed += np.float32(brightness)
    if settings.blur and happens(rng, settings.blur_chance):
        changed = _blurred(changed, settings.blur * rng.random(), space)
    if settings.noise and happens(rng, settings.noise_chance):
        sd = settings.noise * rng.random()
        noise = rng.standard_normal(image.shape, dtype=np.float32)
        changed += np.multiply(noise, np.float32(sd), out=noise)
    if rng.random() < settings.layer_dropout and image.shape[0] > 1:
        blank = rng.choice(image.shape[0], size=min(int(rng.integers(1, 3)), image.shape[0] - 1), replace=False)
        changed[blank] = 0
    if rng.random() < settings.cutout:
        changed[(slice(None), *_rectangle(rng, image.shape[1:]))] = 0
    return changed


def _blurred(image: NDArray[np.float32], sigma_vox: float, space: Space) -> NDArray[np.float32]:
    """A scan of less detail: a Gaussian along all axes, but never from one channel into another."""
    from scroll.runtime.gaussian import gaussian  # numba's compiler, which takes a second to come

    sigmas = (0.0 if space is Space.STACK else sigma_vox, sigma_vox, sigma_vox)
    return gaussian(image, sigmas, border="nearest")


def _rectangle(rng: np.random.Generator, shape_yx: tuple[int, ...]) -> tuple[slice, slice]:
    """A random rectangle of at most a quarter of the height and width."""
    spans = []
    for length in shape_yx:
        edge = int(rng.integers(1, max(2, length // 4 + 1)))
        start = int(rng.integers(length - edge + 1))
        spans.append(slice(start, start + edge))
    return spans[0], spans[1]

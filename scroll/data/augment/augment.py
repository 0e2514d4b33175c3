"""Random changes of a training patch, drawn once and applied alike to image, label and ignore mask."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from scroll.config.schema import AugmentSettings
from scroll.data.augment.draws import Box, Changes, Cut, DepthMove, GreyChange, Move, draw_changes, draw_grey
from scroll.data.augment.elastic import warped
from scroll.data.sample import Sample, Space
from scroll.errors import InputError

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
    """A patch as it is trained on; the arguments are those of `draw_changes`.

    The target is float32 whenever `mixup` is above 0, mixed or not: a batch has one type.
    """
    samples, changes = draw_changes(rng, cut, settings, space)
    sample = put_together(samples, changes, space)
    return replace(sample, image=with_grey_change(sample.image, changes.grey, space))


def put_together(samples: Sequence[Sample], changes: Changes, space: Space) -> Sample:
    """The patches as they were cut, moved, mixed and pasted into one; its grey values are not changed yet."""
    first, *others = [moved(sample, move, space) for sample, move in zip(samples, changes.moves, strict=True)]
    if changes.share is not None:
        first = mixed(first, others[0], changes.share)
    if changes.box is not None:
        first = pasted(first, others[-1], changes.box)
    return replace(first, target=first.target.astype(np.float32)) if changes.has_shares else first


def moved(sample: Sample, move: Move, space: Space) -> Sample:
    """Image and label moved together."""
    sample = sample.each(move.symmetry.apply)
    if move.warp is not None:
        sample = warped(sample, move.warp, space)
    return sample if move.depth is None else depth_moved(sample, move.depth)


def depth_moved(sample: Sample, move: DepthMove) -> Sample:
    """A run of a sheet's layers at another depth, the layers left over blank.

    A label per layer moves along and is unknown in the blank layers; a label of the whole depth (Y, X) stays.
    """

    def shifted(array: NDArray, blank: bool) -> NDArray:
        elsewhere = np.full_like(array, blank)
        elsewhere[move.goal : move.goal + move.layers] = array[move.source : move.source + move.layers]
        return elsewhere

    image = shifted(sample.image, False)
    if sample.target.ndim == 2:
        return replace(sample, image=image)
    proposed = None if sample.proposed is None else shifted(sample.proposed, False)
    return Sample(image, shifted(sample.target, False), shifted(sample.ignore, True), proposed)


def mixed(first: Sample, second: Sample, share: float) -> Sample:
    """mixup: the weighted mean of two patches and of their targets, unknown, or proposed, where either is. Zhang et al. 2018."""
    one, other = np.float32(share), 1 - np.float32(share)
    return Sample(
        one * first.image + other * second.image,
        one * first.target.astype(np.float32) + other * second.target.astype(np.float32),
        first.ignore | second.ignore,
        _of_both(first, second, np.logical_or),
    )


def pasted(first: Sample, second: Sample, box: Box) -> Sample:
    """CutMix: the first patch with a box of the second in its place, label and all. Yun et al. 2019.

    Of a sheet the box goes through all layers.
    """

    def joined(one: NDArray, other: NDArray) -> NDArray:
        both = one.copy()
        both[box] = other[box]
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
    """A normalised image (L, Y, X), L layers or channels, with a drawn change of its grey values."""
    return with_grey_change(image, draw_grey(rng, settings, image.shape), space)


def with_grey_change(image: NDArray[np.float32], grey: GreyChange, space: Space) -> NDArray[np.float32]:
    """A normalised image (L, Y, X) with contrast, brightness, blur, noise, layer dropout and cut-out as they were drawn."""
    changed = np.asarray(image * grey.contrast, dtype=np.float32)
    changed += np.float32(grey.brightness)
    if grey.blur_vox:
        changed = _blurred(changed, grey.blur_vox, space)
    if grey.noise is not None:
        changed += grey.noise.values(changed.shape)
    changed[list(grey.blank_layers)] = 0
    if grey.blank_yx is not None:
        changed[(slice(None), *grey.blank_yx)] = 0
    return changed


def _blurred(image: NDArray[np.float32], sigma_vox: float, space: Space) -> NDArray[np.float32]:
    """A scan of less detail: a Gaussian along all axes, but never from one channel into another."""
    from scroll.runtime.gaussian import gaussian  # numba's compiler, which takes a second to come

    sigmas = (0.0 if space is Space.STACK else sigma_vox, sigma_vox, sigma_vox)
    return gaussian(image, sigmas, border="nearest")

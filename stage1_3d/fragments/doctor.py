"""What the doctor looks at in flattened fragments: layers, masks, labels, folds, disk."""

import math
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from scroll.config.schema import Settings
from scroll.data.depth_windows import check_depth_offsets
from scroll.data.folds import check_no_leak, make_folds
from scroll.data.fragments import Fragment, training_fragments
from scroll.data.patch_sampler import draw
from scroll.data.sources import GIB, REVERSED
from scroll.errors import InputError
from scroll.preflight.training_span import estimate, read_reference, training_reference
from scroll.runtime.scroll_names import LAYERS_SOURCE
from scroll.volumes.masks import SUPERVISION, files_beside
from stage1_3d.doctor_checks import check_ink, check_room

WINDOWS, MOST_COMPARED = 8, 8  # squares that are looked at in each stack, and stacks


def items_of(settings: Settings) -> list[Fragment]:
    """The training fragments, with as many layers about the window as any member moves through.

    Raises:
        MissingInputError: the folder, or one of `data.train`, is not there.
    """
    jitter = max((member.augment.depth_jitter for member in settings.stage1.trained.values()), default=0)
    return training_fragments(settings.data, jitter)


def checks_of_all(settings: Settings, fragments: list[Fragment]) -> Iterator[tuple[str, Callable[[], object]]]:
    """What is looked at in all of them together: a name, and a check that raises InputError."""
    yield f"folds: {settings.folds.count} by {settings.folds.by}", partial(_check_folds, settings, fragments)
    if settings.stage1.window.depth_offsets:
        yield "layers for stage1.window.depth_offsets", partial(check_depth_offsets, settings, fragments)
    yield "disk", partial(_check_disk, settings, fragments)
    if len(fragments) > 1 and any(fragment.zarr for fragment in fragments):
        yield "layers of all stacks run the same way", partial(_check_directions, fragments)


def described(fragment: Fragment) -> str:
    """One line about a fragment that is sound."""
    seen = f"{fragment.pixel_um:g} x {fragment.seen_um:g} x {fragment.seen_um:g} um"
    uneven = ", uneven: published networks know cubes alone, which data.pool makes" if fragment.data.bin_yx > 1 else ""
    return (
        f"fragment '{fragment.id}': {fragment.volume.shape} {fragment.volume.dtype}, depth window layers {fragment.layers}, "
        f"voxels of {seen} (z, y, x){uneven}"
    )


def check(fragment: Fragment) -> None:
    """Layers, depth window, mask and label, and that there is something to learn from.

    Raises:
        InputError: the first thing that is wrong.
    """
    if fragment.volume.dtype.kind not in "u":
        raise InputError(
            f"{fragment.folder}: layers are {fragment.volume.dtype}, expected uint8 or uint16; convert them"
        )
    _ = fragment.layers
    if not fragment.mask_files and not files_beside(fragment.folders, fragment.id, SUPERVISION):
        raise InputError(
            f"{fragment.folder / 'mask.png'}: not there, so that all would count as papyrus; copy it beside the layers"
        )
    check_ink(fragment.full_label, str(fragment.full_labels.files[0]), "inside the mask")


def _check_folds(settings: Settings, fragments: list[Fragment]) -> None:
    """Draw patches of every fold: they must fit into training and held-out rows, and none may look at held-out ones."""
    patches = {f"stage1.members.{name}": member.patch_size[1:] for name, member in settings.stage1.trained.items()}
    patches["stage2"] = settings.stage2.patch_size
    if settings.end_to_end is not None:
        patches["end_to_end"] = settings.end_to_end.patch_size_yx
    for fold in make_folds(fragments, settings.folds):
        for name, patch in patches.items():
            try:
                fold.sampler(fragments, patch, 0.5, is_training=False)
                sampler = fold.sampler(fragments, patch, 0.5, is_training=True)
            except InputError as error:
                raise InputError(f"fold {fold.number}, {name}: {error}") from None
            for n in range(200):
                place = sampler.place(draw(settings.seed, n))
                check_no_leak(fold, fragments[place.source].id, place.y, place.y + patch[0])


def _check_directions(fragments: list[Fragment]) -> None:
    """Each stack beside the others: the direction belongs to the array, and two renders of one segment may run opposite ways.

    Those that cannot be looked at (too small, blank) are passed over.

    Raises:
        InputError: one runs the other way, beyond doubt.
    """
    stacks = [(fragment.stack, fragment.full_mask, str(fragment.folder)) for fragment in fragments[:MOST_COMPARED]]
    for number, (stack, mask, where) in enumerate(stacks):
        others = stacks[:number] + stacks[number + 1 :]
        try:
            reference = read_reference(training_reference(others, WINDOWS))
            found = estimate(stack, mask, reference, WINDOWS, where)
        except InputError:
            continue
        if found.is_flipped and found.is_placed:
            raise InputError(
                f"{where}: its layers run the other way than those of {', '.join(Path(one[2]).name for one in others)} "
                f"(margin {found.flip_margin:.2f}); where that is right, write '{REVERSED}' as the second line of its {LAYERS_SOURCE}"
            )


def _check_disk(settings: Settings, fragments: list[Fragment]) -> None:
    """Room for the working copies, or what is fetched, and for every out-of-fold probability volume (float16)."""
    copies = predictions = fetched = 0.0
    depth, shifts = settings.data.depth[1] - settings.data.depth[0], settings.stage1.window.depth_shifts
    for fragment in fragments:
        pixels = fragment.shape_yx[0] * fragment.shape_yx[1] / settings.data.bin_yx**2
        if fragment.is_remote:
            fetched += math.prod(fragment.volume.shape) * fragment.volume.dtype.itemsize * settings.data.pool**3
        else:
            further = max(shifts) - min(shifts)  # windows that are shifted have a copy of their own
            layers = fragment.layers[1] - fragment.layers[0] + (further + depth if further else 0)
            copies += layers * pixels * fragment.volume.dtype.itemsize
        predictions += depth * pixels * 2 * len(settings.stage1.members)
    check_room(settings, copies + min(fetched, settings.data.cache_gb * GIB), predictions)

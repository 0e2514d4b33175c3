"""Look for what would go wrong before hours are spent: data, labels, folds, patches, disk. One line per problem.

    python scripts/doctor.py configs/demo.yaml [--set a.b=c]

Exit code 0: nothing found; 2: at least one problem.
"""

import argparse
import math
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scroll.errors import InputError

if TYPE_CHECKING:
    from scroll.config.schema import Settings
    from scroll.data.fragments import Fragment

SPARE_GIB = 1.0


def main() -> int:
    """Print every problem and what was looked at; 2 if there is any problem."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, help="YAML of the run, such as configs/demo.yaml")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a setting")
    arguments = parser.parse_args()
    problems = 0
    for said in examine(arguments.config, arguments.set):
        print(said)
        problems += said.startswith("problem:")
    print(f"{problems} problem{'' if problems == 1 else 's'}")
    return 2 if problems else 0


def examine(config: Path, overrides: list[str]) -> Iterator[str]:
    """Lines that begin with "ok:" or "problem:"; heavy packages are never loaded."""
    from ensemble.end_to_end.settings import check_joint
    from scroll.config.reader import load_settings
    from scroll.data.folds import check_buffer
    from scroll.training.trackers import check_trackers
    from stage1_3d.network import check_member, check_views
    from stage2_2d.network import check_stage2

    try:
        settings = load_settings(config, overrides)
    except InputError as error:
        yield f"problem: {error}"
        return
    for name, member in settings.stage1.members.items():
        yield from _asked(
            f"stage1.members.{name}: patch {member.patch_size}", partial(check_member, member, settings.data)
        )
    yield from _asked(f"stage2: patch {settings.stage2.patch_size}", lambda: check_stage2(settings.stage2))
    if settings.joint is not None:
        yield from _asked(f"joint: patch {settings.joint.patch_size_yx}", lambda: check_joint(settings))
    yield from _asked("stage1.window: test-time symmetries", lambda: check_views(settings))
    yield from _asked("the memory that loading processes share", lambda: _check_shared_memory(settings))
    yield from _asked("folds: the buffer between them", lambda: check_buffer(settings))
    yield from _asked("trackers", lambda: check_trackers(settings))
    yield from _examine_data(settings)


def _check_shared_memory(settings: "Settings") -> None:
    from scroll.training.shared_memory import check_shared_memory

    for member in settings.stage1.members.values():
        check_shared_memory(member.training.loader, member.training.train_batch_size * math.prod(member.patch_size))
    stage2, channels = settings.stage2, len(settings.stage1.members) + 1
    voxels = stage2.training.train_batch_size * math.prod(stage2.patch_size) * channels
    check_shared_memory(stage2.training.loader, voxels)


def _examine_data(settings: "Settings") -> Iterator[str]:
    from scroll.data.fragments import training_fragments

    is_sound = True
    try:
        if settings.data.kind == "cubes":
            from ensemble.commands import doctor_cubes
            from scroll.data.cubes import training_cubes

            sheets: list[Any] = training_cubes(settings.data)
            checks: tuple[Any, Any, Any] = (
                doctor_cubes.described,
                doctor_cubes.check_cube,
                doctor_cubes.check_folds,
            )
        elif settings.data.kind == "segments":
            from ensemble.commands import doctor_segments
            from scroll.data.segments import find_segments

            sheets = find_segments(settings.data.root / "train", settings.data, settings.data.train)
            checks = (
                doctor_segments.described,
                doctor_segments.check_segment,
                doctor_segments.check_folds,
            )
        else:
            jitter = max(member.augment.depth_jitter for member in settings.stage1.members.values())
            sheets = training_fragments(settings.data, jitter)
            checks = _described, _check_fragment, _check_folds
    except InputError as error:
        yield f"problem: {error}"
        return
    described, check, check_folds = checks
    for sheet in sheets:
        for said in _asked(partial(described, sheet), partial(check, sheet)):
            is_sound &= said.startswith("ok:")
            yield said
    if not is_sound:
        return  # folds and disk would say the same again
    yield from _asked(f"folds: {settings.folds.count} by {settings.folds.by}", lambda: check_folds(settings, sheets))
    if settings.data.kind == "fragments":
        yield from _asked("disk", lambda: _check_disk(settings, sheets))
    elif settings.data.kind == "cubes":
        from ensemble.commands.doctor_cubes import check_disk

        yield from _asked("disk", lambda: check_disk(settings, sheets))


def _asked(what: str | Callable[[], str], check: Callable[[], object]) -> Iterator[str]:
    """Check first, then say what was looked at: to describe a thing reads it."""
    try:
        check()
    except InputError as error:
        yield f"problem: {error}"
    else:
        yield f"ok: {what if isinstance(what, str) else what()}"


def _described(fragment: "Fragment") -> str:
    try:
        return f"fragment '{fragment.id}': {fragment.volume.shape} {fragment.volume.dtype}, depth window layers {fragment.layers}"
    except InputError:
        return f"fragment '{fragment.id}'"


def _check_fragment(fragment: "Fragment") -> None:
    """Layers, depth window, mask and label, and that there is something to learn from."""
    if fragment.volume.dtype.kind not in "u":
        raise InputError(
            f"{fragment.folder}: layers are {fragment.volume.dtype}, expected uint8 or uint16; convert them"
        )
    _ = fragment.layers
    if not fragment.mask_files:
        raise InputError(
            f"{fragment.folder / 'mask.png'}: not there, so that all would count as papyrus; copy it beside the layers"
        )
    label = fragment.full_label
    if label.ink_share == 0:
        raise InputError(
            f"{fragment.folder / 'inklabels.png'}: no ink inside the mask; a network learns nothing from it: "
            "check that the label is this fragment's"
        )
    if label.ink_share > 0.6:
        raise InputError(
            f"{fragment.folder / 'inklabels.png'}: {label.ink_share:.0%} of the papyrus is ink; the label is probably inverted"
        )


def _check_folds(settings: "Settings", fragments: "list[Fragment]") -> None:
    """Draw patches of every fold: they must fit into training and held-out rows, and none may look at held-out ones."""
    from scroll.data.folds import check_no_leak, make_folds
    from scroll.data.patch_sampler import draw

    patches = {f"stage1.members.{name}": member.patch_size[1:] for name, member in settings.stage1.members.items()}
    patches["stage2"] = settings.stage2.patch_size
    if settings.joint is not None:
        patches["joint"] = settings.joint.patch_size_yx
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


def _check_disk(settings: "Settings", fragments: "list[Fragment]") -> None:
    """Room for the working copies and for every out-of-fold probability volume (float16)."""
    copies = predictions = 0.0
    for fragment in fragments:
        pixels = fragment.shape_yx[0] * fragment.shape_yx[1] / settings.data.bin_yx**2
        copies += (fragment.layers[1] - fragment.layers[0]) * pixels * fragment.volume.dtype.itemsize
        predictions += (settings.data.depth[1] - settings.data.depth[0]) * pixels * 2 * len(settings.stage1.members)
    for folder, needed in ((settings.data.cache_dir, copies), (settings.run_dir, predictions)):
        there = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
        free_gib, needed_gib = shutil.disk_usage(there).free / 2**30, needed / 2**30 + SPARE_GIB
        if free_gib < needed_gib:
            raise InputError(
                f"{folder}: {needed_gib:.1f} GiB will be needed there, {free_gib:.1f} GiB are free; "
                "free some or point the setting elsewhere"
            )

"""Look for what would go wrong before hours are spent: data, labels, folds, patches, disk. One line per problem.

Of each sound sheet it draws what is known, ink, proposed and held out, into <run_dir>/labels_<id>.png.

    python scripts/doctor.py configs/demo.yaml [--set a.b=c]

Exit code 0: nothing found; 2: at least one problem.
"""

import argparse
import math
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scroll.errors import InputError

if TYPE_CHECKING:
    from scroll.config.schema import Settings
    from scroll.data.sheets import Sheet


def main() -> int:
    """Print every problem and what was looked at; 2 if there is any problem."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, help="YAML of the run, such as configs/demo.yaml")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a setting")
    arguments = parser.parse_args()
    problems = 0
    for line in examine(arguments.config, arguments.set):
        print(line)
        problems += line.startswith("problem:")
    print(f"{problems} problem{'' if problems == 1 else 's'}")
    return 2 if problems else 0


def examine(config: Path, overrides: list[str]) -> Iterator[str]:
    """Lines that begin with "ok:" or "problem:"; heavy packages are never loaded."""
    from ensemble.end_to_end.settings import check_end_to_end
    from scroll.config.reader import load_settings
    from scroll.data.folds import check_buffer
    from scroll.training.loggers import check_trackers
    from stage1_3d.network import check_member, check_views
    from stage2_2d.network import check_stage2

    try:
        settings = load_settings(config, overrides)
    except InputError as error:
        yield f"problem: {error}"
        return
    for name, member in settings.stage1.trained.items():
        yield from _asked(
            f"stage1.members.{name}: patch {member.patch_size}", partial(check_member, member, settings.data)
        )
    yield from _asked(f"stage2: patch {settings.stage2.patch_size}", lambda: check_stage2(settings.stage2))
    if settings.end_to_end is not None:
        yield from _asked(f"end_to_end: patch {settings.end_to_end.patch_size_yx}", lambda: check_end_to_end(settings))
    yield from _asked("stage1.window: test-time symmetries", lambda: check_views(settings))
    yield from _asked("the memory that loading processes share", lambda: _check_shared_memory(settings))
    yield from _asked("folds: the buffer between them", lambda: check_buffer(settings))
    yield from _asked("trackers", lambda: check_trackers(settings))
    others = list(_examine_others(settings))
    yield from others
    yield from _examine_data(settings, all(line.startswith("ok:") for line in others))


def _check_shared_memory(settings: "Settings") -> None:
    from scroll.training.shared_memory import check_shared_memory

    for member in settings.stage1.trained.values():
        check_shared_memory(member.training.loader, member.training.train_batch_size * math.prod(member.patch_size))
    stage2, channels = settings.stage2, len(settings.stage1.members) + 1
    voxels = stage2.training.train_batch_size * math.prod(stage2.patch_size) * channels
    check_shared_memory(stage2.training.loader, voxels)


def _examine_others(settings: "Settings") -> Iterator[str]:
    """Members that were trained elsewhere: their folders, and the files that their cards speak of."""
    from scroll.data.members.card import read_card
    from scroll.data.members.others import of_others

    for name, other in of_others(settings).items():
        yield from _asked(f"stage1.members.{name}: {other.folder}, trained elsewhere", partial(read_card, other.folder))


def _examine_data(settings: "Settings", are_others_sound: bool) -> Iterator[str]:
    from scroll.data.kinds import kind_of
    from stage1_3d.kinds import doctor_of

    doctor, is_sound = doctor_of(settings.data), True
    try:
        items = doctor.items_of(settings)
    except InputError as error:
        yield f"problem: {error}"
        return
    for item in items:
        for line in _asked(partial(doctor.described, item), partial(doctor.check, item)):
            is_sound &= line.startswith("ok:")
            yield line
            if line.startswith("ok:") and kind_of(settings.data).has_sheets:
                picture = settings.run_dir / f"labels_{item.id}.png"
                yield from _asked(partial(_said_of_labels, item, picture), partial(_draw_labels, item, picture))
    if is_sound:  # else folds and disk would say the same again
        for what, check in doctor.checks_of_all(settings, items):
            yield from _asked(what, check)
        if are_others_sound:
            yield from _examine_items_with_others(settings, items)
            yield from _asked(partial(_windows, settings, items), lambda: None)


def _windows(settings: "Settings", items: list[Any]) -> str:
    from scroll.data.windows import windows_in_words, windows_mm

    return windows_in_words(windows_mm(settings, items[0]))


def _draw_labels(sheet: "Sheet", picture: Path) -> None:
    from scroll.report.label_picture import label_picture
    from scroll.runtime.output_folder import PICTURE, check_file

    check_file(picture, PICTURE)
    label_picture(picture, sheet.full_mask, sheet.full_labels)


def _said_of_labels(sheet: "Sheet", picture: Path) -> str:
    """How much is known, inked, proposed and held out, and where that is drawn."""
    labels, area = sheet.full_labels, max(1, int(sheet.full_mask.sum()))
    held_out = "" if labels.held_out is None else f", held out {(~labels.held_out.ignore).sum() / area:.1%}"
    proposed = "" if labels.training.proposed is None else f", {labels.training.proposed_share:.1%} of that proposed"
    known, files = (~labels.training.ignore).sum() / area, ", ".join(path.name for path in labels.files)
    ink = f"{labels.training.ink_share:.1%} of that ink"
    return (
        f"labels of '{sheet.id}' ({files}): trained on {known:.1%} of the papyrus, {ink}{proposed}{held_out}: {picture}"
    )


def _examine_items_with_others(settings: "Settings", items: list[Any]) -> Iterator[str]:
    """That these items suit the members that were trained elsewhere, and how many are new to them."""
    from scroll.data.members.new_items import out_of_fold
    from scroll.data.members.others import of_others
    from scroll.data.members.suits import check_items, message_on_resampling

    for name, other in of_others(settings).items():
        message = "; ".join(filter(None, ("these items suit it", message_on_resampling(other, items))))
        yield from _asked(f"stage1.members.{name}: {message}", partial(check_items, other, items, settings.data))
    if of_others(settings):
        yield from _asked(partial(_said_of_new, settings, items), partial(out_of_fold, settings, items))


def _said_of_new(settings: "Settings", items: list[Any]) -> str:
    from scroll.data.members.new_items import lines_on_sharers, out_of_fold

    decided, new = out_of_fold(settings, items)
    message = f"{len(new)} of {len(items)} items are new to every member that is fitted"
    return ". ".join([message, *lines_on_sharers(decided)])


def _asked(what: str | Callable[[], str], check: Callable[[], object]) -> Iterator[str]:
    """Check first, then say what was looked at: to describe a thing reads it."""
    try:
        check()
    except InputError as error:
        yield f"problem: {error}"
    else:
        yield f"ok: {what if isinstance(what, str) else what()}"

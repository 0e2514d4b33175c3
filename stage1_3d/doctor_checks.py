"""What the doctor looks at whatever the kind of data: whether a label teaches anything, and whether the disk holds what will be written."""

import shutil

from scroll.config.schema import Settings
from scroll.data.labels import Label
from scroll.errors import InputError

SPARE_GIB = 1.0


def check_ink(label: Label, where: str, what: str) -> None:
    """Refuse a label that a network learns nothing from; `what` it is of, with its folder or file `where`.

    Raises:
        InputError: no ink, or more than there can be.
    """
    if label.ink_share == 0:
        raise InputError(
            f"{where}: no ink {what}; a network learns nothing from it: check that the label is this sheet's"
        )
    if label.ink_share > 0.6:
        raise InputError(f"{where}: {label.ink_share:.0%} of the papyrus is ink; the label is probably inverted")


def check_room(settings: Settings, copies_bytes: float, maps_bytes: float) -> None:
    """Refuse disks without room for the working copies, and for the probability maps that a run leaves.

    Raises:
        InputError: too little room, with what is needed and what there is.
    """
    for folder, needed in ((settings.data.cache_dir, copies_bytes), (settings.run_dir, maps_bytes)):
        there = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
        free_gib, needed_gib = shutil.disk_usage(there).free / 2**30, needed / 2**30 + SPARE_GIB
        if free_gib < needed_gib:
            raise InputError(
                f"{folder}: {needed_gib:.1f} GiB will be needed there, {free_gib:.1f} GiB are free; "
                "free some or point the setting elsewhere"
            )

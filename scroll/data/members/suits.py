"""What suits a member that was trained elsewhere: voxels of its size, the layers that it needs, items of its kind."""

from collections.abc import Sequence
from typing import Any

from scroll.config.schema import DataSettings
from scroll.data.kinds import kind_of
from scroll.data.members.others import MemberOfOthers
from scroll.data.sheets import Sheet
from scroll.errors import InputError

VOXEL_SLACK = 0.01  # by how much of itself a voxel may differ from those that a member was trained on


def check_voxels(other: MemberOfOthers, voxel_um: float) -> None:
    """Refuse voxels of another size than a member was trained on.

    Raises:
        InputError: more than 1 % larger or smaller.
    """
    own = other.card.voxel_um
    if own and abs(voxel_um / own - 1) > VOXEL_SLACK:
        raise InputError(
            f"{other.path}: trained at {own:g} um a voxel, and here they are {voxel_um:g}; give data at that size, or import "
            "it with the --voxel-um that it was really trained at"
        )


def layers_in(other: MemberOfOthers, sheet: Sheet) -> slice:
    """The layers of a sheet's stack that a member looks at.

    Raises:
        InputError: the stack is too thin.
    """
    card = other.card
    first, end = card.layers or (-(card.window[0] // 2), card.window[0] - card.window[0] // 2)
    if card.direction == "outwards":
        first, end = 1 - end, 1 - first  # counted from the other side
    middle, there = sheet.middle_layer, sheet.stack.shape[0]
    if middle + first < 0 or middle + end > there:
        raise InputError(
            f"{sheet.folder}: {there} layers, the sheet in layer {middle}; {other.path} needs those from {first} to {end - 1} about it: "
            "give a deeper stack, or leave the member out"
        )
    return slice(middle + first, middle + end)


def check_items(other: MemberOfOthers, items: Sequence[Any], data: DataSettings) -> None:
    """That a member can look at these items: its files, the size of their voxels, and the layers that it needs.

    Raises:
        InputError: the first thing that does not suit.
    """
    card = other.card
    if other.gives_map and not kind_of(data).has_sheets:
        raise InputError(
            f"{other.path}: gives maps of sheets, and data.kind is {data.kind}; give a member that gives voxels"
        )
    if card.ready and card.returns == "voxels" and kind_of(data).has_sheets:
        raise InputError(
            f"{other.path}: holds volumes, and data.kind is {data.kind}; give maps: the maximum over their depth"
        )
    for item in items:
        check_voxels(other, item.pixel_um if other.gives_map else item.seen_um)
        if other.gives_map and not card.ready:
            layers_in(other, item)

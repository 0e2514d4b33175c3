"""What suits a member that was trained elsewhere: voxels of its size, the layers that it needs, items of its kind."""

from collections.abc import Sequence
from math import ceil, floor
from typing import Any, NamedTuple

from scroll.config.schema import DataSettings
from scroll.data.kinds import kind_of
from scroll.data.members.others import MemberOfOthers, is_alike
from scroll.data.sheets import Sheet
from scroll.errors import InputError

ROUNDING = 1e-6  # layers
MOST_RESAMPLED = 4.0  # by how much voxels may be wider or narrower than a member's own


class LayerSpan(NamedTuple):
    """Layers about the one that the sheet is in: those of the stack from `first` to `end`, those of the member from `own_first` on."""

    first: int
    end: int
    own_first: int


def check_voxels(other: MemberOfOthers, voxel_um: float, plane_bin: int = 1) -> None:
    """Refuse voxels of another size than a member was trained on, unless they can be, and are to be, resampled.

    `plane_bin`: how much wider they are within the plane than between layers.

    Raises:
        InputError: more than 1 % larger or smaller, and not to be resampled; or what is to be resampled cannot be.
    """
    own, setting = other.card.voxel_um, f"stage1.members.{other.name}.resample"
    if not other.resample:
        if own and not is_alike(own, voxel_um):
            raise InputError(
                f"{other.path}: trained at {own:g} um a voxel, and here they are {voxel_um:g}; set {setting}: true, which resamples them, "
                "give data at that size, or import it with the --voxel-um that it was really trained at"
            )
        return
    if other.card.ready:
        raise InputError(f"{setting} is true, and {other.path} holds predictions, which see no voxels; leave it out")
    if own is None:
        raise InputError(
            f"{setting} is true, and {other.path} says no size of voxels; import it with the --voxel-um that it was trained at"
        )
    step = other.step(voxel_um)
    if not 1 / MOST_RESAMPLED <= step <= MOST_RESAMPLED:
        raise InputError(
            f"{other.path}: trained at {own:g} um a voxel, and here they are {voxel_um:g}, more than {MOST_RESAMPLED:g} times as wide or "
            f"narrow; give data nearer to that size (data.level, data.pool) for {setting}"
        )
    if plane_bin > 1 and step != 1:
        raise InputError(
            f"{setting} is true, and voxels are {plane_bin} times as wide as layers lie apart; set data.bin_yx: 1, or leave the member out"
        )


def message_on_resampling(other: MemberOfOthers, items: Sequence[Any]) -> str:
    """What is resampled, in a few words; empty where nothing is."""
    sizes = {item.pixel_um if other.gives_map else item.seen_um for item in items}
    changed = sorted(um for um in sizes if other.step(um) != 1)
    if not changed:
        return ""
    return f"voxels of {', '.join(f'{um:g}' for um in changed)} um are resampled to the {other.card.voxel_um:g} um that it was trained at"


def layer_span(other: MemberOfOthers, layer_um: float) -> LayerSpan:
    """The layers that a member looks at, in a stack whose layers lie so far apart, in micrometres."""
    card, step = other.card, other.step(layer_um)
    first, end = card.layers or (-(card.window[0] // 2), card.window[0] - card.window[0] // 2)
    if card.direction == "outwards":
        first, end = 1 - end, 1 - first  # counted from the other side
    return LayerSpan(floor(first * step + ROUNDING), ceil((end - 1) * step - ROUNDING) + 1, first)


def layers_in(other: MemberOfOthers, sheet: Sheet) -> slice:
    """The layers of a sheet's stack that a member looks at.

    Raises:
        InputError: the stack is too thin.
    """
    first, end, _ = layer_span(other, sheet.layer_um)
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
        if other.gives_map:
            check_voxels(other, item.pixel_um)
        else:
            check_voxels(other, item.seen_um, data.bin_yx if kind_of(data).is_flattened else 1)
        if other.gives_map and not card.ready:
            layers_in(other, item)

"""Shifted depth windows (`stage1.window.depth_offsets`): whether a stack holds them, and the stack with their layers kept."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from scroll.config.schema import Settings
from scroll.data.fragments import Fragment
from scroll.data.members.others import MemberOfOthers, of_others
from scroll.data.members.suits import layers_in
from scroll.data.sheets import Sheet
from scroll.errors import InputError


def check_depth_offsets(settings: Settings, fragments: Iterable[Fragment]) -> None:
    """That every stack holds the shifted depth windows of every member; nothing is read where there are none.

    Raises:
        InputError: the first one that does not.
    """
    offsets, others = settings.stage1.window.depth_offsets, of_others(settings)
    of_map = [other for other in others.values() if other.gives_map] if offsets else []
    for fragment in fragments if offsets else ():
        if len(of_map) < len(settings.stage1.members):
            with_room(fragment, offsets)
        for other in of_map:
            if not other.card.ready:
                map_layers(other, fragment, offsets)


def with_room(fragment: Fragment, offsets: Sequence[int]) -> Fragment:
    """The fragment with the layers kept that its depth window sees when it is shifted by `offsets`.

    Raises:
        InputError: the stack does not hold them.
    """
    if not offsets:
        return fragment
    (start, stop), (before, behind) = fragment.layers, fragment.kept
    _check_held(fragment.folder, fragment.volume.shape[0], (start + before, stop - behind), offsets)
    margin = fragment.margin
    return replace(fragment, beyond=(max(0, -min(offsets) - margin), max(0, max(offsets) - margin)))


def map_layers(other: MemberOfOthers, sheet: Sheet, offsets: Sequence[int]) -> slice:
    """The layers of a sheet's stack that a member makes its map of, where the stack holds them shifted by `offsets` too.

    Raises:
        InputError: it does not.
    """
    layers = layers_in(other, sheet)
    _check_held(sheet.folder, sheet.stack.shape[0], (layers.start, layers.stop), offsets)
    return layers


def _check_held(folder: Path, there: int, window: tuple[int, int], offsets: Sequence[int]) -> None:
    start, stop = window
    for offset in offsets:
        if start + offset < 0 or stop + offset > there:
            raise InputError(
                f"{folder}: {there} layers do not hold {offset:+d} of stage1.window.depth_offsets: layers {start} to {stop - 1} would be "
                f"{start + offset} to {stop - 1 + offset}; give offsets from {-start} to {there - stop}, or a narrower data.depth"
            )

"""What is new to members that were trained elsewhere: all that may be fitted is fitted there."""

from collections.abc import Sequence
from typing import Protocol, TypeVar

from scroll.config.schema import Settings
from scroll.data.folds import Fold
from scroll.data.members.others import of_others
from scroll.errors import InputError


class Item(Protocol):
    """A fragment, segment or cube."""

    @property
    def id(self) -> str:
        """Its name."""

    @property
    def volume_name(self) -> str:
        """The volume or scroll that it is of."""

    @property
    def rows(self) -> int:
        """Rows at working resolution, which folds speak of."""


I = TypeVar("I", bound=Item)  # noqa: E741


def out_of_fold(settings: Settings, items: Sequence[I]) -> list[I]:
    """The training items that every member can predict without having seen them: all that weights, thresholds, chains and stage two
    may be fitted on.

    Raises:
        InputError: a member has seen all of them, or together the members leave none.
    """
    kept = list(items)
    for name, other in of_others(settings).items():
        if name not in settings.stage1.fitted:
            continue
        unseen = {item.id for item in items if other.card.unseen(item.id, item.volume_name)}
        place, remedy = (
            f"stage1.members.{name}",
            f"set stage1.members.{name}.weight: equal_share, which gives it a part that is not fitted",
        )
        if not unseen:
            raise InputError(
                f"{place}: by {other.path} none of the {len(items)} training items is known to be new "
                f"to it, so its weight cannot be fitted; {remedy}, or import it with the --trained-on that is true"
            )
        kept = [item for item in kept if item.id in unseen]
        if not kept:
            raise InputError(f"{place}: what is new to it is not new to the members before it; {remedy}")
    return kept


def folds_of_new(settings: Settings, folds: Sequence[Fold], items: Sequence[Item]) -> list[Fold]:
    """The folds, once it is sure that what `out_of_fold` left lets each of them learn from something and be judged by something.

    Raises:
        InputError: it does not.
    """
    for fold in folds:
        whole = {item.id for item in items if fold.closed.get(item.id) == (0, item.rows)}
        sides = {"train on": len(items) - len(whole), "be judged by": sum(item.id in fold.held_out for item in items)}
        for side, count in sides.items():
            if not count and of_others(settings):
                names = ", ".join(name for name in of_others(settings) if name in settings.stage1.fitted)
                raise InputError(
                    f"folds: of the {len(items)} training items that are new to {names}, none is left for fold {fold.number} to {side}; "
                    "give more items, other folds, or set weight: equal_share for the members that have seen most"
                )
    return list(folds)

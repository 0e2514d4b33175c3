"""What is new to members that were trained elsewhere: all that may be fitted is fitted there."""

from collections.abc import Mapping, Sequence
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


def out_of_fold(settings: Settings, items: Sequence[I]) -> tuple[Settings, list[I]]:
    """The training items that every member can predict without having seen them: all that weights, thresholds, chains and stage two
    may be fitted on. And the settings, once it is decided who is fitted: a member that has seen all the items, and whose `weight` is
    not written, is not, and neither it nor what it has seen counts here.

    Raises:
        InputError: a member that is to be fitted has seen all of them, or together the members leave none, or none is left to be fitted.
    """
    others = of_others(settings).items()
    unseen = {name: {i.id for i in items if other.card.unseen(i.id, i.volume_name)} for name, other in others}
    members = settings.stage1.members
    decided = settings.with_seen_all(name for name in unseen if members[name].weight is None and not unseen[name])
    _check_fitted(decided, {name: bool(ids) for name, ids in unseen.items()}, len(items))
    kept = list(items)
    for name in (name for name in unseen if name in decided.stage1.fitted):
        kept = [item for item in kept if item.id in unseen[name]]
        if not kept:
            raise InputError(
                f"stage1.members.{name}: what is new to it is not new to the members before it; set stage1.members.{name}.weight: "
                "equal_share, which gives it a part that is not fitted"
            )
    return decided, kept


def _check_fitted(settings: Settings, has_new: Mapping[str, bool], count: int) -> None:
    """That a weight can be fitted of everyone whose is to be, and of anyone at all."""
    for name, other in of_others(settings).items():
        if name in settings.stage1.fitted and not has_new[name]:
            raise InputError(
                f"stage1.members.{name}: by {other.path} none of the {count} training items is known to be new to it, so its weight cannot "
                f"be fitted; leave stage1.members.{name}.weight out or set it to equal_share, which gives it a part that is not fitted, or "
                "import it with the --trained-on that is true"
            )
    if not settings.stage1.fitted:
        raise InputError(
            f"stage1.members: none is fitted, for each has an equal share or has seen all of the {count} training items; add a member "
            "that is trained here, or import one that has not seen them all"
        )


def equal_sharers(settings: Settings) -> list[str]:
    """The members whose weight is stated, for they may have seen all training items."""
    return [name for name in settings.stage1.members if name not in settings.stage1.fitted]


def lines_on_sharers(settings: Settings) -> list[str]:
    """A line that says who is not fitted; none where everyone is."""
    if not (stated := equal_sharers(settings)):
        return []
    return [
        f"Not fitted: {', '.join(stated)}, which may have seen every training item: an equal share in the blend, in no out-of-fold "
        "figure, and not in stage two."
    ]


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

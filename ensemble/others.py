"""Members that were trained elsewhere, in the ensemble: the part of those that cannot be fitted, and what a table has to say of all."""

from collections.abc import Mapping, Sequence

from scroll.config.reader import save_run_settings
from scroll.config.schema import Settings
from scroll.data.members.new_items import I, Item, equal_sharers, lines_on_sharers, out_of_fold
from scroll.data.members.others import MemberOfOthers, of_others


def fitted_on(settings: Settings, items: Sequence[I]) -> tuple[Settings, list[I]]:
    """`out_of_fold`; what it decides is written into the run's settings, where a prediction, which knows no training items, finds it."""
    decided, new = out_of_fold(settings, items)
    if decided != settings:
        save_run_settings(decided)
    return decided, new


def with_equal_shares(settings: Settings, fitted: Mapping[str, float]) -> dict[str, float]:
    """Fitted weights, which sum to one, and those that are stated: 1 / n each of n predictors; the fitted ones are scaled down."""
    stated = equal_sharers(settings)
    share = 1 / (len(fitted) + len(stated))
    return {name: weight * (1 - share * len(stated)) for name, weight in fitted.items()} | dict.fromkeys(stated, share)


def kind_of_member(settings: Settings, name: str) -> str:
    """What a row of a table calls a member."""
    return "member" if name in settings.stage1.trained else "trained elsewhere"


def lines_on_others(settings: Settings, items: Sequence[Item]) -> list[str]:
    """Sentences for a table: who was trained elsewhere, who has a stated share, and who has seen which of the scored items."""
    found = of_others(settings)
    if not found:
        return []
    lines = [f"Trained elsewhere: {', '.join(f'{name} ({other.card.family})' for name, other in found.items())}."]
    lines += lines_on_sharers(settings)
    lines += [line for other in found.values() if (line := _line_on_seen(other, _seen_by(other, items)))]
    return [*lines, *(["Rows with (seen) are made of such."] if who_has_seen(settings, items) else [])]


def who_has_seen(settings: Settings, items: Sequence[Item]) -> set[str]:
    """The members that were trained, or may have been, on one of the scored items."""
    return {name for name, other in of_others(settings).items() if _seen_by(other, items)}


def _seen_by(other: MemberOfOthers, items: Sequence[Item]) -> list[str]:
    card = other.card
    return [item.id for item in items if len(card.unseen(item.id, item.volume_name)) < len(card.all_folds)]


def _line_on_seen(other: MemberOfOthers, seen: Sequence[str]) -> str:
    if not all(fold.trained_on for fold in other.card.folds):
        return f"What {other.name} was trained on is not known: it may have seen what is scored here."
    return (
        f"{other.name} was trained on {', '.join(seen)}: its figures there, and the blend's, are too good."
        if seen
        else ""
    )

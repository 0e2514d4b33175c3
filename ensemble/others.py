"""Members that were trained elsewhere, in the ensemble: the part of those that cannot be fitted, and what a table has to say of all."""

from collections.abc import Mapping, Sequence

from scroll.config.schema import Settings
from scroll.data.members.new_items import Item
from scroll.data.members.others import MemberOfOthers, of_others


def with_equal_shares(settings: Settings, fitted: Mapping[str, float]) -> dict[str, float]:
    """Fitted weights, which sum to one, and those that are stated: 1 / n each of n predictors; the fitted ones are scaled down."""
    stated = equal_sharers(settings)
    share = 1 / (len(fitted) + len(stated))
    return {name: weight * (1 - share * len(stated)) for name, weight in fitted.items()} | dict.fromkeys(stated, share)


def equal_sharers(settings: Settings) -> list[str]:
    """The members whose weight is stated, for they may have seen all training items."""
    return [name for name in settings.stage1.members if name not in settings.stage1.fitted]


def kind_of_member(settings: Settings, name: str) -> str:
    """What a row of a table calls a member."""
    return "member" if name in settings.stage1.trained else "trained elsewhere"


def said_of_others(settings: Settings, items: Sequence[Item]) -> list[str]:
    """Sentences for a table: who was trained elsewhere, who has a stated share, and who has seen which of the scored items."""
    found = of_others(settings)
    if not found:
        return []
    said = [f"Trained elsewhere: {', '.join(f'{name} ({other.card.family})' for name, other in found.items())}."]
    if stated := equal_sharers(settings):
        said.append(
            f"Not fitted: {', '.join(stated)}, which may have seen every training item: an equal share in the blend, in no out-of-fold "
            "figure, and not in stage two."
        )
    said += [line for other in found.values() if (line := _said_of_seen(other, items))]
    return said


def _said_of_seen(other: MemberOfOthers, items: Sequence[Item]) -> str:
    name, card = other.name, other.card
    if card.folds and not all(fold.trained_on for fold in card.folds):
        return f"What {name} was trained on is not known: it may have seen what is scored here."
    some = len(card.all_folds)
    seen = [item.id for item in items if len(card.unseen(item.id, item.volume_name)) < some]
    return f"{name} was trained on {', '.join(seen)}: its figures there, and the blend's, are too good." if seen else ""

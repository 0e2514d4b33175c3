"""The part in the blend of members whose weight cannot be fitted: an equal share beside all others."""

from collections.abc import Mapping

from scroll.config.schema import Settings


def with_equal_shares(settings: Settings, fitted: Mapping[str, float]) -> dict[str, float]:
    """Fitted weights, which sum to one, and those that are stated: 1 / n each of n predictors; the fitted ones are scaled down."""
    stated = equal_sharers(settings)
    share = 1 / (len(fitted) + len(stated))
    return {name: weight * (1 - share * len(stated)) for name, weight in fitted.items()} | dict.fromkeys(stated, share)


def equal_sharers(settings: Settings) -> list[str]:
    """The members that have seen all training items, so that their weight is stated."""
    return [name for name in settings.stage1.members if name not in settings.stage1.fitted]


def said_of_shares(settings: Settings) -> str:
    """For a table: who has a stated share, and that it is in no figure that was fitted; empty where nobody has."""
    stated = equal_sharers(settings)
    if not stated:
        return ""
    return (
        f"not fitted: {', '.join(stated)}, which may have seen every training item: an equal share in the blend, in no out-of-fold figure, "
        "and not in stage two"
    )

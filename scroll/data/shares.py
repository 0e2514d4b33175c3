"""Each scroll's share of every batch, where several scrolls are trained together."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from scroll.config.schema import SamplingSettings
from scroll.errors import InputError
from scroll.runtime.scroll_names import scroll_name

if TYPE_CHECKING:
    from scroll.data.sheets import Sheet

Shares = Mapping[str, float]
PARTS = 1000  # shares are counted in thousandths


def shares_of(sheets: "Sequence[Sheet]", sampling: SamplingSettings) -> dict[str, float]:
    """Shares by scroll, which add up to 1; empty where patches are drawn wherever there is papyrus.

    Those set count; else every scroll gets as much as every other, where it is known of all sheets which scroll they are of,
    and there are several.

    Raises:
        InputError: a share is set for a scroll that is not there, or for some of them only.
    """
    there = sorted({sheet.scroll for sheet in sheets})
    if sampling.shares == "by_area" or (not sampling.shares and ("" in there or len(there) < 2)):
        return {}
    requested = {scroll_name(name): share for name, share in sampling.shares.items()} or dict.fromkeys(there, 1.0)
    strange, missing = (
        [name for name in requested if name not in there],
        [name for name in there if name not in requested],
    )
    if strange or missing:
        what = f"'{strange[0]}', which is no scroll of the training data" if strange else f"no share of '{missing[0]}'"
        names = ", ".join(name or "(not known)" for name in there)
        raise InputError(f"sampling.shares has {what}; expected one for each of: {names}")
    total = sum(requested.values())
    return {name: requested[name] / total for name in there}


class Turns:
    """Whose turn it is: patch n is of scroll `turns[n]`, so that a batch of any size holds each scroll's share, to the nearest patch.

    Always the one is next that is furthest behind its share, over a cycle of up to 1000.

    >>> turns = Turns({"a": 0.5, "b": 0.25, "c": 0.25})
    >>> [turns[n] for n in range(8)]
    ['a', 'b', 'c', 'a', 'a', 'b', 'c', 'a']
    """

    def __init__(self, shares: Shares) -> None:
        parts = {name: max(1, round(share * PARTS)) for name, share in shares.items()}
        whole = math.gcd(*parts.values())
        total = sum(parts.values())
        behind = dict.fromkeys(parts, 0)
        self.cycle: list[str] = []
        for _ in range(total // whole):
            for name, part in parts.items():
                behind[name] += part
            first = max(behind, key=lambda name: behind[name])
            behind[first] -= total
            self.cycle.append(first)

    def __getitem__(self, n: int) -> str:
        """The scroll of patch n."""
        return self.cycle[n % len(self.cycle)]

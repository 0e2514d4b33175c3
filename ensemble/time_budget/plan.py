"""What fits into the hours of a notebook: test-time views are given up first, then whole members.

Views are dropped from the member that has the most, of those the slowest: each further view of a window adds less than the
one before it, and the slowest frees the most time. Only when every member is down to one view do members go. Then as many
stay as can, because members differ more than views do, and of equally many those with the largest sum of weights.
More time never means fewer members or fewer views.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from statistics import median
from time import monotonic
from typing import TYPE_CHECKING

from scroll.errors import InputError

if TYPE_CHECKING:
    from scroll.config.schema import Settings

HOUR_S = 3600.0
VIEWS = {"none": 1, "flips": 4, "dihedral": 8}  # of a square window, by stage1.window.tta
SPARE_SHARE = (
    0.15  # every projection is longer by this: a busy disk, a cube that is fuller, a graphics card that is hot
)
RECENT_CUBES = (
    5  # whose median pace is that of the rest: one that stumbles changes little, three that are slow are believed
)
ALL_DONE = 1 - 1e-9  # but for rounding


@dataclass(frozen=True)
class MemberCost:
    """What a member takes for all windows of all cubes.

    Attributes:
        seconds_per_view: for one look of its networks at every window.
        views: that are requested: 1, 4 or 8.
        weight: in the ensemble.
        seconds_once: for what is done once a window, whatever the number of views: reading and blending.
    """

    name: str
    seconds_per_view: float
    views: int
    weight: float
    seconds_once: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what is no cost."""
        if self.views not in VIEWS.values() or self.seconds_per_view < 0 or self.seconds_once < 0 or self.weight < 0:
            raise InputError(
                f"cost of member '{self.name}': expected 1, 4 or 8 views and nothing below 0, found {self}"
            )

    @property
    def seconds(self) -> float:
        """With all its views."""
        return self.seconds_once + self.seconds_per_view * self.views


@dataclass(frozen=True)
class Plan:
    """Which members look, through how many views each.

    Attributes:
        kept: views by member.
        projected_s: what that takes, `SPARE_SHARE` included.
        dropped: one line for each thing given up, in that order.
    """

    kept: dict[str, int]
    projected_s: float
    dropped: list[str] = field(default_factory=list)

    def lines(self, limit_s: float) -> list[str]:
        """What to print before the prediction starts."""
        members = ", ".join(f"{name} x{views}" for name, views in self.kept.items())
        return [
            *self.dropped,
            f"projected: {in_words(self.projected_s)} of {in_words(limit_s)}, {SPARE_SHARE:.0%} to spare included: {members}",
        ]


def plan(costs: Sequence[MemberCost], fixed_s: float, limit_s: float) -> Plan:
    """The most that fits into `limit_s`; `fixed_s` is what no member changes: loading, post-processing, packing.

    Raises:
        InputError: no member, or not even the fastest with one view fits; the message says what would.
    """
    if not costs:
        raise InputError("time budget: no member at all; give stage1.members at least one")
    kept, dropped = list(costs), []
    while _projected(kept, fixed_s) > limit_s and any(cost.views > 1 for cost in kept):
        most = max(kept, key=lambda cost: (cost.views, cost.seconds_per_view, -cost.weight))
        fewer = replace(most, views=max(views for views in VIEWS.values() if views < most.views))
        kept[kept.index(most)] = fewer
        freed = in_words(most.seconds - fewer.seconds)
        dropped.append(f"member '{most.name}' looks through {fewer.views} of {most.views} views: {freed} less")
    fitting = _most_members(kept, fixed_s, limit_s)
    dropped += [
        f"member '{cost.name}' is left out (weight {cost.weight:.3g}): {in_words(cost.seconds)} less"
        for cost in kept
        if cost not in fitting
    ]
    return Plan({cost.name: cost.views for cost in fitting}, _projected(fitting, fixed_s), dropped)


def _most_members(costs: Sequence[MemberCost], fixed_s: float, limit_s: float) -> list[MemberCost]:
    """As many as fit, of equally many the weightiest, of equally weighty the quickest; in the order given."""
    for count in range(len(costs), 0, -1):
        fitting = [some for some in combinations(costs, count) if _projected(some, fixed_s) <= limit_s]
        if fitting:
            best = max(fitting, key=lambda some: (sum(cost.weight for cost in some), -_projected(some, fixed_s)))
            return list(best)
    fastest = _fastest(costs)
    raise InputError(
        f"time budget: {in_words(limit_s)} do not hold even member '{fastest.name}' with one view, which takes "
        f"{in_words(_projected([fastest], fixed_s))} ({SPARE_SHARE:.0%} to spare included); give that much, lower "
        "stage1.window.overlap, or predict on a faster machine"
    )


def _fastest(costs: Sequence[MemberCost]) -> MemberCost:
    alone = [replace(cost, views=1) for cost in costs]
    return min(alone, key=lambda cost: (cost.seconds, -cost.weight))


def _projected(costs: Sequence[MemberCost], fixed_s: float) -> float:
    return (fixed_s + sum(cost.seconds for cost in costs)) * (1 + SPARE_SHARE)


class Deadline:
    """Watches a prediction cube by cube, and plans the rest again where the machine is slower than was measured.

    Make it when the work begins, `limit_s` being what is left by then. Each new plan is the most of the first one that
    still fits, so that what is given up for a slow spell comes back after it, and the time to spare is kept for the end.
    Where no member of the first plan fits any more, the fastest of all goes on alone, with one view.

    Attributes:
        plan: for the cubes still to come.
        is_late: not even that will be done in time.
    """

    def __init__(
        self, costs: Sequence[MemberCost], fixed_s: float, limit_s: float, clock: Callable[[], float] = monotonic
    ) -> None:
        self.plan = plan(costs, fixed_s, limit_s)
        self.is_late = False
        self._first = self.plan.kept
        self._costs = list(costs)
        self._fixed_s, self._limit_s, self._clock = fixed_s, limit_s, clock
        self._began = self._before = clock()
        self._share = 0.0
        self._paces: list[float] = []

    def finished(self, share: float) -> Plan:
        """The plan for the rest, after a cube that is `share` (0 to 1) of all windows; its `dropped` is what has to go.

        The rest is taken to go on at the median pace of the last `RECENT_CUBES` cubes.
        """
        now = self._clock()
        expected_s = share * (self._fixed_s + sum(cost.seconds for cost in _within(self._costs, self.plan.kept)))
        self._paces.append((now - self._before) / expected_s if expected_s else 1.0)
        self._before = now
        self._share += share
        left = median(self._paces[-RECENT_CUBES:]) * (1 - self._share if self._share < ALL_DONE else 0.0)
        rest = [_times(cost, left) for cost in self._costs]
        self.plan = self._planned(rest, self._fixed_s * left, max(self._limit_s - (now - self._began), 0.0))
        return self.plan

    def _planned(self, rest: list[MemberCost], fixed_s: float, limit_s: float) -> Plan:
        first, fastest = _within(rest, self._first), _fastest(rest)
        self.is_late = _projected([fastest], fixed_s) > limit_s
        if _projected([_fastest(first)], fixed_s) <= limit_s:
            return plan(first, fixed_s, limit_s)
        projected_s = _projected([fastest], fixed_s)
        message = f"no time for more than member '{fastest.name}' with one view: the rest takes {in_words(projected_s)}"
        return Plan({fastest.name: 1}, projected_s, [message])


def _times(cost: MemberCost, factor: float) -> MemberCost:
    return replace(cost, seconds_per_view=cost.seconds_per_view * factor, seconds_once=cost.seconds_once * factor)


def _within(costs: Sequence[MemberCost], kept: Mapping[str, int]) -> list[MemberCost]:
    return [replace(cost, views=kept[cost.name]) for cost in costs if cost.name in kept]


def with_views(settings: "Settings", views: int) -> "Settings":
    """Settings whose stage one looks through so many views: 1, 4 or 8."""
    tta = next(name for name, count in VIEWS.items() if count == views)
    window = settings.stage1.window.model_copy(update={"tta": tta})
    return settings.model_copy(update={"stage1": settings.stage1.model_copy(update={"window": window})})


def in_words(seconds: float) -> str:
    """A duration for a reader.

    >>> in_words(30_600), in_words(75), in_words(2.25)
    ('8.50 h', '1.2 min', '2.2 s')
    """
    if seconds >= 3600:
        return f"{seconds / 3600:.2f} h"
    return f"{seconds / 60:.1f} min" if seconds >= 60 else f"{seconds:.1f} s"

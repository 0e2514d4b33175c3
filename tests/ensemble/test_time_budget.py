"""The hours of a notebook: hand-worked plans, what holds for every plan, and machines that turn out slow."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from ensemble.time_budget.measured_cost import measured_cost
from ensemble.time_budget.plan import SPARE_SHARE, Deadline, MemberCost, Plan, plan, with_views
from scroll.config.schema import Settings, WindowSettings
from scroll.errors import InputError
from scroll.inference.sliding_window import Prediction, Sweep, predict

HOUR = 3600.0
SPARED = 1 + SPARE_SHARE
costs_of_members = st.lists(
    st.builds(
        MemberCost,
        name=st.just(""),
        seconds_per_view=st.floats(0.1, 5000),
        views=st.sampled_from([1, 4, 8]),
        weight=st.floats(0, 1),
        seconds_once=st.floats(0, 500),
    ),
    min_size=1,
    max_size=5,
).map(lambda costs: [MemberCost(f"m{n}", *list(vars(cost).values())[1:]) for n, cost in enumerate(costs)])


def member(name: str, hours_per_view: float, views: int = 1, weight: float = 0.5) -> MemberCost:
    return MemberCost(name, hours_per_view * HOUR, views, weight)


def least_s(costs: list[MemberCost], fixed_s: float) -> float:
    return min((fixed_s + (cost.seconds_per_view + cost.seconds_once)) * SPARED for cost in costs)


def test_what_fits_is_left_alone_and_its_time_holds_the_spare() -> None:
    made = plan([member("a", 0.5, 8), member("b", 0.2, 4)], fixed_s=0.2 * HOUR, limit_s=9 * HOUR)
    assert made.kept == {"a": 8, "b": 4} and made.dropped == []
    assert made.projected_s == pytest.approx((4 + 0.8 + 0.2) * 1.15 * HOUR)
    assert made.lines(9 * HOUR) == ["projected: 5.75 h of 9.00 h, 15% to spare included: a x8, b x4"]


def test_the_most_views_of_the_slowest_go_first() -> None:
    costs = [member("a", 0.5, 8), member("b", 0.8, 8), member("c", 1.0, 4)]  # 4 + 6.4 + 4 = 14.4 h
    kept = [plan(costs, 0, hours * 1.15 * HOUR + 1).kept for hours in (14.4, 11.2, 9.2, 6.2, 3.8, 2.3)]
    assert kept == [
        {"a": 8, "b": 8, "c": 4},
        {"a": 8, "b": 4, "c": 4},  # of those with 8 views b is slower: 3.2 h less
        {"a": 4, "b": 4, "c": 4},  # 2 h less
        {"a": 4, "b": 4, "c": 1},
        {"a": 4, "b": 1, "c": 1},
        {"a": 1, "b": 1, "c": 1},
    ]
    made = plan(costs, 0, 9.2 * 1.15 * HOUR + 1)
    assert made.dropped == [
        "member 'b' looks through 4 of 8 views: 3.20 h less",
        "member 'a' looks through 4 of 8 views: 2.00 h less",
    ]


def test_as_many_members_stay_as_can_and_of_equally_many_the_weightiest() -> None:
    costs = [member("slow", 6, weight=0.5), member("light", 1, weight=0.1), member("quick", 1, 4, weight=0.4)]
    assert plan(costs, 0, 8 * 1.15 * HOUR + 1).kept == {"slow": 1, "light": 1, "quick": 1}
    assert plan(costs, 0, 7 * 1.15 * HOUR + 1).kept == {"slow": 1, "quick": 1}
    two = plan(costs, 0, 6.5 * 1.15 * HOUR)
    assert two.kept == {"light": 1, "quick": 1}  # slow alone would weigh as much, but is one
    assert two.dropped[-1] == "member 'slow' is left out (weight 0.5): 6.00 h less"
    assert plan(costs, 0, 1.15 * HOUR + 1).kept == {"quick": 1}


def test_where_nothing_fits_the_time_that_would_do_is_reported_and_does() -> None:
    costs = [member("a", 3, 8), member("b", 2, 4)]
    with pytest.raises(
        InputError, match=r"1\.00 h do not hold even member 'b' with one view, which takes 2\.88 h"
    ) as caught:
        plan(costs, fixed_s=0.5 * HOUR, limit_s=HOUR)
    assert "\n" not in str(caught.value)
    assert plan(costs, fixed_s=0.5 * HOUR, limit_s=2.5 * 1.15 * HOUR + 1e-6).kept == {"b": 1}
    with pytest.raises(InputError, match="no member"):
        plan([], 0, HOUR)
    for wrong in ({"views": 3}, {"seconds_per_view": -1.0}, {"weight": -0.1}):
        with pytest.raises(InputError, match="cost of member 'a'"):
            MemberCost(**{"name": "a", "seconds_per_view": 1.0, "views": 1, "weight": 0.5} | wrong)


@examples(max_examples=300, deadline=None)
@given(costs_of_members, st.floats(0, 1000), st.floats(1, 100_000))
def test_a_plan_is_never_over_time_and_drops_views_before_members(
    costs: list[MemberCost], fixed_s: float, limit_s: float
) -> None:
    if least_s(costs, fixed_s) > limit_s:
        with pytest.raises(InputError, match="do not hold"):
            plan(costs, fixed_s, limit_s)
        return
    made = plan(costs, fixed_s, limit_s)
    by_name = {cost.name: cost for cost in costs}
    spent = sum(by_name[name].seconds_once + by_name[name].seconds_per_view * n for name, n in made.kept.items())
    assert made.projected_s == pytest.approx((fixed_s + spent) * SPARED) and made.projected_s <= limit_s
    assert all(views <= by_name[name].views for name, views in made.kept.items())
    if len(made.kept) < len(costs):
        assert set(made.kept.values()) == {1}
    assert bool(made.dropped) == (made.kept != {cost.name: cost.views for cost in costs})


@examples(max_examples=300, deadline=None)
@given(costs_of_members, st.floats(0, 1000), st.floats(1, 100_000), st.floats(1, 3))
def test_more_hours_never_give_less(costs: list[MemberCost], fixed_s: float, limit_s: float, factor: float) -> None:
    assume(least_s(costs, fixed_s) <= limit_s)
    less, more = plan(costs, fixed_s, limit_s), plan(costs, fixed_s, limit_s * factor)
    assert len(more.kept) >= len(less.kept)
    if len(less.kept) == len(costs):
        assert all(more.kept[name] >= views for name, views in less.kept.items())


class Machine:
    """Its clock shows what it has spent; `pace(share done)` is how much slower than measured it is."""

    def __init__(self, costs: list[MemberCost], fixed_s: float, pace: Callable[[float], float]) -> None:
        self.costs, self.fixed_s, self.pace, self.now_s = costs, fixed_s, pace, 0.0

    def run(self, limit_s: float, cubes: int) -> list[Plan]:
        watch = Deadline(self.costs, self.fixed_s, limit_s, clock=lambda: self.now_s)
        plans = [watch.plan]
        for cube in range(cubes):
            kept = plans[-1].kept
            chosen = [cost for cost in self.costs if cost.name in kept]
            work = sum(cost.seconds_once + cost.seconds_per_view * kept[cost.name] for cost in chosen)
            self.now_s += (self.fixed_s + work) / cubes * self.pace(cube / cubes)
            plans.append(watch.finished(1 / cubes))
        return plans


def test_a_machine_as_measured_gives_up_nothing_on_the_way() -> None:
    costs = [member("a", 0.5, 8), member("b", 0.7, 4)]
    plans = Machine(costs, HOUR, lambda done: 1.0).run(9 * HOUR, cubes=120)
    assert all(made.kept == {"a": 8, "b": 4} and not made.dropped for made in plans)
    assert plans[60].projected_s == pytest.approx(plans[0].projected_s / 2)
    assert plans[-1].projected_s == 0


def test_a_machine_that_is_slow_gives_up_views_after_the_first_cube_and_finishes() -> None:
    machine = Machine([member("a", 0.5, 8), member("b", 0.7, 4)], 0, lambda done: 2.0)  # 6.8 h become 13.6 h
    plans = machine.run(9 * HOUR, cubes=120)
    assert plans[1].kept == {"a": 4, "b": 1} and plans[1].dropped[0].startswith("member 'a' looks through 4 of 8")
    assert 5 * HOUR < machine.now_s <= 9 * HOUR


def test_one_cube_that_stumbles_costs_no_views_and_a_slow_spell_only_while_it_lasts() -> None:
    costs, limit_s = [member("a", 0.5, 8)], 4 * 1.15 * HOUR + 1
    stumbling = Machine(costs, 0, lambda done: 5.0 if done == 0.5 else 1.0).run(limit_s, cubes=100)
    assert all(made.kept == {"a": 8} for made in stumbling)
    spell = Machine(costs, 0, lambda done: 3.0 if 0.2 <= done < 0.26 else 1.0).run(limit_s, cubes=100)
    assert spell[19].kept == spell[-1].kept == {"a": 8} and spell[24].kept != {"a": 8}


@examples(max_examples=200, deadline=None)
@given(costs_of_members, st.floats(1, 4), st.floats(0, 1))
def test_whenever_a_slow_machine_begins_to_be_slow_it_finishes_if_it_can(
    costs: list[MemberCost], slower: float, since: float
) -> None:
    # the least plan, at the slow pace all the way, is to need at most half of the time
    limit_s = 2 * slower * least_s(costs, 0)
    machine = Machine(costs, 0, lambda done: slower if done >= since else 1.0)
    machine.run(limit_s, cubes=100)
    assert machine.now_s <= limit_s


def test_a_member_that_was_left_out_stands_in_where_those_of_the_first_plan_are_too_slow() -> None:
    machine = Machine([member("heavy", 7, weight=0.9), member("quick", 1, weight=0.1)], 0, lambda done: 4.0)
    plans = machine.run(8.5 * HOUR, cubes=50)
    assert plans[0].kept == {"heavy": 1} and plans[1].kept == plans[25].kept == {"quick": 1}
    assert plans[1].dropped[0].startswith("no time for more than member 'quick' with one view")
    assert machine.now_s <= 8.5 * HOUR


def test_when_it_is_too_late_for_anything_the_least_goes_on_and_that_is_said() -> None:
    now_s = [0.0]
    watch = Deadline([member("a", 2, 4), member("b", 1, 4)], 0, 10.5 * 1.15 * HOUR, clock=lambda: now_s[0])
    assert watch.plan.kept == {"a": 1, "b": 4} and not watch.is_late
    now_s[0] = 11.9 * HOUR
    rest = watch.finished(0.5)
    assert watch.is_late and rest.kept == {"b": 1} and "no time for more than member 'b'" in rest.dropped[0]
    now_s[0] = 13 * HOUR
    assert watch.finished(0.5).projected_s == 0 and watch.plan.dropped == []


def tiny(tta: str, patch: tuple[int, int, int], log: list[int]) -> Prediction:
    """A look of the network advances the clock in `log` by 2 and 5 a window, a reading by 1; rows of 3 windows, batches of 2."""
    window = WindowSettings.model_validate({"tta": tta, "overlap": 0.5, "batch_size": 2})

    def read(corner: tuple[int, ...]) -> np.ndarray:
        log.append(1)
        return np.zeros((1, *patch), np.float32)

    def look(windows: torch.Tensor) -> torch.Tensor:
        log.append(2 + 5 * len(windows))
        return windows

    return Prediction(Sweep((8, 16, 16), patch, window, (0, 16)), read, lambda: look, (8, 16, 16))


@pytest.mark.parametrize(
    ("tta", "patch", "views"),
    [("none", (8, 8, 8), 1), ("flips", (8, 8, 8), 4), ("dihedral", (8, 8, 8), 8), ("dihedral", (8, 8, 16), 4)],
)
def test_the_measured_cost_is_what_the_prediction_then_takes(tta: str, patch: tuple[int, int, int], views: int) -> None:
    log: list[int] = []
    prediction = tiny(tta, patch, log)
    cost = measured_cost("a", [prediction, prediction], 0.25, clock=lambda: float(sum(log)))
    assert (cost.name, cost.views, cost.weight) == ("a", views, 0.25)
    log.clear()
    for _ in range(2):
        prediction.run(lambda row, values: None, 0)
    assert cost.seconds == pytest.approx(sum(log))


@pytest.mark.parametrize("cubes", [1, 200])
def test_a_prediction_is_hardly_held_up_by_its_projection_however_quick_a_window_is(cubes: int) -> None:
    log: list[int] = []
    prediction = tiny("none", (8, 8, 8), log)
    prediction.run(lambda row, values: None, 0)
    once = len(log)
    log.clear()
    measured_cost("a", [prediction] * cubes, 1.0, clock=lambda: 0.0)
    assert 0 < len(log) <= max(3 * once, 0.1 * cubes * once)


def test_no_window_to_time_is_reported() -> None:
    with pytest.raises(InputError, match="no window"):
        measured_cost("a", [], 1.0)


def test_fewer_views_are_settings_that_look_through_so_many(tmp_path: Path) -> None:
    wanted = {"run_dir": tmp_path, "stage1": {"members": {"a": {"network": "cnn3d"}}, "window": {"tta": "dihedral"}}}
    settings = Settings.model_validate(wanted)
    for views in (1, 4, 8):
        looked: list[int] = []

        def look(windows: torch.Tensor, looked: list[int] = looked) -> torch.Tensor:
            looked.append(1)
            return windows

        window = with_views(settings, views).stage1.window
        assert window.model_copy(update={"tta": "dihedral"}) == settings.stage1.window
        predict(Sweep((4, 4), (4, 4), window, (0, 4)), lambda _: np.zeros((1, 4, 4)), look, lambda row, values: None)
        assert math.isclose(sum(looked), views)

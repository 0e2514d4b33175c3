"""How long a member takes, from batches of its windows on this machine."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from itertools import product

import numpy as np
from torch import Tensor

from ensemble.time_budget.plan import VIEWS, MemberCost
from scroll.errors import InputError
from scroll.inference.sliding_window import Prediction, Sweep, predict, symmetric_mean

AT_LEAST_S = 1.0  # a batch of small windows takes milliseconds, and those depend on what else the machine does
SHARE, LEAST_TIMES = 0.05, 3  # of how often it will be done anyway: a small prediction is not held up by its projection
Clock = Callable[[], float]


def measured_cost(
    name: str, predictions: Sequence[Prediction], weight: float, clock: Clock = time.perf_counter
) -> MemberCost:
    """The cost of a member over all cubes, whose predictions share the size of windows, settings and networks.

    Windows are looked at through one view, in batches of every size that there will be (the last of a row is often smaller,
    and a window alone may take as long as two): once to warm up, then again for `AT_LEAST_S`, or `SHARE` of the times that it
    will be done anyway. Reading a window and blending it in are timed apart, for they do not grow with the views.

    Raises:
        InputError: no window at all.
    """
    batches: Counter[int] = sum((_batches(prediction.sweep) for prediction in predictions), Counter())
    if not batches:
        raise InputError(f"time budget: member '{name}' has no window to look at; give at least one cube")
    windows = sum(size * times for size, times in batches.items())
    first = next(prediction for prediction in predictions if prediction.count(0))
    look_s, once_s = _seconds(first, batches, clock)
    return MemberCost(name, look_s, _views(first.sweep), weight, once_s * windows)


def _batches(sweep: Sweep) -> Counter[int]:
    """How many batches of each size there will be."""
    sizes: Counter[int] = Counter()
    starts, full = sweep.starts(), sweep.settings.batch_size
    for y in sweep.row_starts(sweep.rows[0]):
        starts[-2] = [y]
        count = sum(1 for corner in product(*starts) if sweep.is_needed(corner))
        sizes.update({full: count // full, count % full: 1})
    return Counter({size: times for size, times in sizes.items() if size and times})


def _seconds(prediction: Prediction, batches: Counter[int], clock: Clock) -> tuple[float, float]:
    """For all batches through one view, and for reading and blending one window."""
    sweep, forward = prediction.sweep, prediction.load()
    corner = next(filter(sweep.is_needed, product(*sweep.starts())))
    window = prediction.read(corner)
    plain = sweep.settings.model_copy(update={"tta": "none"})
    alone = Sweep(sweep.patch, sweep.patch, plain, (0, sweep.patch[-2]))

    def look(size: int) -> Tensor:
        return symmetric_mean(
            forward, prediction.place(np.stack([window] * size)), plain
        ).cpu()  # waits for the graphics card

    def read_and_blend(scores: Tensor) -> None:
        predict(
            alone, lambda _: prediction.read(corner), lambda _: scores, lambda row, values: None, place=prediction.place
        )

    look_s = sum(times * _mean_seconds(partial(look, size), times, clock) for size, times in batches.items())
    windows = sum(size * times for size, times in batches.items())
    return look_s, _mean_seconds(partial(read_and_blend, look(1)), windows, clock)


def _mean_seconds(do: Callable[[], object], to_do: int, clock: Clock) -> float:
    """Of something that will be done so many times."""
    do()
    began, times, most = clock(), 0, max(LEAST_TIMES, round(SHARE * to_do))
    while not times or (times < most and clock() - began < AT_LEAST_S):
        do()
        times += 1
    return (clock() - began) / times


def _views(sweep: Sweep) -> int:
    """A window that is not square has no quarter turns."""
    views = VIEWS[sweep.settings.tta]
    return views if sweep.patch[-1] == sweep.patch[-2] else min(views, VIEWS["flips"])

"""The post-processing that scores best on out-of-fold cubes, step by step, with what every step brought.

A step is taken in only where it raises the mean leaderboard score. The threshold, the blur before it and the thickness
after it hang together, so the threshold is searched again with each of the two.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from itertools import groupby
from statistics import fmean, stdev
from typing import Any

import numpy.typing as npt
from pydantic import ConfigDict, Field, model_serializer, model_validator

from ensemble.surface.postprocess.pipeline import SWITCHES, PostProcessing, advance, by_new_names, start
from scroll.config.schema import PostProcessingSettings
from scroll.errors import InputError
from scroll.metrics.leaderboard import SurfaceScore, leaderboard_score, mean_score
from scroll.runtime.processes import Jobs, in_order
from scroll.runtime.record import Record

Volume = npt.NDArray[Any]
Lazy = Volume | Callable[[], Volume]
Cube = tuple[Lazy, Lazy]  # probability and label (Z, Y, X) of 0, 1 and 2, or what reads them
Means = dict[str, float]
NAMES = {field.name for field in fields(PostProcessing)}
Scorer = Callable[[Sequence[PostProcessing]], list[list[SurfaceScore]]]  # of each post-processing, every cube
FURTHER = {"smoothing": ("threshold",), "thickness": ("threshold",), "even": ("even_level",)}  # that a step decides too
THRESHOLD_SHARES = (0.5, 0.75, 1.0, 1.3)  # of the threshold so far that are tried with another blur or thickness


class Trial(Record):
    """The best value of a step, whether it is kept from here on, and what `mean_score` gave with it.

    Beside the fields that have names lie, flat as in JSON, those of `PostProcessing` that the step decides, and the other means.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, int | float]

    step: str
    is_kept: bool = Field(alias="kept")
    gain: float
    score: float

    @model_validator(mode="before")
    @classmethod
    def _of_before(cls, content: Any) -> Any:
        return by_new_names(content) if isinstance(content, Mapping) else content

    @property
    def value(self) -> dict[str, int | float]:
        """What the step decides, by the names of `PostProcessing`'s fields."""
        return {name: value for name, value in self.__pydantic_extra__.items() if name in NAMES}

    @model_serializer
    def _in_order(self) -> dict[str, str | bool | int | float]:
        of_step = {"step": self.step, **self.value, "kept": self.is_kept}
        return {**of_step, "gain": self.gain, "score": self.score, **self.__pydantic_extra__}


@dataclass(frozen=True)
class PostProcessingFit:
    """The fitted post-processing, the best threshold alone, all that was tried, in order, and the score on each cube."""

    post_processing: PostProcessing
    plain: PostProcessing
    trials: tuple[Trial, ...]
    scores: tuple[SurfaceScore, ...]

    @property
    def means(self) -> Means:
        """Mean score and parts of post-processing on the cubes that it was fitted on."""
        return mean_score(self.scores)


def fit_post_processing(
    cubes: Sequence[Cube], settings: PostProcessingSettings, jobs: Jobs = 1, groups: Sequence[str] = ()
) -> PostProcessingFit:
    """The post-processing with the highest mean score on cubes of (probability, label), greedily.

    With `groups`, say the scroll of each cube, a step is kept only if no group loses by it, beyond the standard error of its mean
    change: what helps one scroll at the cost of another is no rule for a third.

    First the best threshold alone, on the grid and half-way to its neighbours, whichever group loses by it; then every step
    in turn with each value of its grid, kept where it raises the mean by more than `min_gain`; then all once more, now also
    switching off. Probabilities must be out of fold. Either volume may be a function that reads it, picklable where `jobs` is above 1.

    Raises:
        InputError: no cube, or cubes that cannot be scored.
    """
    if not cubes:
        raise InputError("post-processing: no cube to fit on; give out-of-fold predictions and their labels")
    scorer = partial(each_score, cubes=cubes, jobs=jobs)
    fit = _best(None, "threshold", [PostProcessing(low) for low in settings.thresholds], scorer, groups)
    if halves := _between(settings.thresholds, fit.post_processing.threshold):
        fit = _best(fit, "threshold", [PostProcessing(low) for low in halves], scorer, groups, is_guarded=False)
    fit = replace(fit, plain=fit.post_processing)
    for turn in range(settings.passes):
        before = fit.post_processing
        for step in SWITCHES:
            candidates = _candidates(fit.post_processing, step, settings)
            if candidates and (turn or step != "threshold"):
                fit = _best(fit, step, candidates, scorer, groups, settings.min_gain)
        if fit.post_processing == before:
            break
    return fit


def no_group_loses(after: Sequence[float], before: Sequence[float], groups: Sequence[str]) -> bool:
    """Whether no group's mean falls by more than the standard error of its change, cube by cube; a lone cube may not fall at all.

    >>> no_group_loses([0.5, 0.7, 0.6, 0.4], [0.5, 0.6, 0.5, 0.6], ["a", "a", "b", "b"])  # b: -0.05, give or take 0.15
    True
    >>> no_group_loses([0.5, 0.7, 0.4, 0.4], [0.5, 0.6, 0.5, 0.6], ["a", "a", "b", "b"])  # b: -0.15, give or take 0.05
    False
    """
    for group in dict.fromkeys(groups):
        changes = [a - b for a, b, of in zip(after, before, groups, strict=True) if of == group]
        error = stdev(changes) / math.sqrt(len(changes)) if len(changes) > 1 else 0.0
        if fmean(changes) < -error:
            return False
    return True


def each_score(choices: Sequence[PostProcessing], cubes: Sequence[Cube], jobs: Jobs = 1) -> list[list[SurfaceScore]]:
    """The score of every cube, one post-processing after the other."""
    of_cubes = list(in_order(partial(_scores, choices), cubes, jobs))
    return [[scores[i] for scores in of_cubes] for i in range(len(choices))]


def _scores(choices: Sequence[PostProcessing], cube: Cube) -> list[SurfaceScore]:
    """One cube's score with each post-processing; what neighbouring ones begin with alike is done once."""
    prob, label = (volume() if callable(volume) else volume for volume in cube)
    state = start(prob)
    scores = []
    for _, group in groupby(choices, lambda how: how.smooth_sigma_vox):
        alike = list(group)
        steps = list(SWITCHES)
        shared = next((i for i, step in enumerate(steps) if i and not _is_same(step, alike)), len(steps))
        begun = advance(alike[0], state, steps[:shared])
        scores += [leaderboard_score(advance(how, begun, steps[shared:]).mask, label) for how in alike]
    return scores


def _is_same(step: str, choices: Sequence[PostProcessing]) -> bool:
    return len({tuple(_value(step, how).values()) for how in choices}) == 1


def _value(step: str, how: PostProcessing) -> dict[str, float]:
    """What decides a step, by the names of `PostProcessing`'s fields."""
    names = {SWITCHES[step]: None} | dict.fromkeys(FURTHER.get(step, ()))
    return {name: getattr(how, name) for name in names}


def _candidates(how: PostProcessing, step: str, settings: PostProcessingSettings) -> list[PostProcessing]:
    """The post-processing with every other value of a step that is worth trying, and without it."""
    switch = SWITCHES[step]
    changes: list[dict[str, float]]
    if step == "threshold":
        changes = [{switch: low} for low in (*settings.thresholds, *_between(settings.thresholds, how.threshold))]
    elif step == "even":
        changes = [{switch: sigma, "even_level": level} for sigma, level in settings.even]
    else:
        lows = [round(how.threshold * share, 4) for share in THRESHOLD_SHARES if step in FURTHER] or [how.threshold]
        changes = [{switch: value, "threshold": min(low, 1.0)} for value in getattr(settings, switch) for low in lows]
    if step != "threshold" and changes:
        changes.append({switch: 0})
    changed = [replace(how, **change) for change in changes]  # type: ignore[arg-type]
    return [one for one in dict.fromkeys(changed) if one != how]


def _between(grid: Sequence[float], value: float) -> list[float]:
    """Half-way from a value to its neighbours in a grid.

    >>> _between((0.25, 0.5, 1.0), 0.5)
    [0.375, 0.75]
    """
    below = [(value + other) / 2 for other in grid if other < value][-1:]
    above = [(value + other) / 2 for other in grid if other > value][:1]
    return below + above


def _best(
    fit: "PostProcessingFit | None",
    step: str,
    candidates: Sequence[PostProcessing],
    scorer: Scorer,
    groups: Sequence[str],
    min_gain: float = 0.0,
    is_guarded: bool = True,
) -> PostProcessingFit:
    """The fit with the best candidate taken in, if it is better and, where that is guarded, no group loses; the trial is noted
    either way.
    """
    scores = scorer(candidates)
    guards = fit.scores if fit and is_guarded else None
    allowed = [i for i, one in enumerate(scores) if guards is None or no_group_loses(_each(one), _each(guards), groups)]
    best = max(allowed or range(len(candidates)), key=lambda i: mean_score(scores[i])["score"])
    gain = mean_score(scores[best])["score"] - (fit.means["score"] if fit else 0.0)
    is_kept = fit is None or (bool(allowed) and gain > min_gain)
    means = mean_score(scores[best]) | _of_groups(scores[best], groups)
    trial = Trial(step=step, **_value(step, candidates[best]), kept=is_kept, gain=gain, **means)
    trials = (*(fit.trials if fit else ()), trial)
    if fit is not None and not is_kept:
        return replace(fit, trials=trials)
    return PostProcessingFit(candidates[best], fit.plain if fit else candidates[best], trials, tuple(scores[best]))


def _each(scores: Sequence[SurfaceScore]) -> list[float]:
    return [score.score for score in scores]


def _of_groups(scores: Sequence[SurfaceScore], groups: Sequence[str]) -> Means:
    """The mean score of each group, as "score of <group>"."""
    return {
        f"score of {group}": fmean(score for score, of in zip(_each(scores), groups, strict=True) if of == group)
        for group in dict.fromkeys(groups)
    }

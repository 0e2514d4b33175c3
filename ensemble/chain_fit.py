"""The post-processing chain that scores best on out-of-fold cubes, step by step, with what every step brought.

A step is taken in only where it raises the mean leaderboard score. The threshold, the blur before it and the thickness
after it hang together, so the threshold is searched anew with each of the two.
"""

from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from statistics import fmean
from typing import Any

import numpy.typing as npt

from ensemble.chain import SWITCHES, Chain, advance, start
from scroll.config import ChainSettings
from scroll.errors import InputError
from scroll.metrics.leaderboard import SurfaceScore, leaderboard_score, mean_score
from scroll.processes import in_order

Volume = npt.NDArray[Any]
Lazy = Volume | Callable[[], Volume]
Cube = tuple[Lazy, Lazy]  # probability and label (Z, Y, X) of 0, 1 and 2, or what reads them
Means = dict[str, float]
Scorer = Callable[[Sequence[Chain]], list[Means]]  # one of each chain; the scores of groups are under their names
FURTHER = {"smoothing": ("threshold",), "thickness": ("threshold",), "even": ("even_level",)}  # that a step decides too
OF_GROUP = "score of "
THRESHOLD_SHARES = (0.5, 0.75, 1.0, 1.3)  # of the threshold so far that are tried with another blur or thickness


@dataclass(frozen=True)
class Trial:
    """The best value of a step, whether it is in the chain from here on, and what `mean_score` gave with it."""

    step: str
    value: dict[str, float]
    is_kept: bool
    gain: float
    means: Means

    def as_record(self) -> dict[str, Any]:
        """Its fields by name, ready for JSON; the means beside them."""
        return {"step": self.step, **self.value, "kept": self.is_kept, "gain": self.gain, **self.means}


@dataclass(frozen=True)
class ChainFit:
    """The fitted chain, the best threshold alone, and all that was tried, in order."""

    chain: Chain
    plain: Chain
    trials: tuple[Trial, ...]

    @property
    def means(self) -> Means:
        """Mean score and parts of the chain on the cubes that it was fitted on."""
        return next(trial.means for trial in reversed(self.trials) if trial.is_kept)

    def as_record(self) -> dict[str, Any]:
        """For fit.json."""
        return {
            "chain": self.chain.as_record(),
            "plain": self.plain.as_record(),
            "trials": [trial.as_record() for trial in self.trials],
        }


def fit_chain(
    cubes: Sequence[Cube], settings: ChainSettings, jobs: int | Executor = 1, groups: Sequence[str] = ()
) -> ChainFit:
    """The chain with the highest mean score on cubes of (probability, label), greedily.

    With `groups`, say the scroll of each cube, a step is kept only if no group loses by it: what helps one scroll at the
    cost of another is no rule for a third.

    First the best threshold alone, on the grid and half-way to its neighbours, whichever group loses by it; then every step
    in turn with each value of its grid, kept where it raises the mean by more than `min_gain`; then all once more, now also
    switching off. Probabilities must be out of fold. Either volume may be a function that reads it, picklable where `jobs` is above 1.

    Raises:
        InputError: no cube, or cubes that cannot be scored.
    """
    if not cubes:
        raise InputError("post-processing: no cube to fit on; give out-of-fold predictions and their labels")
    scorer = partial(mean_scores, cubes=cubes, jobs=jobs, groups=groups)
    fit = _best(None, "threshold", [Chain(low) for low in settings.thresholds], scorer, 0.0)
    if halves := _between(settings.thresholds, fit.chain.threshold):
        fit = _best(fit, "threshold", [Chain(low) for low in halves], scorer, 0.0, is_guarded=False)
    fit = replace(fit, plain=fit.chain)
    for turn in range(settings.passes):
        before = fit.chain
        for step in SWITCHES:
            candidates = _candidates(fit.chain, step, settings)
            if candidates and (turn or step != "threshold"):
                fit = _best(fit, step, candidates, scorer, settings.min_gain)
        if fit.chain == before:
            break
    return fit


def left_out_gain(
    cubes: Sequence[Cube], groups: Sequence[Hashable], settings: ChainSettings, jobs: int | Executor = 1
) -> dict[Hashable, tuple[Means, Means]]:
    """Per group, say scroll, what threshold alone and chain score on its cubes when both are fitted on all the others.

    The means are those of `mean_score`.

    Raises:
        InputError: not one group for each cube, or fewer than two groups.
    """
    if len(groups) != len(cubes) or len(set(groups)) < 2:
        raise InputError(
            f"post-processing: {len(cubes)} cubes and {len(groups)} groups, {len(set(groups))} of them different; "
            "give one group for each cube, and cubes of at least two"
        )
    gains = {}
    for group in dict.fromkeys(groups):
        fitted = fit_chain([cube for cube, of in zip(cubes, groups, strict=True) if of != group], settings, jobs)
        left_out = [cube for cube, of in zip(cubes, groups, strict=True) if of == group]
        plain, chain = mean_scores([fitted.plain, fitted.chain], left_out, jobs)
        gains[group] = plain, chain
    return gains


def mean_scores(
    chains: Sequence[Chain], cubes: Sequence[Cube], jobs: int | Executor = 1, groups: Sequence[str] = ()
) -> list[Means]:
    """What `mean_score` gives for each chain on all cubes, and the mean score of each group as "score of <group>"."""
    found = []
    for scores in each_score(chains, cubes, jobs):
        of_groups = {
            f"{OF_GROUP}{group}": fmean(s.score for s, g in zip(scores, groups, strict=True) if g == group)
            for group in dict.fromkeys(groups)
        }
        found.append(mean_score(scores) | of_groups)
    return found


def each_score(chains: Sequence[Chain], cubes: Sequence[Cube], jobs: int | Executor = 1) -> list[list[SurfaceScore]]:
    """The score of every cube, chain by chain."""
    of_cubes = list(in_order(partial(_scores, chains), cubes, jobs))
    return [[scores[i] for scores in of_cubes] for i in range(len(chains))]


def _scores(chains: Sequence[Chain], cube: Cube) -> list[SurfaceScore]:
    """One cube's score with each chain; what neighbouring chains begin with alike is done once."""
    prob, label = (volume() if callable(volume) else volume for volume in cube)
    state = start(prob)
    scores = []
    for _, group in groupby(chains, lambda chain: chain.smooth_sigma_vox):
        alike = list(group)
        steps = list(SWITCHES)
        shared = next((i for i, step in enumerate(steps) if i and not _is_same(step, alike)), len(steps))
        begun = advance(alike[0], state, steps[:shared])
        scores += [leaderboard_score(advance(chain, begun, steps[shared:]).mask, label) for chain in alike]
    return scores


def _is_same(step: str, chains: Sequence[Chain]) -> bool:
    return len({tuple(_value(step, chain).values()) for chain in chains}) == 1


def _value(step: str, chain: Chain) -> dict[str, float]:
    """What decides a step, by the names of the chain's fields."""
    names = {SWITCHES[step]: None} | dict.fromkeys(FURTHER.get(step, ()))
    return {name: getattr(chain, name) for name in names}


def _candidates(chain: Chain, step: str, settings: ChainSettings) -> list[Chain]:
    """The chain with every other value of a step that is worth trying, and without it."""
    switch = SWITCHES[step]
    changes: list[dict[str, float]]
    if step == "threshold":
        changes = [{switch: low} for low in (*settings.thresholds, *_between(settings.thresholds, chain.threshold))]
    elif step == "even":
        changes = [{switch: sigma, "even_level": level} for sigma, level in settings.even]
    else:
        lows = [round(chain.threshold * share, 4) for share in THRESHOLD_SHARES if step in FURTHER] or [chain.threshold]
        changes = [{switch: value, "threshold": min(low, 1.0)} for value in getattr(settings, switch) for low in lows]
    if step != "threshold" and changes:
        changes.append({switch: 0})
    changed = [replace(chain, **change) for change in changes]  # type: ignore[arg-type]
    return [one for one in dict.fromkeys(changed) if one != chain]


def _between(grid: Sequence[float], value: float) -> list[float]:
    """Half-way from a value to its neighbours in a grid.

    >>> _between((0.25, 0.5, 1.0), 0.5)
    [0.375, 0.75]
    """
    below = [(value + other) / 2 for other in grid if other < value][-1:]
    above = [(value + other) / 2 for other in grid if other > value][:1]
    return below + above


def _best(
    fit: "ChainFit | None",
    step: str,
    candidates: Sequence[Chain],
    scorer: Scorer,
    min_gain: float,
    is_guarded: bool = True,
) -> ChainFit:
    """The fit with the best candidate taken in, if it is better and, where that is guarded, no group loses; the trial is noted
    either way.
    """
    means = scorer(candidates)
    before = fit.means if fit and is_guarded else {}
    allowed = [i for i in range(len(candidates)) if _no_group_loses(means[i], before)]
    best = max(allowed or range(len(candidates)), key=lambda i: means[i]["score"])
    gain = means[best]["score"] - (fit.means["score"] if fit else 0.0)
    is_kept = fit is None or (bool(allowed) and gain > min_gain)
    trial = Trial(step, _value(step, candidates[best]), is_kept, gain, means[best])
    chain = candidates[best] if fit is None or is_kept else fit.chain
    return ChainFit(chain, fit.plain if fit else chain, (*(fit.trials if fit else ()), trial))


def _no_group_loses(found: Means, before: Means) -> bool:
    return all(found[name] >= before[name] for name in before if name.startswith(OF_GROUP))

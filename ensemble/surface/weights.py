"""Weights of the members on cubes: a search about the equal mean, judged by the leaderboard's score out of fold."""

from collections.abc import Sequence
from dataclasses import dataclass

from ensemble.surface.fit_record import FittedWeights
from ensemble.surface.postprocess.fit import Lazy, each_score
from ensemble.surface.postprocess.pipeline import PostProcessing
from ensemble.surface.predictors import Blended, Predicted, as_pairs
from scroll.config.schema import EnsembleSettings
from scroll.data.cubes import Cube
from scroll.metrics.bootstrap import resampled_means
from scroll.metrics.leaderboard import SurfaceScore
from scroll.runtime.processes import Jobs

FACTORS = (0.0, 0.5, 2.0)  # by which one weight at a time is changed
AROUND = (0.8, 1.0, 1.25)  # of the equal mean's threshold, that a changed blend is judged at
ROUNDS = 3
Weights = dict[str, float]


@dataclass(frozen=True)
class _Judged:
    """A blend at the best of its thresholds, and its score on every cube."""

    weights: Weights
    threshold: float
    scores: list[float]

    @property
    def mean(self) -> float:
        return sum(self.scores) / len(self.scores)


def fitted_weights(
    where: Predicted,
    members: Sequence[str],
    cubes: Sequence[Cube],
    labels: Sequence[Lazy],
    settings: EnsembleSettings,
    jobs: Jobs,
) -> FittedWeights:
    """Start at the equal mean; halve, double or drop one member at a time as long as the out-of-fold score rises.

    The gain is given with its bootstrap interval over scrolls and cubes; it is that of the very cubes it was fitted on.
    """

    def judged(weights: Weights, thresholds: Sequence[float]) -> _Judged:
        pairs = [(Blended(where, as_pairs(weights), cube.id), label) for cube, label in zip(cubes, labels, strict=True)]
        scores = each_score([PostProcessing(threshold) for threshold in thresholds], pairs, jobs)
        ranked = [_Judged(weights, t, _totals(of_cubes)) for t, of_cubes in zip(thresholds, scores, strict=True)]
        return max(ranked, key=lambda one: one.mean)

    equal = best = judged(dict.fromkeys(members, 1 / len(members)), settings.post_processing.thresholds)
    thresholds = [min(0.95, share * equal.threshold) for share in AROUND]
    if settings.weights == "fitted" and len(members) > 1:
        for _ in range(ROUNDS):
            found = max(
                (judged(one, thresholds) for one in _changed(best.weights)), key=lambda one: one.mean, default=best
            )
            if found.mean <= best.mean:
                break
            best = found
    gain = resampled_means([best.scores, equal.scores], [cube.volume_name for cube in cubes]).gain(0, 1)
    return FittedWeights(
        weights=best.weights, score=best.mean, equal_mean_score=equal.mean, gain_where_fitted=gain
    )  # fmt: skip


def _changed(weights: Weights) -> list[Weights]:
    """Every blend that differs from this one by one member's factor; each sums to one."""
    found = []
    for name in weights:
        for factor in FACTORS:
            changed = weights | {name: weights[name] * factor}
            total = sum(changed.values())
            if total > 0:
                found.append({one: weight / total for one, weight in changed.items()})
    return [one for one in found if one != weights]


def _totals(scores: Sequence[SurfaceScore]) -> list[float]:
    return [score.score for score in scores]

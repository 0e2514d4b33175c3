"""What out-of-fold predictions of cubes say: every predictor by fold, score over threshold, how honest the blend is, who is missed."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ensemble.surface.fit_record import WithoutOne
from ensemble.surface.postprocess.fit import Lazy, each_score, fit_post_processing
from ensemble.surface.postprocess.pipeline import PostProcessing
from scroll.config.schema import PostProcessingSettings
from scroll.data.labels import SURFACE_IGNORE
from scroll.metrics.bootstrap import resampled_means
from scroll.metrics.calibration import Evidence, FoldPieces, Reliability, Sweep, reliability
from scroll.metrics.fbeta import Counts, level_counts
from scroll.metrics.leaderboard import SurfaceScore, mean_score
from scroll.runtime.processes import Jobs, in_order

Labelled = Sequence[tuple[Lazy, Lazy]]
SWEPT = tuple(round(0.1 * n, 1) for n in range(1, 10))  # thresholds: each costs as much as scoring all cubes
SWEPT_CUBES = 6  # that are looked at, for the same reason
PARTS = ("score", "topo", "surface_dice", "voi_score")


def parts_of(score: SurfaceScore) -> dict[str, float]:
    """The score of a cube and its parts, for JSON."""
    return {name: float(getattr(score, name)) for name in PARTS}


def by_fold(
    parts: Mapping[str, Sequence[Mapping[str, float]]], cubes: Sequence[str], fold_of: Mapping[str, int]
) -> Evidence:
    """Mean score and parts of every predictor on the cubes that each fold held out, and on all; no curves yet.

    `parts`: name -> a record a cube, in the order of `cubes`; `fold_of`: cube -> fold.
    """
    folds = sorted({fold_of[cube] for cube in cubes})
    held = {fold: [n for n, cube in enumerate(cubes) if fold_of[cube] == fold] for fold in folds}

    def mean(of_cubes: Sequence[Mapping[str, float]], picked: Sequence[int]) -> dict[str, float]:
        return {name: float(np.mean([of_cubes[n][name] for n in picked])) for name in PARTS}

    return Evidence(
        folds=[FoldPieces(fold=fold, pieces=[cubes[n] for n in held[fold]]) for fold in folds],
        by_fold={name: [mean(one, held[fold]) for fold in folds] for name, one in parts.items()},
        all={name: mean(one, range(len(cubes))) for name, one in parts.items()},
    )


def swept(blend: Labelled, jobs: Jobs) -> Sweep:
    """Mean score and parts of a blend over the threshold alone, without post-processing."""
    looked_at = list(blend[:SWEPT_CUBES])
    scores = each_score([PostProcessing(threshold) for threshold in SWEPT], looked_at, jobs)
    means = [mean_score(of_cubes) for of_cubes in scores]
    curves = {name: [mean[name] for mean in means] for name in PARTS}
    return Sweep(threshold=SWEPT, **curves, cubes=len(looked_at))


def reliable(blend: Labelled, jobs: Jobs) -> Reliability:
    """Reliability of a blend's probabilities over all known voxels."""
    return reliability(np.asarray(np.sum(list(in_order(_levels, list(blend), jobs)), axis=0)))


def _levels(pair: tuple[Lazy, Lazy]) -> Counts:
    prob, label = (volume() if callable(volume) else volume for volume in pair)
    return level_counts(prob, label == 1, label != SURFACE_IGNORE)


def without_each(
    weights: Mapping[str, float],
    blend_of: Callable[[dict[str, float]], Labelled],
    settings: PostProcessingSettings,
    whole: Sequence[float],
    scrolls: Sequence[str],
    jobs: Jobs,
) -> dict[str, WithoutOne]:
    """Each member left out of the blend in turn, the others' weights kept in proportion, the threshold fitted again.

    `blend_of` makes (probability, label) of every cube from weights; `whole` is the score of each cube with all members.
    The loss is what the blend with all is better by; a member of weight 0 is left out without one. Nothing of a single member.
    """
    found: dict[str, WithoutOne] = {}
    for name in weights:
        rest = {other: weight for other, weight in weights.items() if other != name}
        if not any(rest.values()):  # it alone has a weight: the others share it
            rest = dict.fromkeys(rest, 1.0)
        if not rest:
            continue
        pairs = blend_of(rest)
        fit = fit_post_processing(pairs, settings, jobs, scrolls)
        scores = [score.score for score in each_score([fit.post_processing], pairs, jobs)[0]]
        loss = resampled_means([whole, scores], scrolls).gain(0, 1)
        found[name] = WithoutOne(
            weights=rest, post_processing=fit.post_processing, oof_score=float(np.mean(scores)), loss=loss
        )
    return found

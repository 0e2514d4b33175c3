"""Fit on out-of-fold predictions of cubes: members' weights, the thickness of lifted sheets, and post-processing for both routes."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import zip_longest
from pathlib import Path
from statistics import fmean

import numpy as np

from ensemble.others import fitted_on, with_equal_shares
from ensemble.surface.evidence import by_fold, parts_of, reliable, swept, without_each
from ensemble.surface.fit_record import Drawn, FittedRow, SurfaceFit
from ensemble.surface.postprocess.fit import Lazy, fit_post_processing, no_group_loses
from ensemble.surface.postprocess.pipeline import PostProcessing, run
from ensemble.surface.predictors import (
    ENSEMBLE,
    POST_PROCESSED,
    SHEETS,
    STAGE2,
    Blended,
    LabelOf,
    Lift,
    LiftedSheets,
    Predicted,
    Stored,
    as_pairs,
    check_current,
    read_sheets,
)
from ensemble.surface.weights import fitted_weights
from scroll.config.schema import PostProcessingSettings, Settings
from scroll.data.cubes import Cube, prepare, training_cubes
from scroll.data.folds import fold_numbers
from scroll.data.members.others import of_others
from scroll.errors import InputError
from scroll.metrics.bootstrap import resampled_means
from scroll.metrics.leaderboard import leaderboard_score
from scroll.runtime.files import read_sealed, written_aside
from scroll.runtime.processes import Jobs, in_order, jobs_of, usable_cores
from scroll.runtime.receipt import Key, file_hash, key_of
from scroll.runtime.record import as_record, kept_record, write_record
from scroll.tracing.sheets import trace_sheets

LIFTS = {  # what is tried, one after the other
    "thickness_vox": (2.0, 3.0, 4.0, 5.0), "offset_vox": (-1.0, -0.5, 0.0, 0.5, 1.0), "presence_sigma_vox": (0.0, 4.0),
    "doubt": (0.0, 0.5, 1.0), "follow": (0.0, 1.0),
}  # fmt: skip
OF_STAGE2 = ("presence_sigma_vox", "doubt", "follow")
PRESENT = 0.35  # presence from which a sheet is lifted while that is fitted
GAINS = ((POST_PROCESSED, ENSEMBLE), (STAGE2, POST_PROCESSED), (STAGE2, SHEETS))
Labelled = list[tuple[Lazy, Lazy]]
STAGE2_TOO = 2.0  # times what the rest takes: the stack and the 2D network come on top
FORMAT = 6  # to be raised when what is fitted changes


def calibrate_cubes(settings: Settings) -> SurfaceFit:
    """Fit everything that stands between probabilities and masks, write ensemble/fit.json and return it.

    Scores are those of out-of-fold predictions, which the fit itself has seen: a little too good. Where the steps of post-processing, or
    stage two, do not raise the score, they are left out: "route" says what is submitted (`route_of`).

    Raises:
        MissingInputError: an out-of-fold prediction is not there.
        InputError: it was made from other cubes than those that are there now.
    """
    settings, usable = fitted_on(settings, training_cubes(settings.data))
    cubes = prepare(from_every_scroll(usable, settings.ensemble.post_processing.cubes))
    where = Predicted(settings.run_dir)
    members = settings.stage1.fitted
    key = fit_key(settings, check_current(where, members, cubes))
    before = kept_record(settings.folder.fit, "fitted", SurfaceFit)
    if before and key == before.made_from:
        return read_cube_fit(settings)
    with jobs_of(usable_cores()) as jobs:
        fit = _fitted(settings, where, cubes, key, jobs)
    write_record(settings.folder.fit, fit)
    return read_cube_fit(settings)


def fit_key(settings: Settings, predicted: Mapping[str, Sequence[str]]) -> Key:
    """Hash of all that decides a fit: the settings of the ensemble, and the keys of what was predicted of each cube."""
    return key_of([FORMAT, predicted, settings.ensemble.for_key()])


def weights_now(settings: Settings) -> dict[str, str]:
    """The hash of every fold's weights of both stages, by their place in the run."""
    top = settings.run_dir
    folders = [*(top / "stage1" / name for name in settings.stage1.members), top / "stage2"]
    files = [path for folder in folders for path in sorted(folder.glob("fold*/weights.safetensors"))]
    elsewhere = {f"{name}/{other.path.name}": file_hash(other.path) for name, other in of_others(settings).items()}
    return {path.relative_to(top).as_posix(): file_hash(path) for path in files} | elsewhere


def from_every_scroll(cubes: Sequence[Cube], count: int) -> list[Cube]:
    """At most so many cubes, from one scroll after the other in turn, in order of their ids."""
    waiting: dict[str, list[Cube]] = {}
    for cube in sorted(cubes, key=lambda cube: cube.id):
        waiting.setdefault(cube.volume_name, []).append(cube)
    rounds = zip_longest(*waiting.values())
    taken = [cube for one in rounds for cube in one if cube is not None]
    return sorted(taken[:count], key=lambda cube: cube.id)


def _fitted(settings: Settings, where: Predicted, cubes: list[Cube], key: str, jobs: Jobs) -> SurfaceFit:
    """Weights first, then post-processing of the blend, then lift and post-processing of the sheets, as traced and as mended."""
    members, post_processing = settings.stage1.fitted, settings.ensemble.post_processing
    labels = [LabelOf(cube.label_path) for cube in cubes if cube.label_path]
    scrolls = [cube.volume_name for cube in cubes]
    weights = fitted_weights(where, members, cubes, labels, settings.ensemble, jobs)
    rows = {
        name: _row(_of_members(where, {name: 1.0}, cubes, labels), _plain(post_processing), jobs, scrolls)
        for name in members
    }
    blend = _of_members(where, weights.weights, cubes, labels)
    rows[ENSEMBLE] = _row(blend, _plain(post_processing), jobs, scrolls)
    rows[POST_PROCESSED] = _row(blend, post_processing, jobs, scrolls)
    for name, is_mended in ((SHEETS, False), (STAGE2, True)):
        lift, pairs = _lifted(settings, where, cubes, labels, is_mended, jobs)
        rows[name] = _row(pairs, _of_sheets(post_processing), jobs, scrolls).model_copy(update={"lift": lift})
    alone, ids = partial(_of_members, where, cubes=cubes, labels=labels), [cube.id for cube in cubes]
    fold_of = fold_numbers(training_cubes(settings.data), settings.folds)
    evidence = by_fold({name: row.parts for name, row in rows.items()}, ids, fold_of)
    curves = {"sweep": {ENSEMBLE: swept(blend, jobs)}, "reliability": {ENSEMBLE: reliable(blend, jobs)}}
    names, drawn = list(rows), resampled_means([row.scores for row in rows.values()], scrolls)
    return SurfaceFit(
        made_from=key,
        fitted_for=weights_now(settings),
        cubes=ids,
        weights=weights.model_copy(update={"weights": with_equal_shares(settings, weights.weights)}),
        rows=rows,
        seconds_a_voxel=_seconds_a_voxel(settings, where, cubes[0], lift, rows[STAGE2].post_processing),
        route=route_of({name: rows[name].scores for name in (POST_PROCESSED, SHEETS, STAGE2)}),
        without=without_each(weights.weights, alone, _plain(post_processing), rows[ENSEMBLE].scores, scrolls, jobs),
        evidence=evidence.model_copy(update=curves),
        intervals={name: drawn.interval(n) for n, name in enumerate(names)},
        gains={f"{one} over {other}": drawn.gain(names.index(one), names.index(other)) for one, other in GAINS},
        resampled=Drawn(cubes=len(cubes), scrolls=len({*scrolls})),
    )


def route_of(scores: Mapping[str, Sequence[float]]) -> str:
    """What is submitted, from the score of every cube by each route: the better of traced and mended sheets, unless
    post-processing alone beats it beyond chance.

    Sheets follow ridges, and carry over to a scroll of weaker probabilities; thresholds do not (docs/log.md, 2026-11-26).

    >>> route_of({"ensemble + chain": [0.5, 0.7], SHEETS: [0.5, 0.6], STAGE2: [0.4, 0.6]})
    'ensemble + sheets + chain'
    >>> route_of({"ensemble + chain": [0.5, 0.7], SHEETS: [0.4, 0.5], STAGE2: [0.3, 0.5]})
    'ensemble + chain'
    """
    flat = max((SHEETS, STAGE2), key=lambda name: fmean(scores[name]))
    return flat if no_group_loses(scores[flat], scores[POST_PROCESSED], [flat] * len(scores[flat])) else POST_PROCESSED


def _of_members(
    where: Predicted, weights: dict[str, float], cubes: Sequence[Cube], labels: Sequence[LabelOf]
) -> Labelled:
    return [(Blended(where, as_pairs(weights), cube.id), label) for cube, label in zip(cubes, labels, strict=True)]


def _plain(post_processing: PostProcessingSettings) -> PostProcessingSettings:
    """No step but the threshold."""
    return PostProcessingSettings(
        thresholds=post_processing.thresholds, smooth_sigma_vox=(), strong=(), small_components_vox=(), thickness_vox=(), even=(),
        closing_radius_vox=(), fill_holes_radius_vox=(), cavity_vox=(), remains_vox=(), octant_small_components_vox=(), passes=1,
    )  # fmt: skip


def _of_sheets(post_processing: PostProcessingSettings) -> PostProcessingSettings:
    """Without what would blur sheets together again that were lifted apart, or give them a thickness that they have."""
    return post_processing.model_copy(update={"smooth_sigma_vox": (), "thickness_vox": (), "even": ()})


def _row(pairs: Labelled, post_processing: PostProcessingSettings, jobs: Jobs, scrolls: Sequence[str]) -> FittedRow:
    """Fit post-processing to a predictor."""
    fit = fit_post_processing(pairs, post_processing, jobs, scrolls)
    scores, parts = [score.score for score in fit.scores], [parts_of(score) for score in fit.scores]
    return FittedRow(
        post_processing=fit.post_processing,
        plain=fit.plain,
        trials=fit.trials,
        means=fit.means,
        scores=scores,
        parts=parts,
    )


def _lifted(
    settings: Settings,
    where: Predicted,
    cubes: Sequence[Cube],
    labels: Sequence[LabelOf],
    is_mended: bool,
    jobs: Jobs,
) -> tuple[Lift, Labelled]:
    """The best lift of the sheets, one of its numbers after the other, and the sheets lifted so, kept on disk."""
    best, known = Lift(), dict[Lift, float]()
    for name in (name for name in LIFTS if is_mended or name not in OF_STAGE2):
        lifts = [replace(best, **{name: value}) for value in LIFTS[name]]
        new = [lift for lift in lifts if lift not in known]
        score = partial(_score_lifts, where, new, is_mended)
        of_cubes = in_order(score, list(zip(cubes, labels, strict=True)), jobs)
        known |= zip(new, map(sum, zip(*of_cubes, strict=True)), strict=True)
        best = max(lifts, key=known.__getitem__)
    folder = settings.run_dir / "ensemble" / ("mended" if is_mended else "traced")
    kept = [_keep(LiftedSheets(where, best, cube, is_mended), folder / f"{cube.id}.npy") for cube in cubes]
    return best, list(zip(kept, labels, strict=True))


def _score_lifts(
    where: Predicted, lifts: Sequence[Lift], is_mended: bool, cube_and_label: tuple[Cube, LabelOf]
) -> list[float]:
    cube, label = cube_and_label
    truth, sheets = label(), read_sheets(where, cube, is_mended)
    volumes = (lift.volume(sheets, cube.shape) for lift in lifts)
    return [leaderboard_score(volume >= PRESENT, truth).score for volume in volumes]


def _keep(volume: LiftedSheets, path: Path) -> Stored:
    with written_aside(path) as aside, aside.open("wb") as file:  # by name numpy would add an ending
        np.save(file, np.rint(255 * volume()).astype(np.uint8))
    return Stored(path)


def _seconds_a_voxel(settings: Settings, where: Predicted, cube: Cube, lift: Lift, how: PostProcessing) -> float:
    """What comes after the members takes so long on this machine: tracing, lifting and post-processing, for a voxel."""
    began = time.perf_counter()
    volume = Blended(where, as_pairs(dict.fromkeys(settings.stage1.fitted, 1.0)), cube.id)()
    for _ in trace_sheets(volume, settings.tracing):
        pass
    run(how, LiftedSheets(where, lift, cube, True)())
    return STAGE2_TOO * (time.perf_counter() - began) / volume.size


def read_cube_fit(settings: Settings) -> SurfaceFit:
    """The fit of this run.

    Raises:
        MissingInputError: it was never made.
        InputError: it was fitted for other weights than those that are there now.
    """
    path = settings.folder.fit
    fit = as_record(path, read_sealed(path, "run 'make stage2 CONFIG=...' first: it fits the ensemble too"), SurfaceFit)
    then, now = fit.fitted_for, weights_now(settings)
    changed = [name for name in now if then.get(name, now[name]) != now[name]]  # a bundle holds some of them alone
    if changed:
        raise InputError(
            f"{path}: was fitted for other weights than those in {settings.run_dir / changed[0]}; "
            "run 'make stage1 CONFIG=...' and 'make stage2 CONFIG=...'"
        )
    return fit


def print_cube_fit(fit: SurfaceFit) -> None:
    """Print every predictor's out-of-fold score with its parts and interval, the steps of post-processing, and the gains."""
    print("\n".join(score_lines({name: row.means for name, row in fit.rows.items()}, fit.intervals)))
    for name in (POST_PROCESSED, STAGE2):
        print(f"{name}, step by step:")
        for trial in fit.rows[name].trials:
            print(f"  {trial.step:<12} {'on ' if trial.is_kept else 'off'} {trial.gain:+.4f}  score {trial.score:.4f}")
    for name, gain in fit.gains.items():
        print(f"{name}: {gain.in_words}")
    drawn = fit.resampled
    print(f"95 % intervals over {drawn.cubes} cubes of {drawn.scrolls} scrolls; submitted: {fit.route}")


def score_lines(means: Mapping[str, Mapping[str, float]], intervals: Mapping[str, tuple[float, float]]) -> list[str]:
    """A table of scores and their parts, one predictor a line."""
    width = max(map(len, means))
    lines = [f"{'':<{width}}  score   95 % interval    topology  surface Dice  VOI score"]
    for name, mean in means.items():
        low, high = intervals[name]
        parts = f"{mean['topo']:.4f}        {mean['surface_dice']:.4f}     {mean['voi_score']:.4f}"
        lines.append(f"{name:<{width}}  {mean['score']:.4f}  {low:.3f} to {high:.3f}  {parts}")
    return lines

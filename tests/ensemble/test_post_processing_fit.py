"""Fitting post-processing: it never scores less than the threshold alone, and it finds what was broken."""

import json
from dataclasses import replace
from functools import partial
from itertools import dropwhile

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from ensemble.surface.postprocess.fit import Trial, each_score, fit_post_processing, no_group_loses
from ensemble.surface.postprocess.pipeline import PostProcessing, run
from scroll.config.schema import PostProcessingSettings
from scroll.errors import InputError
from scroll.metrics.leaderboard import leaderboard_score, mean_score

SIDE = 20
SMALL = PostProcessingSettings(
    thresholds=(0.2, 0.4, 0.6),
    smooth_sigma_vox=(1.0,),
    strong=(0.8,),
    small_components_vox=(30,),
    thickness_vox=(3.0,),
    even=((1.0, 0.5),),
    closing_radius_vox=(1,),
    fill_holes_radius_vox=(2,),
    cavity_vox=(10,),
    remains_vox=(30,),
    octant_small_components_vox=(5,),
)
OFF = PostProcessingSettings(
    thresholds=(0.2, 0.4, 0.6),
    smooth_sigma_vox=(),
    strong=(),
    small_components_vox=(),
    thickness_vox=(),
    even=(),
    closing_radius_vox=(),
    fill_holes_radius_vox=(),
    cavity_vox=(),
    remains_vox=(),
    octant_small_components_vox=(),
)


def mean_scores(choices, cubes, jobs=1):
    return [mean_score(scores) for scores in each_score(choices, cubes, jobs)]


def label_of(seed: int) -> np.ndarray:
    """Two sheets, and a strip at the side where nothing is known."""
    label = np.zeros((SIDE, SIDE, SIDE), np.uint8)
    first = 3 + seed % 3
    label[first : first + 3] = label[first + 9 : first + 12] = 1
    label[:, :, :2] = 2
    return label


def noisy_cube(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng, label = np.random.default_rng(seed), label_of(seed)
    prob = gaussian_filter((label == 1).astype(np.float32), 0.7) + 0.25 * rng.standard_normal(label.shape)
    return prob.clip(0, 1).astype(np.float32), label


def speckled_cube(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The label itself, less three holes through a sheet, and with five crumbs at a distance."""
    label = label_of(seed)
    prob = 0.9 * (label == 1).astype(np.float32)
    for y, x in ((5, 7), (12, 12), (14, 5)):
        prob[2:8, y : y + 2, x : x + 2] = 0.1
    prob[18, 3:18:3, 9] = 0.95
    return prob, label


def reads_as_a_job_does(seed: int, which: int) -> np.ndarray:
    return noisy_cube(seed)[which]


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 2))
def test_fitted_post_processing_scores_no_less_than_its_threshold_alone(seed: int, count: int) -> None:
    cubes = [noisy_cube(seed + i) for i in range(count)]
    fit = fit_post_processing(cubes, SMALL)
    plain, fitted = mean_scores([fit.plain, fit.post_processing], cubes)
    assert fitted["score"] >= plain["score"] >= max(mean["score"] for mean in mean_scores([PostProcessing(0.4)], cubes))
    assert fit.means == fitted
    by_hand = [leaderboard_score(run(fit.post_processing, prob), label) for prob, label in cubes]
    assert mean_score(by_hand) == fitted


def test_every_kept_step_raised_the_score_and_every_other_did_not() -> None:
    fit = fit_post_processing([noisy_cube(3), noisy_cube(4)], SMALL)
    score = 0.0
    for trial in fit.trials:
        assert trial.gain == pytest.approx(trial.score - score)
        assert trial.is_kept == (trial.gain > (SMALL.min_gain if trial.step != "threshold" or score else 0.0))
        score = trial.score if trial.is_kept else score
    assert {trial.step for trial in fit.trials} >= {
        "threshold",
        "smoothing",
        "strong",
        "small_components",
        "even",
        "fill_holes",
    }


def test_holes_and_crumbs_are_found_and_mended() -> None:
    cube = speckled_cube(0)
    tried = OFF.model_copy(update={"fill_holes_radius_vox": (1, 2), "small_components_vox": (2, 30)})
    fit = fit_post_processing([cube], tried)
    assert fit.post_processing.fill_holes_radius_vox and fit.post_processing.small_components_vox
    assert fit.means["topo"] == 1.0
    assert mean_scores([fit.plain], [cube])[0]["topo"] < 0.5


def test_with_every_step_left_out_only_the_threshold_is_fitted() -> None:
    fit = fit_post_processing([noisy_cube(1)], OFF)
    assert fit.post_processing == fit.plain == PostProcessing(fit.post_processing.threshold)
    finest = mean_scores([PostProcessing(low) for low in (0.2, 0.3, 0.4, 0.5, 0.6)], [noisy_cube(1)])
    assert fit.means["score"] >= max(mean["score"] for mean in finest[::2])


def test_volumes_may_be_read_when_they_are_needed_and_by_other_processes() -> None:
    lazy = [(partial(reads_as_a_job_does, seed, 0), partial(reads_as_a_job_does, seed, 1)) for seed in (1, 2)]
    choices = [
        PostProcessing(0.3),
        PostProcessing(0.5, small_components_vox=30),
        PostProcessing(0.5, smooth_sigma_vox=1.0),
    ]
    expected = mean_scores(choices, [noisy_cube(1), noisy_cube(2)])
    assert mean_scores(choices, lazy) == mean_scores(choices, lazy, jobs=2) == expected


def test_what_was_tried_is_written_flat_and_read_back() -> None:
    trials = fit_post_processing([noisy_cube(5)], SMALL, groups=["a"]).trials
    record = json.loads(trials[0].model_dump_json())
    expected = ["step", "threshold", "kept", "gain", "score", "topo", "surface_dice", "voi_score", "voi", "score of a"]
    assert list(record) == expected and record["step"] == "threshold" and record["kept"] is True
    assert [Trial.model_validate_json(trial.model_dump_json(), strict=True) for trial in trials] == [*trials]


def test_nothing_to_fit_on_is_an_error() -> None:
    with pytest.raises(InputError, match="no cube to fit on"):
        fit_post_processing([], SMALL)


@pytest.mark.parametrize("seed", range(4))
def test_what_post_processing_is_compared_with_is_the_best_threshold_whichever_scroll_loses_by_it(seed: int) -> None:
    cubes = [noisy_cube(seed), (noisy_cube(seed + 10)[0] * np.float32(0.6), noisy_cube(seed + 10)[1])]
    grouped, free = fit_post_processing(cubes, OFF, groups=["a", "b"]), fit_post_processing(cubes, OFF)
    assert grouped.plain == free.plain
    scores = mean_scores([PostProcessing(low / 20) for low in range(4, 13)], cubes)
    assert mean_scores([grouped.plain], cubes)[0]["score"] >= max(scores[0::4], key=lambda m: m["score"])["score"]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(-0.2, 0.2), min_size=2, max_size=12), st.lists(st.floats(0, 0.2), min_size=1, max_size=12))
def test_a_group_loses_where_its_mean_falls_by_more_than_chance(changes: list[float], gains: list[float]) -> None:
    groups = ["a"] * len(changes) + ["b"] * len(gains)
    room = np.mean(changes) + np.std(changes, ddof=1) / np.sqrt(len(changes))
    assume(abs(room) > 1e-9)
    assert no_group_loses([0.5 + change for change in (*changes, *gains)], [0.5] * len(groups), groups) == (room > 0)
    assert no_group_loses([0.5 + gain for gain in gains], [0.5] * len(gains), ["b"] * len(gains))
    assert not no_group_loses([0.4], [0.5], ["a"])


def test_no_step_is_kept_by_which_a_scroll_loses_beyond_chance_nor_one_that_lowers_the_mean() -> None:
    cubes, groups = [noisy_cube(1), noisy_cube(2), speckled_cube(3), speckled_cube(4)], ["a", "a", "b", "b"]
    fit = fit_post_processing(cubes, SMALL, groups=groups)
    how, before = fit.plain, each_score([fit.plain], cubes)[0]
    steps = dropwhile(lambda trial: trial.step == "threshold", fit.trials)
    kept = [trial for trial in steps if trial.is_kept]
    assert kept
    for trial in kept:
        how = replace(how, **trial.value)
        after = each_score([how], cubes)[0]
        scores = [[score.score for score in scores] for scores in (after, before)]
        assert np.mean(scores[0]) > np.mean(scores[1]) and no_group_loses(*scores, groups)
        before = after
    assert how == fit.post_processing

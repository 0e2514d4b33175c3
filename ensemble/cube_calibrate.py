"""Fit on out-of-fold predictions of cubes: members' weights, the thickness of lifted sheets, and the chain for both routes."""

import os
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensemble.chain import Chain
from ensemble.chain_fit import ChainFit, Lazy, fit_chain, mean_scores, scores_of
from ensemble.cube_candidates import (
    CHAIN,
    ENSEMBLE,
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
)
from ensemble.cube_weights import fitted_weights
from scroll.config import ChainSettings, Settings
from scroll.cubes import Cube, prepare, training_cubes
from scroll.errors import InputError, MissingInputError
from scroll.files import read_json, write_json, written_aside
from scroll.metrics.cube_bootstrap import ResampledMeans, resampled_means
from scroll.metrics.leaderboard import SurfaceScore, mean_score
from scroll.processes import in_order
from scroll.receipt import key_of

THICKNESS_VOX, OFFSET_VOX = (2.0, 3.0, 4.0, 5.0), (-1.5, 0.0, 1.5)
PRESENT = Chain(0.5)
Labelled = list[tuple[Lazy, Lazy]]
FORMAT = 1  # to be raised when what is fitted changes


def fit_path(settings: Settings) -> Path:
    """Where weights, thresholds and chains are kept."""
    return settings.run_dir / "ensemble" / "fit.json"


def calibrate_cubes(settings: Settings) -> dict[str, Any]:
    """Fit everything that stands between probabilities and masks, write ensemble/fit.json and return it.

    Scores are those of out-of-fold predictions, which the fit itself has seen: a little too good. Where the chain's steps, or
    stage two, do not raise the score, they are left out: "route" says what is submitted.

    Raises:
        MissingInputError: an out-of-fold prediction is not there.
        InputError: it was made from other cubes than those that are there now.
    """
    cubes = prepare(training_cubes(settings.data))
    where = Predicted(settings.run_dir)
    members = list(settings.stage1.members)
    key = key_of([FORMAT, check_current(where, members, cubes), settings.ensemble.model_dump(mode="json")])
    if fit_path(settings).exists() and read_json(fit_path(settings)).get("made_from") == key:
        return read_cube_fit(settings)
    labels = [LabelOf(cube.label_path) for cube in cubes if cube.label_path]
    jobs, chain = len(os.sched_getaffinity(0)), settings.ensemble.chain
    weights = fitted_weights(where, members, cubes, labels, settings.ensemble, jobs)
    rows: dict[str, dict[str, Any]] = {}
    for name in members:
        rows[name] = _row(_of_members(where, {name: 1.0}, cubes, labels), _plain_only(chain), jobs)
    together = _of_members(where, weights.chosen, cubes, labels)
    rows[CHAIN] = _row(together, chain, jobs)
    rows[ENSEMBLE] = {"plain": rows[CHAIN]["plain"], "chain": rows[CHAIN]["plain"]}
    for name, is_mended in ((SHEETS, False), (STAGE2, True)):
        lift, pairs = _lifted_pairs(settings, where, cubes, labels, is_mended, jobs)
        rows[name] = {"lift": asdict(lift)} | _row(pairs, chain if is_mended else _plain_only(chain), jobs)
    return _written(settings, key, cubes, weights, rows)

"""Score predicted cubes against their labels: every member, the ensemble, the chain, the sheets, stage two; pictures and atlas."""

import os
import shlex
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ensemble.cube_calibrate import score_lines
from ensemble.cube_candidates import CHAIN, ENSEMBLE, SHEETS, STAGE2
from ensemble.cube_predict import FLAT, CubeRun
from ensemble.score import PHANTOM_NOTE
from scroll.config import Settings
from scroll.cubes import Cube, find_cubes, prepare
from scroll.errors import InputError, MissingInputError
from scroll.files import write_json
from scroll.metrics.atlas import as_table, atlas
from scroll.metrics.cube_bootstrap import resampled_means
from scroll.metrics.leaderboard import SurfaceScore, masks, mean_score, score_masks
from scroll.processes import in_order
from scroll.progress import progress
from scroll.report.cube_pictures import save_cube_pictures
from scroll.volumes import open_volume

ATLAS_FAULTS = 40  # of a cube, that are mended one by one to tell what each costs
COLUMNS = {
    "score": "Score", "interval": "95 % interval", "gain": "Gain over the ensemble", "topo": "Topology",
    "surface_dice": "Surface Dice", "voi_score": "VOI score", "voi": "VOI, bits",
}  # fmt: skip
HINT = (
    "★ the highest score: 0.30 topology + 0.35 surface Dice within 2 voxels + 0.35 VOI score, mean over cubes. Intervals are a "
    "bootstrap over scrolls and the cubes in them. Thresholds, weights and the chain's steps were fitted out of fold."
)
BASELINE = ENSEMBLE


@dataclass(frozen=True)
class ScoredCube:
    """One cube's scores by row of the table, and the atlas of what is submitted."""

    cube: Cube
    scores: dict[str, SurfaceScore]
    atlas: list[str]


def score_cubes(settings: Settings, source: Path, output: Path, truth: Path, command: list[str]) -> dict[str, Any]:
    """Score every row of the fit's table on predicted test cubes whose labels lie in `truth`/<id>.tif; writes score.json.

    Thresholds, weights and chains are those of the fit: nothing is chosen here.

    Raises:
        MissingInputError: a label or a prediction is not there.
        InputError: a label has another shape than its cube.
    """
    cubes = prepare(find_cubes(source, settings.data, part="test"))
    without = [cube.id for cube in cubes if not (truth / f"{cube.id}.tif").is_file()]
    if without:
        raise MissingInputError(
            f"{truth / without[0]}.tif: not there; --truth takes a folder with a label <id>.tif for every test cube"
        )
    scored = []
    with progress("score", len(cubes), "cube") as advance:
        for one in in_order(partial(score_cube, settings, output, truth), cubes, len(os.sched_getaffinity(0))):
            scored.append(one)
            advance()
    result = _summary(settings, output, scored) | {"commands": [shlex.join(command)]}
    write_json(output / "score.json", result)
    return result


def score_cube(settings: Settings, output: Path, truth: Path, cube: Cube) -> ScoredCube:
    """One cube: the score of every row, and pictures and the atlas of what is submitted."""
    cube_run = CubeRun(settings, output)
    label = np.asarray(open_volume(str(truth / f"{cube.id}.tif"))[...])
    scores: dict[str, SurfaceScore] = {}
    submitted = np.zeros(cube.shape, bool)
    faults: list[str] = []
    for row in rows_of(cube_run):
        mask = cube_run.mask(cube, row)
        try:
            known = masks(mask, label)
        except InputError as error:
            raise InputError(f"{truth / cube.id}.tif: {error}") from None
        scores[row] = score_masks(*known)
        if row == cube_run.fit["route"]:
            submitted, faults = mask, list(as_table(atlas(*known, limit=ATLAS_FAULTS)))
    ct = np.asarray(open_volume(str(cube.image))[...])
    save_cube_pictures(output / cube.id / "pictures", ct, submitted, label)
    return ScoredCube(cube, scores, faults)


def rows_of(cube_run: CubeRun) -> list[str]:
    """Rows of the table that can be made of what was predicted."""
    after = [CHAIN, SHEETS, STAGE2] if cube_run.fit["route"] in FLAT else [CHAIN]
    return [*cube_run.members, ENSEMBLE, *after]


def _summary(settings: Settings, output: Path, scored: list[ScoredCube]) -> dict[str, Any]:
    names = list(scored[0].scores)
    table = [[one.scores[name].score for one in scored] for name in names]
    drawn = resampled_means(table, [one.cube.volume_name for one in scored])
    rows = []
    for n, name in enumerate(names):
        low, high = drawn.interval(n)
        gain = drawn.gain(n, names.index(BASELINE)).as_record() | {"over": BASELINE}
        mean = mean_score([one.scores[name] for one in scored])
        kind = "ensemble" if name not in settings.stage1.members else ""
        rows.append({"name": name, "kind": kind, **mean, "score_low": low, "score_high": high, "gain": gain})
    compared = {
        f"{one} over {other}": drawn.gain(names.index(one), names.index(other)).as_record()
        for one, other in ((CHAIN, ENSEMBLE), (STAGE2, CHAIN), (STAGE2, SHEETS))
        if one in names and other in names
    }
    return {
        "note": PHANTOM_NOTE, "columns": COLUMNS, "best_by": "score", "thing": "surface", "piece": "Cube",
        "hint": HINT, "rows": rows, "gains": compared,
        "fragments": [one.cube.id for one in scored],
        "cubes": {one.cube.id: {name: score.as_row() for name, score in one.scores.items()} for one in scored},
        "atlas": {one.cube.id: one.atlas for one in scored},
    }  # fmt: skip


def print_cube_table(result: dict[str, Any]) -> None:
    """Print the table, and what the chain and stage two gain on these cubes."""
    means = {row["name"]: row for row in result["rows"]}
    intervals = {name: [row["score_low"], row["score_high"]] for name, row in means.items()}
    print("\n".join(score_lines(means, intervals)))
    for name, gain in result["gains"].items():
        print(f"{name}: {gain['difference']:+.4f} ({gain['low']:+.4f} to {gain['high']:+.4f}), {gain['verdict']}")
    print(result["note"])

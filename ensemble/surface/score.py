"""Score predicted cubes against their labels: every member, the ensemble, post-processing, the sheets, stage two; pictures and atlas."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from ensemble.others import kind_of_member, lines_on_others, who_has_seen
from ensemble.surface.fit import score_lines
from ensemble.surface.fit_record import SurfaceFit
from ensemble.surface.patches import Block, cube_patch, picked, ranked_blocks
from ensemble.surface.predict import FLAT, CubeRun
from ensemble.surface.predictors import ENSEMBLE, POST_PROCESSED, SHEETS, STAGE2
from scroll.config.schema import Settings
from scroll.data.cubes import Cube, find_cubes, prepare, read_cube_label, tiff_named
from scroll.errors import InputError, MissingInputError
from scroll.metrics.bootstrap import resampled_means
from scroll.metrics.error_map import Entry, atlas
from scroll.metrics.leaderboard import SurfaceScore, masks, mean_score, score_masks
from scroll.report.cube_pictures import save_cube_pictures
from scroll.report.cube_volume import Volume, volume_view
from scroll.report.patch_pictures import Patch, save_patches
from scroll.report.score_record import NAME, CubesGain, CubesRow, CubesScores, OutOfFold, out_of_fold
from scroll.report.scored import SHOWN, heading, rebuild_commands
from scroll.report.tiles import VIEWS_BUDGET_BYTES
from scroll.runtime.files import write_json
from scroll.runtime.processes import in_order, usable_cores
from scroll.runtime.progress import progress
from scroll.runtime.record import write_record
from scroll.volumes import open_volume

ATLAS_FAULTS = 40  # of a cube, that are mended one by one to tell what each costs
VIEW = "view.json"  # beside a cube's pictures: what the report's viewer cuts through
VIEWED = 12  # cubes that the report's viewer holds, the worst of them
COLUMNS = {
    "score": "Score", "interval": "95 % interval", "gain": "Gain over the best member", "without": "Lost without it",
    "topo": "Topology", "surface_dice": "Surface Dice", "voi_score": "VOI score", "voi": "VOI, bits",
}  # fmt: skip
METRICS = {"score": "Score", "topo": "Topology", "surface_dice": "Surface Dice", "voi_score": "VOI score"}
HINT = (
    "★ the highest score: 0.30 topology + 0.35 surface Dice within 2 voxels + 0.35 VOI score, mean over cubes; {route} is what is "
    "submitted. Intervals are a bootstrap over scrolls and the cubes in them; inside noise: the interval of the difference holds "
    "0. The best member ({single}) is the one that is best out of fold. Lost without it: what the plain blend is better by than the "
    "blend of the other members, threshold fitted again; below 0, the blend is better off without it. Thresholds, weights and the "
    "steps of post-processing were fitted out of fold."
)


@dataclass(frozen=True)
class ScoredCube:
    """One cube's scores by row of the table, and of the blend without each member; the faults and the blocks of what is submitted."""

    cube: Cube
    scores: dict[str, SurfaceScore]
    without: dict[str, SurfaceScore]
    atlas: list[Entry]
    blocks: list[Block]


def score_cubes(settings: Settings, source: Path, output: Path, truth: Path, command: list[str]) -> CubesScores:
    """Score every row of the fit's table on predicted test cubes whose labels lie in `truth`/<id>.tif; writes score.json.

    Thresholds, weights and post-processing are those of the fit: nothing is chosen here.

    Raises:
        MissingInputError: a label or a prediction is not there.
        InputError: a label has another shape than its cube.
    """
    cubes = prepare(find_cubes(source, settings.data, part="test"))
    without = [cube.id for cube in cubes if not tiff_named(truth, cube.id).is_file()]
    if without:
        raise MissingInputError(
            f"{truth / without[0]}.tif: not there; --truth takes a folder with a label <id>.tif for every test cube"
        )
    rows = rows_of(CubeRun(settings, output), cubes)
    scored, score = (
        [],
        partial(score_cube, settings, output, truth, rows, VIEWS_BUDGET_BYTES // min(VIEWED, len(cubes))),
    )
    with progress("score", len(cubes), "cube") as advance:
        for one in in_order(score, cubes, usable_cores()):
            scored.append(one)
            advance()
    patches = save_patches(output / "patches", _patches(CubeRun(settings, output), truth, scored))
    result = _summary(settings, output, scored).model_copy(
        update={"commands": tuple(rebuild_commands(settings, command)), "patches": tuple(patches)}
    )
    write_record(output / NAME, result)
    return result


def score_cube(
    settings: Settings, output: Path, truth: Path, rows: list[str], view_bytes: int, cube: Cube
) -> ScoredCube:
    """One cube: the score of these rows, and of what is submitted pictures, a view of at most `view_bytes`, atlas and blocks."""
    cube_run = CubeRun(settings, output)
    label = read_cube_label(truth, cube.id)
    scores: dict[str, SurfaceScore] = {}
    submitted, faults = np.zeros(cube.shape, bool), []
    for row in rows:
        mask = cube_run.mask(cube, row)
        try:
            known = masks(mask, label)
        except InputError as error:
            raise InputError(f"{truth / cube.id}.tif: {error}") from None
        scores[row] = score_masks(*known)
        if row == cube_run.fit.route:
            submitted, faults = mask, atlas(*known, limit=ATLAS_FAULTS)
    ct = np.asarray(open_volume(str(cube.image))[...])
    save_cube_pictures(output / cube.id / "pictures", ct, submitted, label)
    write_json(output / cube.id / VIEW, volume_view(Volume(ct, submitted, label), view_bytes))
    without = {name: score_masks(*masks(cube_run.without(cube, name), label)) for name in left_out(cube_run, rows)}
    blocks = ranked_blocks(submitted, label, cube.id)
    return ScoredCube(cube, scores, without, faults, [*blocks[:SHOWN], *blocks[SHOWN:][-SHOWN:]])


def rows_of(cube_run: CubeRun, cubes: Sequence[Cube]) -> list[str]:
    """Rows of the table: all of the fit's, for which what is not submitted is predicted too; where the run holds no weights for that,
    those of what was predicted. Of a member that is not fitted there is none.
    """
    fitted = cube_run.settings.stage1.fitted
    if cube_run.fit.route not in FLAT:
        try:
            with progress("predict what is compared", len(cubes), "cube") as advance:
                for cube in cubes:
                    cube_run.add_views(cube)
                    advance()
        except MissingInputError:
            return [*(name for name in cube_run.members if name in fitted), ENSEMBLE, POST_PROCESSED]
    return [*fitted, ENSEMBLE, POST_PROCESSED, SHEETS, STAGE2]


def members_in(cube_run: CubeRun, row: str) -> set[str]:
    """The members that a row is made of: sheets are traced in all that are fitted."""
    if row in (ENSEMBLE, POST_PROCESSED):
        return {name for name, weight in cube_run.weights.items() if weight}
    return {*cube_run.settings.stage1.fitted} if row in FLAT else {row}


def left_out(cube_run: CubeRun, rows: Sequence[str]) -> list[str]:
    """Members that the fit knows a blend without: of those that were predicted."""
    found = cube_run.fit.without
    return [name for name in rows if name in found and {*found[name].weights} <= {*rows}]


def _patches(cube_run: CubeRun, truth: Path, scored: list[ScoredCube]) -> Iterator[Patch]:
    cubes = {one.cube.id: one.cube for one in scored}
    for kind, block in picked([one.blocks for one in scored]):
        label = read_cube_label(truth, block.cube)
        yield cube_patch(cube_run, cubes[block.cube], label, kind, block)


def _summary(settings: Settings, output: Path, scored: list[ScoredCube]) -> CubesScores:
    cube_run = CubeRun(settings, output)
    names, without = list(scored[0].scores), list(scored[0].without)
    table = [[one.scores[name].score for one in scored] for name in names]
    table += [[one.without[name].score for one in scored] for name in without]
    drawn = resampled_means(table, [one.cube.volume_name for one in scored])
    single = max(
        (name for name in names if name in settings.stage1.members),
        key=lambda name: cube_run.fit.rows[name].means["score"],
    )
    rows, route, saw = [], cube_run.fit.route, who_has_seen(settings, [one.cube for one in scored])
    for n, name in enumerate(names):
        low, high = drawn.interval(n)
        gain = CubesGain(**dict(drawn.gain(n, names.index(single))), over=single)
        kind = "submitted" if name == route else ""
        if name in settings.stage1.members:
            kind = kind_of_member(settings, name)
        mean = mean_score([one.scores[name] for one in scored])
        has_seen = bool(members_in(cube_run, name) & saw)
        row = CubesRow(name=name, kind=kind, has_seen=has_seen, **mean, score_low=low, score_high=high, gain=gain)
        if name in without:
            loss = drawn.gain(names.index(ENSEMBLE), len(names) + without.index(name))
            row = row.model_copy(update={"without": loss})
        rows.append(row)
    compared = {
        f"{one} over {other}": drawn.gain(names.index(one), names.index(other))
        for one, other in ((ENSEMBLE, single), (POST_PROCESSED, ENSEMBLE), (STAGE2, POST_PROCESSED), (STAGE2, SHEETS))
        if one in names and other in names
    }
    worst_first = sorted(scored, key=lambda one: one.scores[route].score)
    cubes = [one.cube for one in scored]
    return CubesScores(
        **heading(settings, cubes, "cube", lines_on_others(settings, cubes)),
        columns=COLUMNS, best_by="score", thing="surface", piece="Cube",
        hint=HINT.format(single=single, route=route), rows=rows, gains=compared,
        fragments=[one.cube.id for one in worst_first],
        cubes={one.cube.id: one.scores for one in scored},
        atlas={one.cube.id: one.atlas[:ATLAS_FAULTS] for one in scored},
        out_of_fold=cube_evidence(cube_run.fit),
    )  # fmt: skip


def cube_evidence(fit: SurfaceFit) -> OutOfFold:
    """For score.json: what out-of-fold predictions say of every predictor; empty where the fit is an older one."""
    if fit.evidence is None:
        return OutOfFold()
    of = (
        f"{len(fit.cubes)} training cubes, each predicted by networks that had not seen it (the threshold was swept on "
        f"{fit.evidence.sweep[ENSEMBLE].cubes} of them)"
    )
    return out_of_fold(fit.evidence, fit.rows, {ENSEMBLE: fit.rows[ENSEMBLE].post_processing.threshold}, METRICS, of)


def print_cube_table(result: CubesScores) -> None:
    """Print the table, and what post-processing and stage two gain on these cubes."""
    means = {row.label: {name: getattr(row, name) for name in METRICS} for row in result.rows}
    intervals = {row.label: (row.score_low or 0.0, row.score_high or 0.0) for row in result.rows}
    print("\n".join(score_lines(means, intervals)))
    for name, gain in result.gains.items():
        print(f"{name}: {gain.in_words}")
    if result.note:
        print(result.note)

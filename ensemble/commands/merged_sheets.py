"""How many pairs of sheets that touch a trained run tells apart: by threshold, by post-processing, by tracing, by stage two.

    python scripts/merged_sheets.py configs/demo_surface.yaml [--pairs 12] [--spacing 5]

Draws phantom pairs whose recto faces lie 4 to 6 voxels apart over more than 30 % of their area, predicts them with the run,
and judges on the part where they touch. They are drawn from the held-out phantom scroll, which no fold was trained on.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scroll.runtime.command_line import number, whole

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ensemble.surface.predict import CubeRun
    from scroll.data.cubes import Cube
    from scroll.phantom.pairs import Pair

METHODS = ("threshold", "post-processing", "tracing", "tracing and guessing", "stage two")
SIZE_VOX = 96


def main() -> None:
    """Draw, predict, judge, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, help="YAML of a run on cubes, after 'make stage2'")
    parser.add_argument("--pairs", type=whole(1, 10_000), default=12, help="how many to draw (%(default)s)")
    parser.add_argument(
        "--spacing", type=number(0, 1000), default=5.0, help="voxels between the faces where they touch (%(default)s)"
    )
    parser.add_argument("--seed", type=whole(0, 2**32 - 1), default=11, help="of the pairs (%(default)s)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a setting")
    arguments = parser.parse_args()
    from ensemble.check import load_run_settings
    from ensemble.surface.predict import CubeRun
    from scroll.runtime.output_folder import PREDICTION
    from scroll.runtime.run_lock import writing

    settings = load_run_settings(arguments.config, arguments.set)
    output = settings.run_dir / "pairs"
    with writing(output, PREDICTION):
        judge_all(CubeRun(settings, output), arguments)


def judge_all(cube_run: "CubeRun", arguments: argparse.Namespace) -> None:
    """Draw the pairs, predict and judge them, and print a table."""
    from scroll.phantom.pairs import draw_pair
    from scroll.phantom.settings import mixed_scrolls
    from scroll.runtime.files import write_json

    drawn = [
        draw_pair((arguments.seed, n), SIZE_VOX, arguments.spacing, settings=mixed_scrolls(SIZE_VOX)[-1])
        for n in range(arguments.pairs)
    ]
    found = [judged(cube_run, cube, pair) for cube, pair in zip(written(cube_run, drawn), drawn, strict=True)]
    touching = sum(pair.close_share for pair in drawn) / len(drawn)
    print(f"{len(drawn)} pairs, spacing {arguments.spacing:g} voxels over {touching:.0%} of their area")
    for method in METHODS:
        print(f"{method:<20} resolves {sum(one[method] for one in found)} of {len(found)}")
    write_json(cube_run.output / "resolved.json", {"spacing_vox": arguments.spacing, "pairs": found})


def written(cube_run: "CubeRun", pairs: "list[Pair]") -> "list[Cube]":
    """The pairs as test cubes in the competition's layout, below the run."""
    from scroll.data.cubes import find_cubes, prepare
    from scroll.phantom.write import write_cube
    from scroll.runtime.files import write_text

    root = cube_run.output / "data"
    rows = ["id,scroll_id", *(f"pair-{n:02d},pairs" for n in range(len(pairs)))]
    write_text(root / "test.csv", "\n".join(rows) + "\n")
    for n, pair in enumerate(pairs):
        write_cube(root / "test_images" / f"pair-{n:02d}.tif", pair.volume)
    return prepare(find_cubes(root, cube_run.settings.data, part="test"))


def judged(cube_run: "CubeRun", cube: "Cube", pair: "Pair") -> dict[str, bool]:
    """Whether each method tells the two sheets of a pair apart where they touch."""
    from functools import partial

    from ensemble.surface.predictors import ENSEMBLE, POST_PROCESSED
    from scroll.metrics.sheet_separation import resolved
    from stage1_3d.cubes.predict import predict_cube
    from stage1_3d.external.member import all_folds

    members = list(cube_run.settings.stage1.members)
    for name in members:
        predict_cube(
            cube_run.settings,
            name,
            cube,
            all_folds(cube_run.settings, name),
            cube_run.output / name,
            partial(cube_run.load, name),
        )
    cube_run.look_flat(cube, members)
    volumes: dict[str, NDArray[Any]] = {
        "threshold": cube_run.mask(cube, ENSEMBLE),
        "post-processing": cube_run.mask(cube, POST_PROCESSED),
        "tracing": sheets_of(cube_run, cube, is_mended=False),
        "tracing and guessing": sheets_of(cube_run, cube, is_mended=False, is_guessed_too=True),
        "stage two": sheets_of(cube_run, cube, is_mended=True),
    }
    truth = pair.surfaces * pair.close
    for volume in volumes.values():
        volume[pair.ignore] = 0
    return {name: resolved(volume, truth).is_resolved for name, volume in volumes.items()}


def sheets_of(cube_run: "CubeRun", cube: "Cube", is_mended: bool, is_guessed_too: bool = False) -> "NDArray[np.uint8]":
    """Every sheet under its own number, lifted as the run's fit says; also where it was guessed, if that is asked for."""
    from ensemble.surface.lift_sheets import as_traced, numbered
    from ensemble.surface.predictors import SHEETS, STAGE2, read_sheets
    from scroll.runtime.record import needed
    from stage2_2d.surface.stack import TracedSheet

    name = STAGE2 if is_mended else SHEETS
    lift = needed(cube_run.settings.folder.fit, f"rows.{name}.lift", cube_run.fit.rows[name].lift)
    sheets = [
        as_traced(sheet, True) if is_guessed_too and isinstance(sheet, TracedSheet) else lift.present(sheet)
        for sheet in read_sheets(cube_run.where, cube, is_mended)
    ]
    return numbered(sheets, cube.shape, lift.thickness_vox, lift.offset_vox)

"""The leaderboard's score of a run's out-of-fold predictions on cubes, member by member.

    python scripts/score_cubes.py configs/surface.yaml [--threshold 0.5]

The threshold is given, not fitted: fitted on the same cubes it would flatter.
"""

import argparse
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from scroll.runtime.command_line import number, whole
from scroll.runtime.processes import in_order, usable_cores

if TYPE_CHECKING:
    from ensemble.commands.score import Scored
    from scroll.config.schema import Settings
    from scroll.data.cubes import Cube


def main() -> None:
    """Print a table for each member."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, help="YAML of a run with data.kind: cubes, after 'make stage1'")
    parser.add_argument("--threshold", type=number(0, 1), default=0.5, help="probability of surface from (%(default)s)")
    parser.add_argument("--jobs", type=whole(1, 4096), default=usable_cores(), help="cubes at a time (%(default)s)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a setting")
    arguments = parser.parse_args()
    from ensemble.commands.score import table
    from scroll.config.reader import load_settings

    settings = load_settings(arguments.config, arguments.set)
    for name in settings.stage1.members:
        print(f"{name}, out of fold, threshold {arguments.threshold:g}")
        print(*table(score_member(settings, name, arguments.threshold, arguments.jobs)), sep="\n")


def score_member(settings: "Settings", name: str, threshold: float, jobs: int = 1) -> "list[Scored]":
    """The score of every training cube's out-of-fold prediction.

    Raises:
        MissingInputError: one of them was not made.
        InputError: the run is not on cubes, or a cube or the weights were changed since it was predicted.
    """
    from scroll.data.cubes import training_cubes
    from scroll.data.kinds import kind_of
    from scroll.errors import InputError
    from scroll.runtime.progress import progress

    if kind_of(settings.data).has_sheets:
        raise InputError(f"data.kind is {settings.data.kind}: only cubes have a surface score; see ensemble/predict.py")
    cubes, folder = training_cubes(settings.data), settings.folder.oof(name)
    score = partial(score_cube, folder, threshold)
    with progress(f"score {name}", len(cubes), "cube") as advance:
        scored = []
        for one in in_order(score, cubes, jobs):
            scored.append(one)
            advance()
    return scored


def score_cube(folder: Path, threshold: float, cube: "Cube") -> "Scored":
    """The score of <folder>/<cube>/prob.zarr where it is at least `threshold`."""
    from ensemble.commands.score import Scored
    from scroll.errors import InputError
    from scroll.inference.current_weights import check_weights
    from scroll.inference.prediction_store import open_map
    from scroll.metrics.leaderboard import leaderboard_score
    from scroll.runtime.receipt import read_receipt
    from scroll.volumes import open_volume

    hint = "run 'make stage1 CONFIG=...' first"
    receipt = read_receipt(folder / cube.id, hint)
    if receipt.get("data") != cube.key:
        raise InputError(f"{folder / cube.id}: cube '{cube.id}' was changed since it was predicted; {hint}")
    check_weights(folder / cube.id, receipt, hint)
    prob = open_map(folder / cube.id / "prob.zarr", hint)[:]
    return Scored(cube.id, leaderboard_score(prob >= threshold, open_volume(str(cube.label_path))[...]), None)

"""Predict fragments with a trained run: every member, stage two, the joint network, the weighted ensemble, the submission.

python ensemble/predict.py configs/demo.yaml --input data/demo/test --output runs/demo/predict --submission submission.csv

On two GPUs: the same with --part 1/2 and --part 2/2 at the same time and without --submission, each with its own
CUDA_VISIBLE_DEVICES; then once more without --part, which packs what both predicted.
"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if not __package__:
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from scroll.runtime.command_line import run_door
from scroll.runtime.command_numbers import number

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ensemble.ink.fit_record import InkFit
    from ensemble.ink.inputs import Part
    from ensemble.time_budget.fragments import FragmentClock
    from scroll.config.schema import Settings
    from scroll.data.sheets import Sheet


def main() -> None:
    """Parse the command line and predict."""
    arguments = _parser().parse_args()
    from ensemble.check import load_run_settings
    from ensemble.ink.inputs import Part, parse_part
    from scroll.runtime.output_folder import PREDICTION, SUBMISSION_CSV, SUBMISSION_ZIP, check_file
    from scroll.runtime.run_lock import writing

    part = parse_part(arguments.part) if arguments.part else Part()
    settings = load_run_settings(arguments.config, arguments.set)
    _check_together(settings, arguments)
    inputs = [settings.run_dir, settings.data.root, arguments.input, *filter(None, [arguments.truth])]
    if arguments.submission:
        kind = SUBMISSION_ZIP if settings.data.kind == "cubes" else SUBMISSION_CSV
        check_file(arguments.submission, kind, inputs[1:])  # in the run folder it may lie
    share = f"{part.number}-of-{part.count}" if arguments.part else ""
    with writing(arguments.output, PREDICTION, inputs, share):
        _predict(settings, arguments, part)


def _predict(settings: "Settings", arguments: argparse.Namespace, part: "Part") -> None:
    """Predict, pack and score, as the command line asks."""
    if settings.data.kind == "cubes":
        predict_cubes(settings, arguments, part)
        return
    masks = predict(settings, arguments.input, arguments.output, part, arguments.hours)
    if arguments.submission:
        write_checked_submission(settings, arguments.submission, masks)
    if arguments.truth:
        from ensemble.score import print_table, score_run

        print_table(score_run(settings, arguments.input, arguments.output, arguments.truth, sys.argv))
        from scroll.report.page import write_report

        print(f"report: {write_report(settings.run_dir, arguments.output)}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, help="YAML of the trained run")
    parser.add_argument(
        "--input", type=Path, required=True, help="folder of fragments, one fragment, or one volume file"
    )
    parser.add_argument(
        "--output", type=Path, required=True, help="folder for probabilities, pictures, score and report"
    )
    parser.add_argument("--submission", type=Path, help="also write submission.csv (of cubes: submission.zip) here")
    parser.add_argument(
        "--truth",
        type=Path,
        help="folder with <fragment>/inklabels.png (of cubes: <id>.tif): score against it and write the report",
    )
    parser.add_argument(
        "--hours",
        type=number(0, 1e5),
        help="give up test-time flips, then members, to finish in this time (not of segments)",
    )
    parser.add_argument(
        "--late-is-empty",
        action="store_true",
        help="cubes: submit empty, and name, what --hours leave no time for, rather than go on or stop",
    )
    parser.add_argument(
        "--tidy",
        action="store_true",
        help="cubes: remove a cube's probabilities once its mask is written; no score, no report",
    )
    parser.add_argument(
        "--part", metavar="K/N", help="predict every N-th fragment or cube from the K-th on, for one of N processes"
    )
    parser.add_argument(
        "--resume",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="cubes: keep what an earlier prediction finished (default), or predict every cube anew",
    )
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a setting")
    return parser


def _check_together(settings: "Settings", arguments: argparse.Namespace) -> None:
    """Refuse options that do not go together, and labels that are not there."""
    from scroll.errors import InputError, MissingInputError

    if arguments.part and (arguments.submission or arguments.truth):
        raise InputError("--part predicts some of the input; pack and score all of it, in one more call without --part")
    if arguments.tidy and arguments.truth:
        raise InputError("--tidy removes what a score is made of; leave out --truth, or --tidy")
    if settings.data.kind == "segments" and (arguments.part or arguments.hours is not None):
        raise InputError("--part and --hours: not of segments; those of one volume are predicted together")
    if arguments.truth and not arguments.truth.is_dir():
        raise MissingInputError(
            f"{arguments.truth}: no such folder; --truth takes one with <fragment>/inklabels.png (of cubes: <id>.tif) in it"
        )


def predict_cubes(settings: "Settings", arguments: argparse.Namespace, part: "Part") -> None:
    """Predict the test cubes of the competition's folder, and pack and score them where that is asked for."""
    from ensemble.ink.inputs import ForNotebook
    from ensemble.surface.predict import predict_test_cubes, write_checked_zip

    notebook = ForNotebook(part, arguments.late_is_empty, arguments.tidy)
    cubes = predict_test_cubes(settings, arguments.input, arguments.output, arguments.hours, arguments.resume, notebook)
    if arguments.submission:
        write_checked_zip(arguments.submission, arguments.output, cubes)
    if arguments.truth:
        from ensemble.surface.score import print_cube_table, score_cubes
        from scroll.report.page import write_report

        print_cube_table(score_cubes(settings, arguments.input, arguments.output, arguments.truth, sys.argv))
        print(f"report: {write_report(settings.run_dir, arguments.output)}")


def predict(
    settings: "Settings", source: Path, output: Path, part: "Part | None" = None, hours: float | None = None
) -> "dict[str, NDArray[np.bool_]]":
    """Predict every fragment of `source` into `output`/<fragment>/; returns the ensemble's ink masks at full resolution.

    `part`: only some of them. Within `hours` test-time flips are given up, then members (of fragments only).

    Raises:
        MissingInputError: the run lacks weights or its fit, or `source` holds no fragments.
        InputError: a fragment is not as expected, or not even one member fits into the time.
    """
    from ensemble.calibrate import read_fit
    from ensemble.ink.inputs import input_sheets
    from ensemble.preflight import preflighted
    from scroll.data.sheets import need_sheets

    need_sheets(settings.data)
    fit = read_fit(settings)
    masks = {}
    sheets = input_sheets(settings, source)
    sheets = preflighted(settings, part.of(sheets) if part else sheets, output)
    if settings.data.kind == "segments":
        from stage1_3d.segments.data import predict_new_segments

        predict_new_segments(settings, sheets, output)  # volume by volume: several sheets lie in each
    clock = _clock(settings, sheets, output, fit, hours)
    for sheet in sheets:
        views = clock.views(sheet) if clock else None
        predict_candidates(settings, sheet, output / sheet.id, views)
        masks[sheet.id] = blend_sheet(settings, sheet, output / sheet.id, fit, views)
        if clock:
            clock.finished(sheet)
    return masks


def _clock(
    settings: "Settings", sheets: "list[Any]", output: Path, fit: "InkFit", hours: float | None
) -> "FragmentClock | None":
    if hours is None:
        return None
    from ensemble.time_budget.fragments import FragmentClock
    from ensemble.time_budget.plan import HOUR_S

    return FragmentClock(settings, sheets, output, fit, hours * HOUR_S)


def predict_candidates(
    settings: "Settings", fragment: "Any", folder: Path, views: "dict[str, int] | None" = None
) -> None:
    """Stage one's members, flattened (of a segment they are already), then stage two (and the jointly trained network) on
    their stack; what is current is left alone. `views`: only these members look, through so many views; all if None.
    """
    from ensemble.ink.predictors import JOINT, STAGE2
    from ensemble.time_budget.fragments import stand_ins
    from ensemble.time_budget.plan import with_views
    from stage1_3d.predict import flatten_ct
    from stage1_3d.predict import predict_new as predict_stage1
    from stage2_2d.ink.stack import read_stack
    from stage2_2d.predict import predict_new as predict_stage2

    if settings.data.kind == "fragments":
        for name in settings.stage1.members if views is None else views:
            of_member = settings if views is None else with_views(settings, views[name])
            predict_stage1(of_member, name, fragment, folder / name)
        flatten_ct(settings, fragment, folder / "ct")
    sources = stand_ins(settings, views or dict.fromkeys(settings.stage1.members, 0))
    stack = read_stack(
        settings.stage1,
        fragment,
        {name: folder / instead for name, instead in sources.items()},
        "run ensemble/predict.py again",
    )
    predict_stage2(settings, fragment, stack, folder / STAGE2)
    if settings.joint is not None:
        from ensemble.end_to_end.predict import predict_new as predict_joint

        predict_joint(settings, fragment, stack, folder / JOINT)


def blend_sheet(
    settings: "Settings", fragment: "Sheet", folder: Path, fit: "InkFit", views: "dict[str, int] | None" = None
) -> "NDArray[np.bool_]":
    """Weighted mean, threshold, small components dropped, inside the papyrus; writes ink_prob.tif/.png and ink_mask.png.

    `views`: members that are not in it were left out, and so is their weight.
    Memory: a few full-resolution (Y, X) arrays; the volume is not touched.
    """
    from ensemble.ink.pictures import save_probability, write_mask_png
    from ensemble.ink.postprocess import drop_small
    from ensemble.ink.predictors import blended

    left_out = {name for name in settings.stage1.members if views is not None and name not in views}
    weights = {name: weight for name, weight in fit.weights.items() if name not in left_out}
    prob = blended(settings, fragment, folder, weights if any(weights.values()) else dict.fromkeys(weights, 1.0))[:]
    prob[~fragment.full_mask] = 0
    mask = drop_small(prob >= fit.thresholds["ensemble"], settings.ensemble.min_area_um2, fragment.pixel_um)
    save_probability(prob, folder / "ensemble", fragment.pixel_um)
    write_mask_png(folder / "ensemble" / "ink_mask.png", mask)
    return mask


def write_checked_submission(settings: "Settings", path: Path, masks: "dict[str, NDArray[np.bool_]]") -> None:
    """Write the submission and read it back.

    Raises:
        InputError: a mask is empty and the settings refuse that, or the file read back differs.
    """
    from ensemble.ink.submission import read_submission, write_submission

    write_submission(path, masks, settings.ensemble.when_empty)
    read_submission(path, {name: (mask.shape[0], mask.shape[1]) for name, mask in masks.items()})
    print(f"submission: {path}, {len(masks)} fragment{'' if len(masks) == 1 else 's'}, read back and valid")


if __name__ == "__main__":
    run_door(main)

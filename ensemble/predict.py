"""Predict fragments with a trained run: every member, stage two, the joint network, the weighted ensemble, the submission.

python ensemble/predict.py configs/demo.yaml --input data/demo/test --output runs/demo/predict --submission submission.csv
"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if not __package__:
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from scroll.command_line import run_door

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from scroll.config import Settings
    from scroll.sheets import Sheet


def main() -> None:
    """Parse the command line and predict."""
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
        "--hours", type=float, help="cubes: give up test-time flips, then members, to finish in this time"
    )
    parser.add_argument(
        "--resume",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="cubes: keep what an earlier prediction finished (default), or predict every cube anew",
    )
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a setting")
    arguments = parser.parse_args()
    from ensemble.check import load_run_settings
    from scroll.errors import MissingInputError

    settings = load_run_settings(arguments.config, arguments.set)
    if arguments.truth and not arguments.truth.is_dir():
        raise MissingInputError(
            f"{arguments.truth}: no such folder; --truth takes one with <fragment>/inklabels.png (of cubes: <id>.tif) in it"
        )
    if settings.data.kind == "cubes":
        predict_cubes(settings, arguments)
        return
    masks = predict(settings, arguments.input, arguments.output)
    if arguments.submission:
        write_checked_submission(settings, arguments.submission, masks)
    if arguments.truth:
        from ensemble.score import print_table, score_run

        print_table(score_run(settings, arguments.input, arguments.output, arguments.truth, sys.argv))
        from scroll.report.page import write_report

        print(f"report: {write_report(settings.run_dir, arguments.output)}")


def predict_cubes(settings: "Settings", arguments: argparse.Namespace) -> None:
    """Predict the test cubes of the competition's folder, and pack and score them where that is asked for."""
    from ensemble.cube_predict import predict_test_cubes, write_checked_zip

    cubes = predict_test_cubes(settings, arguments.input, arguments.output, arguments.hours, arguments.resume)
    if arguments.submission:
        write_checked_zip(arguments.submission, arguments.output, cubes)
    if arguments.truth:
        from ensemble.cube_score import print_cube_table, score_cubes
        from scroll.report.page import write_report

        print_cube_table(score_cubes(settings, arguments.input, arguments.output, arguments.truth, sys.argv))
        print(f"report: {write_report(settings.run_dir, arguments.output)}")


def predict(settings: "Settings", source: Path, output: Path) -> "dict[str, NDArray[np.bool_]]":
    """Predict every fragment of `source` into `output`/<fragment>/; returns the ensemble's ink masks at full resolution.

    Raises:
        MissingInputError: the run lacks weights or its fit, or `source` holds no fragments.
        InputError: a fragment is not as expected.
    """
    from ensemble.calibrate import read_fit
    from ensemble.inputs import input_sheets
    from ensemble.preflight import preflighted
    from scroll.sheets import need_sheets

    need_sheets(settings.data)
    fit = read_fit(settings)
    masks = {}
    sheets = preflighted(settings, input_sheets(settings, source), output)
    if settings.data.kind == "segments":
        from stage1_3d.segment_data import predict_new_segments

        predict_new_segments(settings, sheets, output)  # volume by volume: several sheets lie in each
    for sheet in sheets:
        predict_candidates(settings, sheet, output / sheet.id)
        masks[sheet.id] = blend_sheet(settings, sheet, output / sheet.id, fit)
    return masks


def predict_candidates(settings: "Settings", fragment: "Any", folder: Path) -> None:
    """Stage one's members, flattened (of a segment they are already), then stage two (and the jointly trained network) on
    their stack; what is current is left alone.
    """
    from ensemble.candidates import JOINT, STAGE2
    from stage1_3d.predict import flatten_ct
    from stage1_3d.predict import predict_new as predict_stage1
    from stage2_2d.predict import predict_new as predict_stage2
    from stage2_2d.stack import read_stack

    if settings.data.kind == "fragments":
        for name in settings.stage1.members:
            predict_stage1(settings, name, fragment, folder / name)
        flatten_ct(settings, fragment, folder / "ct")
    folders = {name: folder / name for name in settings.stage1.sources}
    stack = read_stack(settings.stage1, fragment, folders, "run ensemble/predict.py again")
    predict_stage2(settings, fragment, stack, folder / STAGE2)
    if settings.joint is not None:
        from ensemble.joint_predict import predict_new as predict_joint

        predict_joint(settings, fragment, stack, folder / JOINT)


def blend_sheet(settings: "Settings", fragment: "Sheet", folder: Path, fit: dict[str, Any]) -> "NDArray[np.bool_]":
    """Weighted mean, threshold, small components dropped, inside the papyrus; writes ink_prob.tif/.png and ink_mask.png.

    Memory: a few full-resolution (Y, X) arrays; the volume is not touched.
    """
    from ensemble.candidates import blended
    from ensemble.pictures import save_probability, write_mask_png
    from ensemble.postprocess import drop_small

    prob = blended(settings, fragment, folder, fit["weights"])[:]
    prob[~fragment.full_mask] = 0
    mask = drop_small(prob >= fit["thresholds"]["ensemble"], settings.ensemble.min_area_um2, fragment.pixel_um)
    save_probability(prob, folder / "ensemble", fragment.pixel_um)
    write_mask_png(folder / "ensemble" / "ink_mask.png", mask)
    return mask


def write_checked_submission(settings: "Settings", path: Path, masks: "dict[str, NDArray[np.bool_]]") -> None:
    """Write the submission and read it back.

    Raises:
        InputError: a mask is empty and the settings refuse that, or the file read back differs.
    """
    from ensemble.submission import read_submission, write_submission

    write_submission(path, masks, settings.ensemble.when_empty)
    read_submission(path, {name: (mask.shape[0], mask.shape[1]) for name, mask in masks.items()})
    print(f"submission: {path}, {len(masks)} fragments, read back and valid")


if __name__ == "__main__":
    run_door(main)

"""Predict fragments with a trained run: every member, stage two, the end-to-end network, the weighted ensemble, the submission.

python ensemble/predict.py configs/demo.yaml --input data/demo/test --output runs/demo/predict --submission submission.csv

On two GPUs: the same with --part 1/2 and --part 2/2 at the same time and without --submission, each with its own
CUDA_VISIBLE_DEVICES; then once more without --part, which packs what both predicted.
"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if not __package__:
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from scroll.runtime.command_line import number, run_command

if TYPE_CHECKING:
    from scroll.config.schema import Settings


def main() -> None:
    """Parse the command line and predict."""
    arguments = _parser().parse_args()
    from ensemble.check import load_run_settings
    from ensemble.kinds import steps_of
    from ensemble.request import Part, Request, parse_part
    from scroll.data.kinds import kind_of
    from scroll.runtime.output_folder import PREDICTION, SUBMISSION_CSV, SUBMISSION_ZIP, check_file
    from scroll.runtime.run_lock import writing

    part = parse_part(arguments.part) if arguments.part else Part()
    settings = load_run_settings(arguments.config, arguments.set)
    _check_together(settings, arguments)
    inputs = [settings.run_dir, settings.data.root, arguments.input, *filter(None, [arguments.truth])]
    if arguments.submission:
        kind = {".zip": SUBMISSION_ZIP, ".csv": SUBMISSION_CSV}[Path(kind_of(settings.data).submission).suffix]
        check_file(arguments.submission, kind, inputs[1:])  # in the run folder it may lie
    share = f"{part.number}-of-{part.count}" if arguments.part else ""
    request = Request(
        arguments.input, arguments.output, arguments.submission, arguments.truth, part, arguments.hours,
        arguments.late_is_empty, arguments.tidy, arguments.resume, tuple(sys.argv),
    )  # fmt: skip
    with writing(arguments.output, PREDICTION, inputs, share):
        steps_of(settings.data).predict(settings, request)


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
        help="cubes: keep what an earlier prediction finished (default), or predict every cube again",
    )
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a setting")
    return parser


def _check_together(settings: "Settings", arguments: argparse.Namespace) -> None:
    """Refuse options that do not go together, and labels that are not there."""
    from scroll.data.kinds import kind_of
    from scroll.errors import InputError, MissingInputError

    if arguments.part and (arguments.submission or arguments.truth):
        raise InputError("--part predicts some of the input; pack and score all of it, in one more call without --part")
    if arguments.tidy and arguments.truth:
        raise InputError("--tidy removes what a score is made of; leave out --truth, or --tidy")
    if kind_of(settings.data).has_one_volume_of_many and (arguments.part or arguments.hours is not None):
        raise InputError(f"--part and --hours: not of {settings.data.kind}; those of one volume are predicted together")
    if arguments.truth and not arguments.truth.is_dir():
        raise MissingInputError(
            f"{arguments.truth}: no such folder; --truth takes one with <fragment>/inklabels.png (of cubes: <id>.tif) in it"
        )


if __name__ == "__main__":
    run_command(main)

"""Whether a submission will be graded: every fault of a submission.zip (or submission.csv), a line each, before it is sent.

    python scripts/validate.py submission.zip --test data/surface
    python scripts/validate.py submission.csv --test data/ink

Exit code 0: valid; 2: at least one fault. A line that begins with "warning:" is no fault.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

if not __package__:
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from scroll.command_line import run_door


def main(arguments: Sequence[str] | None = None) -> int:
    """Print every fault, or one line where there is none; 2 if there is any."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("submission", type=Path, help="submission.zip (surface) or submission.csv (ink)")
    parser.add_argument(
        "--test",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="the competition's data: test.csv and test_images/<id>.tif, or for ink test/<id>/ (or the folder test itself)",
    )
    options = parser.parse_args(arguments)
    from ensemble.surface_submission import WARNING

    lines, masks = validate(options.submission, options.test)
    faults = sum(not line.startswith(WARNING) for line in lines)
    for line in lines:
        print(line if line.startswith(WARNING) else f"fault: {line}")
    if faults:
        print(f"{options.submission}: {faults} fault{'' if faults == 1 else 's'}; it would be rejected or score 0")
        return 2
    print(f"{options.submission}: valid, {masks} mask{'' if masks == 1 else 's'}")
    return 0


def validate(submission: Path, test: Path) -> tuple[list[str], int]:
    """Every fault and warning of a submission, and how many masks were expected.

    Raises:
        MissingInputError: the submission, or the data that it is held against, is not there.
        InputError: it is neither a .zip nor a .csv, or the data cannot be read.
    """
    from scroll.errors import InputError, MissingInputError

    if not test.is_dir():
        raise MissingInputError(f"{test}: no such folder; --test takes the competition's data")
    ending = submission.suffix.lower()
    if ending == ".zip":
        from ensemble.surface_submission import check_submission_zip, shapes_of_test_cubes

        cubes = shapes_of_test_cubes(test)
        return check_submission_zip(submission, cubes), len(cubes)
    if ending == ".csv":
        from ensemble.submission import submission_problems

        fragments = _fragment_shapes(test / "test" if (test / "test").is_dir() else test)
        return submission_problems(submission, fragments), len(fragments)
    raise InputError(f"{submission}: expected submission.zip (surface) or submission.csv (ink)")


def _fragment_shapes(folder: Path) -> dict[str, tuple[int, int]]:
    """(Y, X) of every fragment by id, from the headers of its layers."""
    from scroll.config import DataSettings
    from scroll.fragments import find_fragments

    return {fragment.id: fragment.shape_yx for fragment in find_fragments(folder, DataSettings(root=folder))}


if __name__ == "__main__":
    run_door(main)

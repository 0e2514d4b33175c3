"""Whether a submission will be graded: every fault of a submission.zip (or submission.csv), a line each, before it is sent.

    python scripts/validate.py submission.zip --test data/surface
    python scripts/validate.py submission.csv --test data/ink

Exit code 0: valid; 2: at least one fault. A line that begins with "warning:" is no fault.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path


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
    from ensemble.review.validation import validate
    from ensemble.surface.submission import WARNING

    lines, masks = validate(options.submission, options.test)
    faults = sum(not line.startswith(WARNING) for line in lines)
    for line in lines:
        print(line if line.startswith(WARNING) else f"fault: {line}")
    if faults:
        print(f"{options.submission}: {faults} fault{'' if faults == 1 else 's'}; it would be rejected or score 0")
        return 2
    print(f"{options.submission}: valid, {masks} mask{'' if masks == 1 else 's'}")
    return 0

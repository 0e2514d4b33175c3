"""Where a TIFF, PNG or map comes from: the record in it in plain words, and whether its receipts are those of the same prediction.

    python scripts/whence.py runs/demo_ink/predict/a/ensemble/ink_mask.png
    python scripts/whence.py downloads/mask.png --run runs/demo_ink

The record goes with the file, whatever it is called and wherever it is; it says what the file was written from, not whether
somebody has painted on it since. Exit code 0: all is known, and the receipts agree; 1: of a file there is something to be said.
"""

import argparse
from pathlib import Path


def main() -> int:
    """Tell of each file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, nargs="+", help="TIFF or PNG that this project wrote, or a zarr")
    parser.add_argument(
        "--run", type=Path, metavar="DIR", help="look for receipts below this run too, not only beside the file"
    )
    arguments = parser.parse_args()
    from ensemble.review.whence import described
    from scroll.errors import InputError, MissingInputError

    if arguments.run and not arguments.run.is_dir():
        raise MissingInputError(f"{arguments.run}: no such folder; --run takes one of a run or of what it predicted")
    is_all_well = True
    for path in arguments.file:
        try:
            lines, is_same = described(path, arguments.run)
        except InputError as error:
            lines, is_same = [str(error)], False
        print(
            "\n".join("".join(c if c.isprintable() else "?" for c in line) for line in lines)
        )  # others' files say anything
        is_all_well &= is_same
    return 0 if is_all_well else 1

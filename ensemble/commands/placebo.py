"""Is what a run found real, and what would it have missed? Placebo copies, planted ink: placebo.json and pictures.

    python scripts/placebo.py configs/demo_ink.yaml --input data/demo_ink/test --output runs/demo_ink/predict

Predicts each fragment 6 times and once more for every contrast, with the whole run; what is current is kept, so a stopped one
goes on. How to read it: docs/placebo.md.
"""

import argparse
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from scroll.errors import InputError
from scroll.runtime.command_line import as_typed, number, whole

if TYPE_CHECKING:
    from ensemble.controls.detectability import Planting
    from ensemble.controls.record import Study
    from scroll.config.schema import Settings


def main() -> None:
    """Parse the command line, judge the fragments, print what stands out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, help="YAML of the trained run")
    parser.add_argument(
        "--input", type=Path, required=True, help="folder of fragments, one fragment, or one volume file"
    )
    parser.add_argument(
        "--output",
        type=Path,
        required=True,
        help="folder for placebo.json and pictures; that of ensemble/predict.py spares the prediction itself",
    )
    parser.add_argument(
        "--copies", type=whole(-1000, 1000), default=2, help="scrambled and shuffled copies, each (%(default)s)"
    )
    parser.add_argument(
        "--contrasts",
        default="0.125,0.25,0.5,1,2",
        help="of the planted ink, in spreads of the papyrus' grey values (%(default)s); '' plants nothing",
    )
    parser.add_argument(
        "--letter-um", type=number(1, 1e6), help="height of a planted letter (as in the training labels)"
    )
    parser.add_argument(
        "--film-vox", type=number(0.1, 1000), default=2.5, help="thickness of the planted film (%(default)s)"
    )
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a setting")
    arguments = parser.parse_args()
    from ensemble.check import load_run_settings
    from ensemble.controls.detectability import Planting
    from scroll.runtime.output_folder import PREDICTION
    from scroll.runtime.run_lock import writing

    settings = load_run_settings(arguments.config, arguments.set)
    contrasts = read_contrasts(arguments.contrasts)
    planting = Planting(contrasts, arguments.letter_um, arguments.film_vox) if contrasts else None
    with writing(arguments.output, PREDICTION, [settings.run_dir, settings.data.root, arguments.input]):
        judge(settings, arguments, planting)


def judge(settings: "Settings", arguments: argparse.Namespace, planting: "Planting | None") -> None:
    """Judge every fragment, print what stands out, and renew the report where there is one."""
    from ensemble.controls.study import study

    command = shlex.join(as_typed(sys.argv))
    print_found(study(settings, arguments.input, arguments.output, arguments.copies, planting, command))
    print(f"placebo: {arguments.output / 'placebo.json'}")
    if (arguments.output / "score.json").exists():
        from scroll.report.page import write_report

        print(f"report: {write_report(settings.run_dir, arguments.output)}")


def read_contrasts(text: str) -> tuple[float, ...]:
    """Numbers parted by commas; none for an empty text.

    >>> read_contrasts("0.5, 1")
    (0.5, 1.0)

    Raises:
        InputError: not numbers.
    """
    try:
        return tuple(float(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise InputError(f"--contrasts '{text}': expected numbers parted by commas, such as 0.25,0.5,1") from None


def print_found(content: "Study") -> None:
    """A paragraph a fragment."""
    for fragment in content["fragments"]:
        print(f"\n{fragment['id']}: {fragment['note']}")
        for table in fragment["tables"]:
            if table["title"] == "Planted letters":
                print(table["note"].split(". ")[0] + ".")
    print()

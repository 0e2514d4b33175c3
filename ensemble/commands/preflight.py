"""Does a stack lie as the networks were trained: which way its layers run, how deep its sheet is, at which scale?

    python scripts/preflight.py configs/demo.yaml --input data/demo/test [--output runs/demo/preflight]

Looks only; `ensemble/predict.py` does the same before it predicts, and corrects. Exit code 2 where a sheet would be refused.
"""

import argparse
from pathlib import Path

from scroll.errors import InputError, MissingInputError


def main() -> int:
    """Print one line a sheet; 2 if any of them would be refused."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, help="YAML of the trained run")
    parser.add_argument("--input", type=Path, required=True, help="folder of fragments or segments, or one of them")
    parser.add_argument("--output", type=Path, help="also leave <sheet>/preflight.json here")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a setting")
    arguments = parser.parse_args()
    from ensemble.preflight import checked
    from ensemble.request import input_sheets
    from scroll.config.reader import load_settings
    from scroll.data.kinds import need_sheets
    from scroll.runtime.files import read_mapping
    from scroll.runtime.output_folder import PREDICTION, check_folder

    settings = load_settings(arguments.config, arguments.set)
    need_sheets(settings.data)
    if not settings.folder.reference.exists():
        raise MissingInputError(
            f"{settings.folder.reference}: not there; run 'make stage1 CONFIG={arguments.config}' first"
        )
    if arguments.output:
        check_folder(arguments.output, PREDICTION, [settings.run_dir, settings.data.root, arguments.input])
    reference, refused = read_mapping(settings.folder.reference), 0
    for sheet in input_sheets(settings, arguments.input):
        try:
            checked(settings, sheet, reference, arguments.output)
        except InputError as error:
            print(f"preflight {sheet.id}: refused: {error}")
            refused += 1
    return 2 if refused else 0

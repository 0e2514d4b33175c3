"""Fit the ensemble's weights and every threshold on out-of-fold predictions.

python -m ensemble.calibrate configs/demo.yaml [--set a.b=c]
"""

import argparse
from pathlib import Path

from scroll.runtime.command_line import run_command


def main() -> None:
    """Parse the command line and calibrate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, help="YAML of the run, such as configs/demo.yaml")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a setting")
    arguments = parser.parse_args()
    from ensemble.check import load_run_settings
    from ensemble.kinds import steps_of
    from scroll.runtime.output_folder import RUN
    from scroll.runtime.run_lock import writing

    settings = load_run_settings(arguments.config, arguments.set)
    with writing(settings.run_dir, RUN):
        steps_of(settings.data).calibrate(settings)


if __name__ == "__main__":
    run_command(main)

"""Everything that the settings of all steps can get wrong, found before the first of them starts; nothing heavy is loaded.

python -m ensemble.check configs/demo.yaml [--set a.b=c]
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from scroll.runtime.command_line import run_command

if TYPE_CHECKING:
    from scroll.config.schema import Settings


def main() -> None:
    """Check a configuration for a training of the whole pipeline; silent where it is sound."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, help="YAML of the run, such as configs/demo.yaml")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a setting")
    arguments = parser.parse_args()
    from scroll.training.loggers import check_trackers

    check_trackers(load_run_settings(arguments.config, arguments.set))


def load_run_settings(path: Path, overrides: list[str]) -> "Settings":
    """`load_checked_settings` of stage one, and stage two and end-to-end training checked as well.

    Raises:
        InputError: also for an unknown network, option or member, or a patch that one of them cannot take.
    """
    from scroll.errors import InputError
    from stage1_3d.network import load_checked_settings

    settings = load_checked_settings(path, overrides)
    try:
        check_run(settings)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    return settings


def check_run(settings: "Settings") -> None:
    """Refuse what the later steps would refuse after hours: stage two, and end-to-end training where it is asked for.

    Raises:
        InputError: as `check_stage2` and `check_end_to_end` raise it.
    """
    from ensemble.end_to_end.settings import check_end_to_end
    from stage2_2d.network import check_stage2

    check_stage2(settings.stage2)
    if settings.end_to_end is not None:
        check_end_to_end(settings)


if __name__ == "__main__":
    run_command(main)

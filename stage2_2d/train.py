"""Stage two: train the 2D network on out-of-fold flattened stacks, fold by fold, then predict what each fold held out.

python -m stage2_2d.train configs/demo.yaml [--set a.b=c]
"""

from importlib import import_module
from typing import TYPE_CHECKING

from scroll.runtime.command_line import run_command, run_parser

if TYPE_CHECKING:
    from scroll.config.schema import Settings

KINDS = {"fragments": "stage2_2d.ink.train", "segments": "stage2_2d.ink.train", "cubes": "stage2_2d.surface.train"}


def main() -> None:
    """Parse the command line and run stage two."""
    arguments = run_parser(__doc__, "stage2.training.steps=200").parse_args()
    from scroll.config.reader import load_settings
    from scroll.runtime.output_folder import RUN
    from scroll.runtime.run_lock import writing

    settings = load_settings(arguments.config, arguments.set)
    with writing(settings.run_dir, RUN, is_training=True):
        train_stage2(settings)


def train_stage2(settings: "Settings") -> None:
    """Train stage two on every fold and leave weights and out-of-fold ink maps in the run folder.

    Raises:
        MissingInputError: a member's out-of-fold prediction is not there; the line names `make stage1`.
        InputError: bands of rows with too narrow a buffer, or the data is not as expected.
    """
    from scroll.data.folds import check_buffer
    from scroll.training.loggers import check_trackers
    from stage2_2d.network import check_stage2

    check_stage2(settings.stage2)
    check_trackers(settings)
    check_buffer(settings)
    import_module(KINDS[settings.data.kind]).train(settings)


if __name__ == "__main__":
    run_command(main)

"""Only a look at the layers: one line a sheet that says whether they lie as in training, and nothing predicted."""

from collections.abc import Sequence
from pathlib import Path

from ensemble.preflight import checked
from ensemble.request import input_sheets
from scroll.config.reader import load_settings
from scroll.data.kinds import need_sheets
from scroll.errors import InputError, MissingInputError
from scroll.runtime.files import read_mapping
from scroll.runtime.output_folder import PREDICTION, check_folder


def look_only(config: Path | None, sources: Sequence[Path], output: Path | None, overrides: Sequence[str]) -> int:
    """Print one line a sheet, and leave <output>/<sheet>/preflight.json where there is an output; 2 if any would be refused.

    Raises:
        InputError: no run, whose training the layers are compared with.
        MissingInputError: stage one of the run was not trained.
    """
    if config is None:
        raise InputError("--look: compares layers with a run's training; give the YAML of the run")
    settings = load_settings(config, overrides)
    need_sheets(settings.data)
    if not settings.folder.reference.exists():
        raise MissingInputError(f"{settings.folder.reference}: not there; run 'make stage1 CONFIG={config}' first")
    if output:
        check_folder(output, PREDICTION, [settings.run_dir, settings.data.root, *sources])
    reference, refused = read_mapping(settings.folder.reference), 0
    for sheet in (sheet for source in sources for sheet in input_sheets(settings, source)):
        try:
            checked(settings, sheet, reference, output)
        except InputError as error:
            print(f"preflight {sheet.id}: refused: {error}")
            refused += 1
    return 2 if refused else 0

"""The whole of it for every fragment: real prediction, placebo panel, planted ink, pictures, placebo.json."""

from pathlib import Path

from ensemble.controls.detectability import Planting, check_contrasts, detectability
from ensemble.controls.panel import placebo_panel
from ensemble.controls.planting import NoRoomError
from ensemble.controls.predicted import predicted
from ensemble.controls.record import NAME, NOTE, TITLE, Study, fragment_record
from ensemble.ink.fit import read_fit
from ensemble.preflight import preflighted
from ensemble.request import input_sheets
from scroll.config.schema import Settings
from scroll.data.kinds import need_flattened
from scroll.errors import InputError
from scroll.runtime.files import write_json


def study(
    settings: Settings, source: Path, output: Path, copies: int, planting: Planting | None, command: str
) -> Study:
    """Judge every fragment of `source`; `planting` None plants nothing. Writes and returns <output>/placebo.json.

    `output` may be the folder that ensemble/predict.py wrote: what is current there is not predicted again.

    Raises:
        MissingInputError: the run lacks weights or its fit, or `source` holds no fragments.
        InputError: not of the kind fragments, or settings of the panel that make no sense.
    """
    need_flattened(settings.data, "the placebo panel changes flattened layer stacks", "give a run of fragments")
    if copies < 1:
        raise InputError(f"--copies is {copies}; expected 1 or more of each seeded kind")
    if planting is not None:
        check_contrasts(planting.contrasts)
    fit, records = read_fit(settings), []
    for fragment in preflighted(settings, input_sheets(settings, source), output):
        folder = output / fragment.id
        real = predicted(settings, fragment, folder, fit)
        panel = placebo_panel(settings, fragment, folder / "placebo", fit, real, copies)
        planted, without = None, ""
        if planting is not None:
            try:
                planted = detectability(settings, fragment, folder / "placebo", fit, real, planting)
            except NoRoomError as error:  # what was found can be judged all the same
                without = f" Nothing was planted: {error}."
        record = fragment_record(fragment, panel, planted, output, fragment.id)
        record["note"] += without
        records.append(record)
    content: Study = {"title": TITLE, "note": NOTE, "command": command, "fragments": records}
    write_json(output / NAME, content)
    return content

"""Look at sheets before they are predicted, beside what the run was trained on; turn them round, shift them, or refuse them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from scroll.config.schema import Settings
from scroll.data.fragments import Fragment
from scroll.data.segments import Segment
from scroll.data.sheets import Sheet
from scroll.errors import InputError, UnreadableError
from scroll.preflight.depth_match import REACH_LAYERS
from scroll.preflight.training_span import NAME, Preflight, decide, estimate, read_reference
from scroll.runtime.files import kept_json, read_mapping, write_sealed
from scroll.runtime.receipt import key_of

LOOK = 1  # how a sheet is looked at; another number where that changes, and what was found before counts no more
TRACED_WITHIN_VOX = 5  # a traced surface is on its sheet; further away is a neighbouring one


def preflighted(settings: Settings, sheets: Sequence[Any], output: Path) -> list[Any]:
    """The sheets as they are to be predicted; what was found is printed and left in <output>/<sheet>/preflight.json.

    Raises:
        InputError: a sheet does not lie as in training, and that cannot, or by the settings must not, be corrected.
    """
    if settings.preflight.mode == "off":
        return list(sheets)
    path = settings.folder.reference
    if not path.exists():
        print(
            f"preflight: {path} is not there (trained before there was one); direction and depth of the layers are not checked"
        )
        return list(sheets)
    reference = read_mapping(path)
    return [checked(settings, sheet, reference, output) for sheet in sheets]


def checked(settings: Settings, sheet: Any, reference: Mapping[str, object], output: Path | None) -> Any:
    """One sheet, turned and shifted as it was found to need, which is printed; `reference` is what
    `scroll.preflight.training_span.training_reference` gave.

    Raises:
        InputError: refused; <output>/<sheet>/preflight.json then holds why.
    """
    result, turned = laid_as_trained(settings, sheet, reference, output)
    print(f"preflight {sheet.id}: {result.verdict}: {result.why}")
    return turned


def laid_as_trained(
    settings: Settings, sheet: Any, reference: Mapping[str, object], output: Path | None
) -> tuple[Preflight, Any]:
    """What was found of a sheet, and the sheet turned and shifted so; left in <output>/<sheet>/preflight.json, where there is an output.

    What stands there of the same sheet, reference and settings is not looked for again.

    Raises:
        InputError: refused, which is left there too.
        UnreadableError: it cannot be read, which says nothing about its direction.
    """
    key = key_of([LOOK, sheet.key, dict(reference), settings.preflight.model_dump(mode="json")])
    path = output / sheet.id / NAME if output is not None else None
    try:
        result = (_found_before(path, key) if path else None) or judged(settings, sheet, reference)
        turned = corrected(sheet, result)
    except UnreadableError:
        raise
    except InputError as error:
        if path:
            write_sealed(path, {"verdict": "refused", "why": str(error)})
        raise
    if path:
        write_sealed(path, result.record() | {"reference": reference.get("key"), "key": key})
    return result, turned


def _found_before(path: Path, key: str) -> Preflight | None:
    """What was found of the same sheet beside the same reference; None where there is none."""
    record = kept_json(path, "the sheet is looked at")
    return Preflight.of_record(record) if record.get("key") == key else None


def judged(settings: Settings, sheet: Sheet, reference: Mapping[str, object]) -> Preflight:
    """How a sheet is beside what was trained on, and what `preflight.mode` makes of it.

    Raises:
        InputError: refused.
    """
    try:
        reach = TRACED_WITHIN_VOX if isinstance(sheet, Segment) else REACH_LAYERS
        profile, windows = read_reference(reference), settings.preflight.windows
        finding = estimate(sheet.stack, sheet.full_mask, profile, windows, str(sheet.folder), reach)
    except InputError as error:
        if settings.preflight.mode != "warn":
            raise InputError(f"{error}; --set preflight.mode=warn goes on without this check") from None
        return Preflight("not looked at", str(error))
    return decide(finding, settings.preflight.mode, str(sheet.folder))


def corrected(sheet: Any, result: Preflight) -> Any:
    """The sheet turned and shifted as found.

    Raises:
        InputError: a traced segment is off its sheet; only tracing it again helps.
    """
    if isinstance(sheet, Fragment):
        return replace(sheet, is_flipped=result.is_flipped, shift_layers=result.shift_layers)
    if isinstance(sheet, Segment) and result.verdict == "corrected":
        if result.shift_layers:
            raise InputError(
                f"{sheet.folder}: its sheet is {result.shift_layers} voxels along the normals from where training's segments lie: "
                f"{result.why}; move the surface, or --set preflight.mode=warn predicts it all the same"
            )
        sign = -sheet.data.normal_sign if result.is_flipped else sheet.data.normal_sign
        return replace(sheet, data=sheet.data.model_copy(update={"normal_sign": sign}))
    return sheet

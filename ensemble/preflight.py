"""Look at sheets before they are predicted, beside what the run was trained on; turn them round, shift them, or refuse them."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from scroll.config.schema import Settings
from scroll.data.fragments import Fragment
from scroll.data.segments import Segment
from scroll.data.sheets import Sheet
from scroll.errors import InputError
from scroll.preflight.depth_match import REACH_LAYERS
from scroll.preflight.training_span import NAME, Preflight, decide, estimate, read_reference
from scroll.runtime.files import read_mapping, write_json

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


def checked(settings: Settings, sheet: Any, reference: dict[str, object], output: Path | None) -> Any:
    """One sheet, turned and shifted as it was found to need; `reference` is what `scroll.preflight.training_span.training_reference` gave.

    Raises:
        InputError: refused; <output>/<sheet>/preflight.json then holds why.
    """
    try:
        result = judged(settings, sheet, reference)
        turned = corrected(sheet, result)
    except InputError as error:
        kept_beside(output, sheet, {"verdict": "refused", "why": str(error)})
        raise
    print(f"preflight {sheet.id}: {result.verdict}: {result.why}")
    kept_beside(output, sheet, result.record() | {"reference": reference.get("key")})
    return turned


def kept_beside(output: Path | None, sheet: Sheet, content: dict[str, object]) -> None:
    """Write <output>/<sheet>/preflight.json, where there is an output."""
    if output is not None:
        write_json(output / sheet.id / NAME, content)


def judged(settings: Settings, sheet: Sheet, reference: dict[str, object]) -> Preflight:
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

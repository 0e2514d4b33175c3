"""New fragments and segments from CT to ink masks: every member, stage two, the end-to-end network, blend, threshold."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensemble.ink.clock import FragmentClock, stand_ins
from ensemble.ink.fit import read_fit
from ensemble.ink.fit_record import InkFit
from ensemble.ink.pictures import save_probability, write_mask_png
from ensemble.ink.postprocess import drop_small
from ensemble.ink.predictors import END_TO_END, STAGE2, blended
from ensemble.ink.submission import read_submission, write_submission
from ensemble.output_record import sheet_record
from ensemble.preflight import preflighted
from ensemble.request import Part, input_sheets
from ensemble.time_budget.plan import HOUR_S, with_views
from scroll.config.schema import Settings
from scroll.data.depth_windows import check_depth_offsets
from scroll.data.kinds import kind_of, need_sheets
from scroll.data.sheets import Sheet
from stage1_3d.predict import flatten_ct
from stage1_3d.predict import predict_new as predict_stage1
from stage1_3d.segments.data import predict_new_segments
from stage2_2d.predict import predict_new, stage2_predictor
from stage2_2d.stack import read_stack


def predict(
    settings: Settings, source: Path, output: Path, part: Part | None = None, hours: float | None = None
) -> dict[str, NDArray[np.bool_]]:
    """Predict every fragment of `source` into `output`/<fragment>/; returns the ensemble's ink masks on their canvas.

    `part`: only some of them. Within `hours` test-time flips are given up, then members (of fragments only).

    Raises:
        MissingInputError: the run lacks weights or its fit, or `source` holds no fragments.
        InputError: a fragment is not as expected, lacks layers for a shifted depth window, or not even one member fits into the time.
    """
    need_sheets(settings.data)
    fit = read_fit(settings)
    masks = {}
    sheets = input_sheets(settings, source)
    sheets = preflighted(settings, part.of(sheets) if part else sheets, output)
    if kind_of(settings.data).is_flattened:
        check_depth_offsets(settings, sheets)
    if kind_of(settings.data).has_one_volume_of_many:
        predict_new_segments(settings, sheets, output)  # volume by volume: several sheets lie in each
    clock = _clock(settings, sheets, output, fit, hours)
    for sheet in sheets:
        views = clock.views(sheet) if clock else None
        predict_with_each(settings, sheet, output / sheet.id, views)
        masks[sheet.id] = sheet.on_canvas(blend_sheet(settings, sheet, output / sheet.id, fit, views))
        if clock:
            clock.finished(sheet)
    return masks


def _clock(
    settings: Settings, sheets: list[Any], output: Path, fit: InkFit, hours: float | None
) -> FragmentClock | None:
    if hours is None:
        return None
    return FragmentClock(settings, sheets, output, fit, hours * HOUR_S)


def predict_with_each(settings: Settings, fragment: Any, folder: Path, views: dict[str, int] | None = None) -> None:
    """Stage one's members, flattened (of a segment they are already), then stage two (and the end-to-end network) on
    their stack; what is current is left alone. `views`: only these members look, through so many views; all if None.
    """
    if kind_of(settings.data).is_flattened:
        for name in settings.stage1.members if views is None else views:
            of_member = settings if views is None else with_views(settings, views[name])
            predict_stage1(of_member, name, fragment, folder / name)
        flatten_ct(settings, fragment, folder / "ct")
    sources = stand_ins(settings, views or dict.fromkeys(settings.stage1.members, 0))
    stack = read_stack(
        settings.stage1,
        fragment,
        {name: folder / instead for name, instead in sources.items()},
        "run ensemble/predict.py again",
    )
    predict_new(settings, stage2_predictor(settings, fragment, stack), folder / STAGE2)
    if settings.end_to_end is not None:
        from ensemble.end_to_end.network import end_to_end_predictor

        predict_new(settings, end_to_end_predictor(settings, fragment, stack), folder / END_TO_END)


def blend_sheet(
    settings: Settings, fragment: Sheet, folder: Path, fit: InkFit, views: dict[str, int] | None = None
) -> NDArray[np.bool_]:
    """Weighted mean, threshold, small components dropped, inside the papyrus; writes ink_prob.tif/.png and ink_mask.png.

    `views`: members that are not in it were left out, and so is their weight.
    Memory: a few full-resolution (Y, X) arrays; the volume is not touched.
    """
    left_out = {name for name in settings.stage1.members if views is not None and name not in views}
    weights = {name: weight for name, weight in fit.weights.items() if name not in left_out}
    weights = weights if any(weights.values()) else dict.fromkeys(weights, 1.0)
    prob = blended(settings, fragment, folder, weights)[:]
    prob[~fragment.full_mask] = 0
    mask = drop_small(prob >= fit.thresholds["ensemble"], settings.ensemble.min_area_um2, fragment.pixel_um)
    record = sheet_record(settings, fragment, folder, weights) | ({} if views is None else {"views": views})
    cut = {"threshold": fit.thresholds["ensemble"], "min_area_um2": settings.ensemble.min_area_um2}
    record |= {"fit": fit.made_from, **cut}
    save_probability(prob, folder / "ensemble", fragment.pixel_um, record)
    write_mask_png(folder / "ensemble" / "ink_mask.png", mask, record | {"what": "mask of ink"})
    return mask


def write_checked_submission(settings: Settings, path: Path, masks: dict[str, NDArray[np.bool_]]) -> None:
    """Write the submission and read it back.

    Raises:
        InputError: a mask is empty and the settings refuse that, or the file read back differs.
    """
    write_submission(path, masks, settings.ensemble.when_empty)
    read_submission(path, {name: (mask.shape[0], mask.shape[1]) for name, mask in masks.items()})
    kind = settings.data.kind.removesuffix("s")
    print(f"submission: {path}, {len(masks)} {kind}{'' if len(masks) == 1 else 's'}, read back and valid")

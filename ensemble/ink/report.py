"""What the report shows of predicted sheets: pictures, what its viewer zooms into, the worst and best patches, and the evidence."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ensemble.ink.fit_record import InkFit
from ensemble.ink.patches import EDGE_UM, Seen, Window, centre_layer, picked, windows_of
from ensemble.ink.pictures import save_report_pictures
from ensemble.ink.postprocess import drop_small
from ensemble.ink.predictors import ENSEMBLE, EQUAL, MEMBERS_MEAN, blend_weights, blended, predictor_names
from scroll.config.schema import Settings
from scroll.data.fragments import Fragment
from scroll.data.labels import Label
from scroll.data.sheets import Sheet
from scroll.errors import InputError
from scroll.report.patch_pictures import PatchRecord, save_patches
from scroll.report.score_record import OutOfFold, out_of_fold
from scroll.report.tiles import VIEWS_BUDGET_BYTES, Flat, FlatView, flat_view
from scroll.runtime.files import read_mapping, write_json
from scroll.runtime.receipt import NAME

VIEW = "view.json"  # beside a sheet's pictures
METRICS = {"f05": "F0.5", "precision": "Precision", "recall": "Recall", "ap": "AP"}


def save_ink_report(
    settings: Settings, sheets: Sequence[Sheet], output: Path, truths: Mapping[str, Label], fit: InkFit
) -> list[PatchRecord]:
    """Pictures and view.json of every sheet in <output>/<sheet>/, and <output>/patches; the records of the patches.

    `truths` holds what is written on each sheet, (Y, X).
    """
    seen: dict[str, Seen] = {}
    windows: list[Window] = []
    for sheet in sheets:
        one = seen[sheet.id] = _seen(settings, sheet, output / sheet.id, truths[sheet.id], fit)
        save_report_pictures(settings, sheet, one.folder, one.maps, one.mask, one.label.target)
        write_json(one.folder / VIEW, _view(one, VIEWS_BUDGET_BYTES // len(sheets)))
        windows += windows_of(sheet.id, one.mask, one.label, _edge_px(sheet, settings.data.bin_yx))
    patches = [seen[window.sheet].patch(kind, window) for kind, window in picked(windows)]
    return save_patches(output / "patches", patches)


def _edge_px(sheet: Sheet, bin_yx: int) -> int:
    """Edge of a patch, whole working pixels; of a small sheet a third of it, so that there is something to choose from."""
    return max(bin_yx, round(min(EDGE_UM / sheet.pixel_um, min(sheet.shape_yx) / 3)) // bin_yx * bin_yx)


def _seen(settings: Settings, sheet: Sheet, folder: Path, label: Label, fit: InkFit) -> Seen:
    sheet = as_predicted(settings, sheet, folder)
    names = [*predictor_names(settings), ENSEMBLE]
    maps = {name: blended(settings, sheet, folder, blend_weights(settings, fit.weights, name)) for name in names}
    mask = (maps[ENSEMBLE][:] >= fit.thresholds[ENSEMBLE]) & sheet.full_mask
    mask = drop_small(mask, settings.ensemble.min_area_um2, sheet.pixel_um)
    return Seen(settings, sheet, folder, maps, mask, label)


def as_predicted(settings: Settings, sheet: Sheet, folder: Path) -> Sheet:
    """The sheet turned and shifted as a preflight had found it when the first member looked at it."""
    receipt = folder / next(iter(settings.stage1.members)) / NAME
    if not isinstance(sheet, Fragment) or not receipt.exists():
        return sheet
    mapping = {"is_flipped": False, "shift_layers": 0} | read_mapping(receipt)
    if type(mapping["is_flipped"]) is not bool or type(mapping["shift_layers"]) is not int:
        raise InputError(
            f"{receipt}: is_flipped or shift_layers is something else; delete its folder and predict again"
        )
    return replace(sheet, is_flipped=mapping["is_flipped"], shift_layers=mapping["shift_layers"])


def _view(seen: Seen, budget_bytes: int) -> FlatView:
    """The ensemble's probability first: it is shown when the page opens."""
    papyrus = seen.sheet.mask
    probs = {name: seen.maps[name].coarse * papyrus for name in [ENSEMBLE, *predictor_names(seen.settings)]}
    sheet, known = seen.sheet, ~seen.label.ignore
    layer_um = sheet.pixel_um * getattr(sheet.stack, "step_vox", 1.0)  # a fragment's layers are a voxel apart
    flat = Flat(sheet.stack, centre_layer(sheet), layer_um, sheet.pixel_um, probs, seen.mask, seen.label.target, known)
    return flat_view(flat, budget_bytes)


def ink_evidence(settings: Settings, fit: InkFit) -> OutOfFold:
    """For score.json: what out-of-fold predictions say of every predictor and blend; empty where the fit is an older one."""
    if fit.evidence is None:
        return OutOfFold()
    names = [*predictor_names(settings), MEMBERS_MEAN, EQUAL, ENSEMBLE]
    of = f"all pixels of the training {settings.data.kind}, each predicted by networks that had not seen it"
    return out_of_fold(fit.evidence, names, {name: fit.thresholds[name] for name in names}, METRICS, of)

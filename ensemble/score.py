"""Score a prediction against labels: every member, stage two, the joint network and the ensemble, in one table."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ensemble.calibrate import read_fit
from ensemble.candidates import JOINT, STAGE2, candidate_names
from ensemble.lift import lifted
from ensemble.pictures import save_report_pictures
from ensemble.postprocess import drop_small
from ensemble.predict import blended, input_sheets
from scroll.config import Settings
from scroll.files import write_json
from scroll.labels import Label, named, read_mask_png
from scroll.metrics.fbeta import ink_score, level_counts
from scroll.metrics.surface_dice import surface_dice

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scroll.sheets import Sheet

PHANTOM_NOTE = (
    "Scored on a phantom: this shows that the pipeline works. It is no evidence about real scrolls, and no architecture "
    "may be ranked by it."
)
ENSEMBLE = "ensemble"


def score_run(settings: Settings, source: Path, output: Path, truth_dir: Path, command: list[str]) -> dict[str, Any]:
    """Score everything that was predicted into `output`, write score.json and the pictures for the report.

    Thresholds and weights come from out-of-fold data only. F0.5, precision and recall are of the mask after
    post-processing for the ensemble, and of the bare threshold for everyone else.
    """
    fit = read_fit(settings)
    fragments = input_sheets(settings, source)
    truths = {sheet.id: read_truth(sheet, truth_dir / sheet.id) for sheet in fragments}
    rows = []
    for name in [*candidate_names(settings), ENSEMBLE]:
        rows.append(_row(settings, fragments, output, truths, fit, name))
    score = {
        "title": f"{settings.run_dir.name}: {len(fragments)} held-out fragment{'s' if len(fragments) > 1 else ''}",
        "note": PHANTOM_NOTE if (settings.data.root / "phantom.json").exists() else "",
        "fragments": [f.id for f in fragments],
        "rows": rows,
        "oof_f05": fit["oof_f05"],
        "commands": [shlex.join(["python", *command])],
    }
    write_json(output / "score.json", score)
    for fragment in fragments:
        _save_pictures(settings, fragment, output / fragment.id, truths[fragment.id].target, fit)
    return score


def read_truth(sheet: "Sheet", folder: Path) -> Label:
    """What is written on a sheet: `inklabels.png` in `folder`, known inside the papyrus and, if it is there, `supervision_mask.png`.

    Both may also be called <sheet>_inklabels.png and <sheet>_supervision_mask.png, as those of public segments are.

    Raises:
        MissingInputError: no label there.
        InputError: it has another size than the sheet.
    """
    ink = read_mask_png(named(folder, sheet.id, "inklabels.png"), sheet.shape_yx)
    supervised = named(folder, sheet.id, "supervision_mask.png")
    known = sheet.full_mask & read_mask_png(supervised, sheet.shape_yx) if supervised.exists() else sheet.full_mask
    return Label(ink & known, ~known)


def _row(
    settings: Settings,
    fragments: "Sequence[Sheet]",
    output: Path,
    truths: dict[str, Label],
    fit: dict[str, Any],
    name: str,
) -> dict[str, Any]:
    threshold = fit["thresholds"][name]
    counts, decided, dice = {}, {}, []
    for fragment in fragments:
        truth, valid = truths[fragment.id].target, ~truths[fragment.id].ignore
        prob = _map(settings, fragment, output / fragment.id, fit, name)
        mask = _decided(settings, fragment, prob, threshold, name)
        counts[fragment.id] = level_counts(prob, truth, valid)
        decided[fragment.id] = level_counts(mask.astype(np.float32), truth, valid)
        dice.append(_lifted_dice(fragment, mask & valid, truth & valid, settings.ensemble.lift_thickness_vox))
    ranked, at_mask = ink_score(counts, threshold).as_row(), ink_score(decided, 0.5).as_row()
    return {
        "name": name,
        "kind": name if name in (STAGE2, JOINT, ENSEMBLE) else "member",
        **{key: at_mask[key] for key in ("f05", "f05_mean", "precision", "recall")},
        "ap": ranked["ap"],
        "auc": ranked["auc"],
        "surface_dice": float(np.mean(dice)),
        "threshold": threshold,
        "weight": fit["weights"].get(name),
    }


def _lifted_dice(sheet: "Sheet", mask: NDArray[np.bool_], truth: NDArray[np.bool_], thickness_vox: int) -> float:
    found, wanted = lifted(sheet, [mask, truth], thickness_vox)
    return surface_dice(found, wanted, tolerance_vox=2.0)


def _map(settings: Settings, fragment: "Sheet", folder: Path, fit: dict[str, Any], name: str) -> Any:
    return blended(settings, fragment, folder, fit["weights"] if name == ENSEMBLE else {name: 1.0})


def _decided(settings: Settings, fragment: "Sheet", prob: Any, threshold: float, name: str) -> NDArray[np.bool_]:
    mask = (prob[:] >= threshold) & fragment.full_mask
    return drop_small(mask, settings.ensemble.min_area_um2, fragment.pixel_um) if name == ENSEMBLE else mask


def _save_pictures(
    settings: Settings, fragment: "Sheet", folder: Path, truth: NDArray[np.bool_], fit: dict[str, Any]
) -> None:
    names = [*candidate_names(settings), ENSEMBLE]
    maps = {name: _map(settings, fragment, folder, fit, name) for name in names}
    mask = _decided(settings, fragment, maps[ENSEMBLE], fit["thresholds"][ENSEMBLE], ENSEMBLE)
    save_report_pictures(settings, fragment, folder, maps, mask, truth)


def print_table(score: dict[str, Any]) -> None:
    """Print the rows of score.json, best F0.5 marked."""
    columns = ["f05", "f05_mean", "precision", "recall", "ap", "auc", "surface_dice", "threshold", "weight"]
    print(f"\n{score['title']}")
    print(f"{'':<12}" + "".join(f"{column:>13}" for column in columns))
    best = max(row["f05"] for row in score["rows"])
    for row in score["rows"]:
        cells = "".join(f"{'-' if row[c] is None else format(row[c], '.4f'):>13}" for c in columns)
        print(f"{row['name']:<12}{cells}{'  <- best F0.5' if row['f05'] == best else ''}")
    if score["note"]:
        print(score["note"])
    print()

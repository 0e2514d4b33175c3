"""Fit the ensemble's weights and every threshold on out-of-fold predictions.

python -m ensemble.calibrate configs/demo.yaml [--set a.b=c]
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scroll.runtime.command_line import run_door
from scroll.runtime.json_fields import MayLack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ensemble.ink.evidence import Maps
    from ensemble.ink.left_out import Part
    from scroll.config.schema import Settings
    from scroll.data.sheets import Sheet

GAIN = {"difference": float, "low": float, "high": float, "verdict": str}
FIT = {
    "made_from": str, "weights": {str: float}, "thresholds": {str: float}, "oof_f05": MayLack({str: float}),
    "oof_interval": MayLack({str: (float, float)}), "blocks": MayLack({"count": int, "edge_um": float}),
    "gain_where_fitted": MayLack(GAIN), "left_out": MayLack(GAIN, or_null=True), "best_member": MayLack(str), "evidence": MayLack(dict),
}  # fmt: skip
MAX_PIXELS = 1_000_000  # that the weights are fitted on, spread over all fragments
HINT = "run 'make stage1 CONFIG=...' and 'make stage2 CONFIG=...' first"
JOINT_HINT = "run 'make joint CONFIG=...' first, or remove joint from the settings"


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


def fit_path(settings: "Settings") -> Path:
    """Where weights and thresholds are kept."""
    return settings.run_dir / "ensemble" / "fit.json"


def calibrate(settings: "Settings") -> dict[str, Any]:
    """Fit weights and thresholds, write them to ensemble/fit.json and return them.

    Weights are fitted at working resolution, thresholds maximise F0.5 over all fragments at full resolution. Figures of what was fitted
    are told on the same data and so are a little too good; "left_out" says what fitting gains on data that it did not see.

    Raises:
        MissingInputError: an out-of-fold prediction is not there.
        InputError: it was made from other data or weights than those that are there now.
    """
    from ensemble.ink.left_out import fitted_weights, left_out_gain, part_of
    from ensemble.ink.predictors import JOINT, candidate_names, flat_map, oof_folder
    from ensemble.ink.weights import equal_weights
    from scroll.data.sheets import training_sheets
    from scroll.runtime.files import kept_json, write_sealed
    from stage2_2d.ink.stack import checked_receipt

    fragments = training_sheets(settings.data)
    names = candidate_names(settings)
    for fragment in fragments:
        for name in names:
            folder = oof_folder(settings, name, fragment.id)
            checked_receipt(folder, fragment, JOINT_HINT if name == JOINT else HINT)
    before = kept_json(fit_path(settings), "fitted", **FIT)
    if before.get("made_from") == calibration_key(settings) and "evidence" in before:
        return read_fit(settings)
    maps = {f.id: [flat_map(oof_folder(settings, name, f.id), name, HINT) for name in names] for f in fragments}
    parts = [part_of(fragment, maps[fragment.id]) for fragment in fragments]
    is_fitted, given = settings.ensemble.weights == "fitted", settings.ensemble.threshold
    weights = fitted_weights(parts, MAX_PIXELS) if is_fitted else equal_weights(len(names))
    fit: dict[str, Any] = {
        "made_from": calibration_key(settings),
        "fragments": [f.id for f in fragments],
        "weights": dict(zip(names, map(float, weights), strict=True)),
    }
    fit |= _out_of_fold(settings, fragments, maps, parts, fit["weights"])
    fit["best_member"] = max(settings.stage1.members, key=lambda name: fit["oof_f05"][name])
    fit["left_out"] = left_out_gain(parts, None if given == "fitted" else float(given)) if is_fitted else None
    write_sealed(fit_path(settings), fit)
    return fit


def _out_of_fold(
    settings: "Settings", fragments: "Sequence[Sheet]", maps: "Maps", parts: "Sequence[Part]", weights: dict[str, float]
) -> dict[str, Any]:
    """Threshold, F0.5 and its interval of each candidate and blend, what the weights gain on what they were fitted on, and evidence."""
    import numpy as np

    from ensemble.ink.evidence import evidence, judged, without_each
    from ensemble.ink.predictors import ENSEMBLE, EQUAL, MEMBERS_MEAN, blend_weights, candidate_names
    from scroll.metrics.bootstrap import block_edge_um, blocks_record, known_um2, resampled

    everyone = candidate_names(settings)
    names = [*everyone, ENSEMBLE, EQUAL, MEMBERS_MEAN]
    edge_um = block_edge_um(known_um2([~f.full_label.ignore for f in fragments], [f.pixel_um for f in fragments]))
    found = {}
    for name in names:
        blended = blend_weights(settings, weights, name)
        vector = np.array([blended.get(one, 0.0) for one in everyone])
        found[name] = judged(settings, fragments, maps, vector, edge_um)
    drawn = resampled(np.stack([one.blocks for one in found.values()]))
    without = without_each(settings, fragments, maps, parts, found[ENSEMBLE], edge_um)
    return {
        "thresholds": {name: one.threshold for name, one in found.items()},
        "oof_f05": {name: one.f05 for name, one in found.items()},
        "oof_interval": {name: list(drawn.interval(i)) for i, name in enumerate(names)},
        "gain_where_fitted": drawn.gain(names.index(ENSEMBLE), names.index(EQUAL)).as_record(),
        "blocks": blocks_record(edge_um, drawn.blocks),
        "evidence": evidence(found),
        "without": without,
    }


def print_fit(fit: dict[str, Any]) -> None:
    """Print what was fitted: weights, thresholds, out-of-fold F0.5 with its 95 % interval, and what fitting gained."""
    for name, threshold in fit["thresholds"].items():
        weight, (low, high) = fit["weights"].get(name), fit["oof_interval"][name]
        said = f"weight {weight:.3f}" if weight is not None else " " * 12
        print(f"{name:<16} {said}  threshold {threshold:.3f}  out-of-fold F0.5 {fit['oof_f05'][name]:.4f} "
              f"({low:.3f} to {high:.3f})")  # fmt: skip
    print(f"95 % intervals over {fit['blocks']['count']} blocks of {fit['blocks']['edge_um'] / 1000:.1f} mm")
    for where, gain in (("where they were fitted", fit["gain_where_fitted"]), ("left out", fit["left_out"])):
        if gain is not None:
            print(f"fitted weights over equal ones, {where}: {gain['difference']:+.4f} "
                  f"({gain['low']:+.4f} to {gain['high']:+.4f}), {gain['verdict']}")  # fmt: skip


def calibration_key(settings: "Settings") -> str:
    """Hash of the weights files that the fit speaks of, and of the settings that shape it."""
    from ensemble.ink.predictors import candidate_folder, candidate_names
    from scroll.metrics.bootstrap import BLOCK_UM
    from scroll.runtime.receipt import file_hash, key_of

    folds = range(settings.folds.count)
    paths = [candidate_folder(settings, name) / f"fold{k}" for name in candidate_names(settings) for k in folds]
    hashes = [
        file_hash(path / "weights.safetensors") if (path / "weights.safetensors").exists() else None for path in paths
    ]
    data = settings.data.model_dump(include={"kind", "depth", "bin_yx", "voxel_um", "level", "normal_sign"})
    windows = [settings.stage1.window.model_dump(), settings.stage2.window.model_dump()]
    how = [BLOCK_UM, settings.ensemble.weights, settings.ensemble.threshold, settings.stage1.flatten.model_dump()]
    return key_of([hashes, data, windows, how])


def read_fit(settings: "Settings") -> dict[str, Any]:
    """The fit of this run.

    Raises:
        MissingInputError: it was never made.
        InputError: it was made for other weights or settings.
    """
    from scroll.errors import InputError
    from scroll.runtime.files import read_sealed

    path = fit_path(settings)
    last = "stage2" if settings.joint is None else "joint"
    command = f"run 'make {last} CONFIG=...' (or python -m ensemble.calibrate CONFIG)"
    fit = read_sealed(path, f"weights and thresholds are fitted on out-of-fold predictions: {command}", **FIT)
    if fit.get("made_from") != calibration_key(settings):
        raise InputError(
            f"{path}: was fitted for other weights or settings than those in {settings.run_dir}; {command}"
        )
    return dict(fit)


if __name__ == "__main__":
    run_door(main)

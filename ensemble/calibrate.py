"""Fit the ensemble's weights and every threshold on out-of-fold predictions.

python -m ensemble.calibrate configs/demo.yaml [--set a.b=c]
"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if not __package__:
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from scroll.command_line import run_door

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from scroll.config import Settings
    from scroll.sheets import Sheet

MAX_PIXELS = 1_000_000  # that the weights are fitted on, spread over all fragments
HINT = "run 'make stage1 CONFIG=...' and 'make stage2 CONFIG=...' first"
JOINT_HINT = "run 'make joint CONFIG=...' first, or remove joint from the settings"


def main() -> None:
    """Parse the command line and calibrate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, help="YAML of the run, such as configs/demo.yaml")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a setting")
    arguments = parser.parse_args()
    from scroll.config_file import load_settings

    settings = load_settings(arguments.config, arguments.set)
    if settings.joint is not None and not (settings.run_dir / "joint").exists():  # stage two is done, joint comes next
        print("weights and thresholds are fitted after the joint fine-tuning: run 'make joint CONFIG=...'")
        return
    fit = calibrate(settings)
    for name, weight in fit["weights"].items():
        print(
            f"{name:<16} weight {weight:.3f}  threshold {fit['thresholds'][name]:.3f}  out-of-fold F0.5 {fit['oof_f05'][name]:.4f}"
        )
    print(f"{'ensemble':<16} threshold {fit['thresholds']['ensemble']:.3f}  out-of-fold F0.5 {fit['oof_f05']['ensemble']:.4f}  "
          f"(equal weights: {fit['oof_f05']['equal mean']:.4f})")  # fmt: skip


def fit_path(settings: "Settings") -> Path:
    """Where weights and thresholds are kept."""
    return settings.run_dir / "ensemble" / "fit.json"


def calibrate(settings: "Settings") -> dict[str, Any]:
    """Fit weights and thresholds, write them to ensemble/fit.json and return them.

    Weights are fitted at working resolution, thresholds maximise F0.5 over all fragments at full resolution.

    Raises:
        MissingInputError: an out-of-fold prediction is not there.
        InputError: it was made from other data or weights than those that are there now.
    """
    import numpy as np

    from ensemble.candidates import JOINT, candidate_names, flat_map, oof_folder
    from ensemble.weights import equal_weights
    from scroll.files import read_json, write_json
    from scroll.sheets import training_sheets
    from stage2_2d.stack import checked_receipt

    fragments = training_sheets(settings.data)
    names = candidate_names(settings)
    for fragment in fragments:
        for name in names:
            folder = oof_folder(settings, name, fragment.id)
            checked_receipt(folder, fragment, JOINT_HINT if name == JOINT else HINT)
    if fit_path(settings).exists() and read_json(fit_path(settings)).get("made_from") == calibration_key(settings):
        return read_fit(settings)
    maps = {f.id: [flat_map(oof_folder(settings, name, f.id), name, HINT) for name in names] for f in fragments}
    equal = equal_weights(len(names))
    weights = _fit_weights(fragments, maps) if settings.ensemble.weights == "fitted" else equal
    blends = {**{name: np.eye(len(names))[i] for i, name in enumerate(names)}, "ensemble": weights, "equal mean": equal}
    thresholds, oof_f05 = _fit_thresholds(settings, fragments, maps, blends)
    fit = {
        "made_from": calibration_key(settings),
        "fragments": [f.id for f in fragments],
        "weights": dict(zip(names, map(float, weights), strict=True)),
        "thresholds": thresholds,
        "oof_f05": oof_f05,
    }
    write_json(fit_path(settings), fit)
    return fit


def _fit_weights(fragments: "Sequence[Sheet]", maps: "dict[str, list[NDArray[np.float32]]]") -> "NDArray[np.float64]":
    """Weights on the labelled pixels of all fragments, at working resolution: for log loss first, then for F0.5."""
    import numpy as np

    from ensemble.weights import best_f05, climb_f05, equal_weights, fit_weights, sample_pixels

    known = [~f.label.ignore for f in fragments]
    probs = np.concatenate([np.stack(maps[f.id])[:, k] for f, k in zip(fragments, known, strict=True)], axis=1)
    truth = np.concatenate([f.label.target[k] for f, k in zip(fragments, known, strict=True)])
    starts = [equal_weights(len(probs)), fit_weights(probs, truth)]
    picked = sample_pixels(len(truth), MAX_PIXELS, seed=0)
    probs, truth = probs[:, picked], truth[picked]
    return climb_f05(probs, truth, max(starts, key=lambda weights: best_f05(probs, truth, weights)))


def _fit_thresholds(
    settings: "Settings",
    fragments: "Sequence[Sheet]",
    maps: "dict[str, list[NDArray[np.float32]]]",
    blends: "dict[str, NDArray[np.float64]]",
) -> tuple[dict[str, float], dict[str, float]]:
    """Threshold and out-of-fold F0.5 of each blend, from histograms summed over fragments."""
    from ensemble.blend import blend
    from ensemble.candidates import FullSize
    from ensemble.threshold import fit_threshold
    from scroll.metrics.fbeta import ink_score, level_counts

    thresholds, scores = {}, {}
    for name, weights in blends.items():
        counts = {}
        for fragment in fragments:
            mixed = FullSize(blend(maps[fragment.id], weights), settings.data.bin_yx, fragment.shape_yx)
            label = fragment.full_label
            counts[fragment.id] = level_counts(mixed, label.target, ~label.ignore)
        given = settings.ensemble.threshold
        thresholds[name] = fit_threshold(sum(counts.values())).threshold if given == "fitted" else float(given)  # type: ignore[arg-type]
        scores[name] = ink_score(counts, thresholds[name]).f05
    return thresholds, scores


def calibration_key(settings: "Settings") -> str:
    """Hash of the weights files that the fit speaks of, and of the settings that shape it."""
    from ensemble.candidates import candidate_folder, candidate_names
    from scroll.receipt import file_hash, key_of

    folds = range(settings.folds.count)
    paths = [candidate_folder(settings, name) / f"fold{k}" for name in candidate_names(settings) for k in folds]
    hashes = [
        file_hash(path / "weights.safetensors") if (path / "weights.safetensors").exists() else None for path in paths
    ]
    data = settings.data.model_dump(include={"kind", "depth", "bin_yx", "voxel_um", "level", "normal_sign"})
    windows = [settings.stage1.window.model_dump(), settings.stage2.window.model_dump()]
    how = [settings.ensemble.weights, settings.ensemble.threshold, settings.stage1.flatten.model_dump()]
    return key_of([hashes, data, windows, how])


def read_fit(settings: "Settings") -> dict[str, Any]:
    """The fit of this run.

    Raises:
        MissingInputError: it was never made.
        InputError: it was made for other weights or settings.
    """
    from scroll.errors import InputError
    from scroll.files import read_json

    path = fit_path(settings)
    last = "stage2" if settings.joint is None else "joint"
    command = f"run 'make {last} CONFIG=...' (or python -m ensemble.calibrate CONFIG)"
    fit = read_json(path, f"weights and thresholds are fitted on out-of-fold predictions: {command}")
    if fit.get("made_from") != calibration_key(settings):
        raise InputError(
            f"{path}: was fitted for other weights or settings than those in {settings.run_dir}; {command}"
        )
    return dict(fit)


if __name__ == "__main__":
    run_door(main)

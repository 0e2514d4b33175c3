"""Reports of both kinds without a training: a sheet with two letters, and two cubes with bent surfaces, as if predicted."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ensemble.surface.patches import edge_of
from scroll.metrics.calibration import figures, reliability, sweep
from scroll.metrics.error_map import atlas
from scroll.metrics.fbeta import level_counts
from scroll.report.cube_volume import Volume, volume_view
from scroll.report.page import write_report
from scroll.report.patch_pictures import Patch, grey, save_patches
from scroll.report.pictures import error_colours, errors_png, grey_png
from scroll.report.tiles import Flat, flat_view
from scroll.runtime.receipt import write_receipt

SHEET_YX, DEPTH, CUBE = (700, 1100), 17, 48
NAMES = ("cnn3d", "unet3d", "ensemble")


def drawn_ink(root: Path) -> Path:
    """The report of two made-up fragments of 700 x 1100 pixels of 20 um, 1.4 x 2.2 cm, and 17 layers."""
    output = root / "predict"
    rng = np.random.default_rng(0)
    coarse = rng.normal(100, 20, (DEPTH, SHEET_YX[0] // 10, SHEET_YX[1] // 10)).astype(np.uint8)
    stack = np.kron(coarse, np.ones((1, 10, 10), np.uint8))
    truth, known = np.zeros(SHEET_YX, bool), np.ones(SHEET_YX, bool)
    truth[200:500, 300:360] = truth[200:260, 300:600] = True
    prob = np.clip(0.7 * np.roll(truth, 20, axis=1)[::4, ::4] + rng.normal(0.1, 0.05, (175, 275)), 0, 1)
    mask = np.kron(prob >= 0.4, np.ones((4, 4), bool))
    flat = Flat(stack, DEPTH // 2, 20.0, 20.0, dict.fromkeys(NAMES, prob), mask, truth, known)
    view = json.dumps(flat_view(flat, 2_000_000))
    for name in ("a", "b"):
        (output / name).mkdir(parents=True)
        (output / name / "view.json").write_text(view)
        grey_png(output / name / "pictures" / "1_ct.png", stack[8])
        errors_png(output / name / "pictures" / "2_errors.png", mask, truth, known)
    box = slice(150, 350), slice(250, 450)
    square = {"z": grey(stack[8][box]), "y": grey(stack[:, 200, box[1]]), "x": grey(stack[:, box[0], 300])}
    errors = error_colours(mask[box], truth[box], np.ones((200, 200), bool))
    shown = {"CT": square, "errors": {"z": errors, "y": errors[:60], "x": errors[:60]}}
    patches = [Patch("b", "worst", 0.4, (4, 250, 350), (0, 150, 250), (8, 200, 200), shown)]
    patches.append(Patch("a", "best", 0.9, (4, 250, 350), (0, 150, 250), (8, 200, 200), shown))
    counts = level_counts(np.kron(prob, np.ones((4, 4))), truth, known)
    metrics = {"f05": "F0.5", "precision": "Precision", "recall": "Recall", "ap": "AP"}
    rows = [{"name": name, "f05": 0.5 + 0.1 * n, "without": _gain(0.01)} for n, name in enumerate(NAMES)]
    score = {"fragments": ["a", "b"], "rows": rows, "out_of_fold": _out_of_fold(counts, metrics, "f05")}
    return _written(root, output, score | {"patches": [dict(one) for one in save_patches(output / "patches", patches)]})


def drawn_cubes(root: Path) -> Path:
    """The report of two made-up cubes of 48 voxels with three bent surfaces, one of which has a hole and one a bridge."""
    output = root / "predict"
    rng = np.random.default_rng(1)
    z, y, x = np.indices((CUBE, CUBE, CUBE))
    faults: dict[str, Any] = {}
    for number, name in enumerate(("2000001", "2000000")):
        height = y - 4 * np.sin(x / 9 + number)
        truth = np.isin(np.rint(height).astype(int), (8, 9, 22, 23, 36, 37))
        mask = truth & ~((z - 20) ** 2 + (x - 20) ** 2 < 40)
        mask |= (abs(height - 15) < 8) & (abs(z - 40) < 2) & (abs(x - 8) < 2)
        label = truth.astype(np.uint8)
        label[:, :, -6:] = 2
        known = label != 2
        ct = np.clip(100 + 80 * truth + rng.normal(0, 15, truth.shape), 0, 255).astype(np.uint8)
        (output / name).mkdir(parents=True)
        (output / name / "view.json").write_text(json.dumps(volume_view(Volume(ct, mask, label), 400_000)))
        grey_png(output / name / "pictures" / "1_ct.png", ct[24])
        faults[name] = [asdict(entry) for entry in atlas(mask & known, truth & known, limit=8)]
    cuts = {"z": grey(ct[24]), "y": grey(ct[:, 24]), "x": grey(ct[:, :, 24])}
    size = (edge_of(CUBE),) * 3
    patches = [Patch("2000000", "worst", 0.4, (20, 8, 20), (0, 0, 0), size, {"CT": cuts, "errors": cuts})]
    counts = level_counts(0.8 * mask + 0.1, truth, known)
    metrics = {"score": "Score", "topo": "Topology"}
    rows = [{"name": name, "score": 0.5 + 0.1 * n, "without": _gain(-0.01)} for n, name in enumerate(NAMES)]
    out_of_fold = _out_of_fold(counts, metrics, "score")
    out_of_fold["curves"]["ensemble"]["sweep"] = {
        "threshold": [0.2, 0.5, 0.8],
        "score": [0.4, 0.6, 0.3],
        "topo": [0.1, 0.4, 0.2],
    }
    score = {
        "fragments": ["2000001", "2000000"], "rows": rows, "columns": {"score": "Score", "without": "Lost without it"},
        "best_by": "score", "thing": "surface", "piece": "Cube", "atlas": faults, "out_of_fold": out_of_fold,
    }  # fmt: skip
    return _written(root, output, score | {"patches": [dict(one) for one in save_patches(output / "patches", patches)]})


def _gain(difference: float) -> dict[str, Any]:
    return {"difference": difference, "low": difference - 0.001, "high": difference + 0.001, "verdict": "better"}


def _out_of_fold(counts: np.ndarray, metrics: dict[str, str], swept: str) -> dict[str, Any]:
    of_fold = figures(counts, 0.4) | {"score": 0.5, "topo": 0.4}
    curve = {"sweep": dict(sweep(counts)), "reliability": dict(reliability(counts)), "threshold": 0.4}
    return {
        "metrics": metrics, "folds": [{"fold": n, "pieces": [str(n)]} for n in range(2)],
        "by_fold": {name: {"folds": [of_fold, of_fold], "all": of_fold} for name in NAMES},
        "curves": {"ensemble": curve}, "shown": "ensemble", "swept": swept, "of": "made-up pixels",
    }  # fmt: skip


def _written(root: Path, output: Path, score: dict[str, Any]) -> Path:
    run_dir = root / "run"
    folder = run_dir / "stage1" / "cnn3d" / "fold0"
    folder.mkdir(parents=True)
    lines = [
        {"step": step, "loss": 1 / (1 + step)} | ({} if step % 5 else {"validation_loss": 0.5}) for step in range(20)
    ]
    (folder / "history.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    write_receipt(folder, "a1b2", data="c3d4", weights={})
    (run_dir / "settings.yaml").write_text("run_dir: run\n")
    (output / "score.json").write_text(json.dumps({"title": "Drawn", "note": "", "commands": ["make demo"], **score}))
    return write_report(run_dir, output)

"""What an audit says beside what is true, on phantoms drawn for it.

    python -m scripts.bench.audit sheets [--seeds 31 32 33] [--each 3] [--keep DIR]
    python -m scripts.bench.audit members [--seeds 31 32 33] [--keep DIR]

- sheets: fragments with easy ink and bare ones, stacks cut off the sheet, and blurred ones, by a run of two small members: the verdict
  of each; how many components on bare papyrus are called real, and how many true ones on easy ink are.
- members: two good members and one that is bad in a known way: trained on reversed stacks, on labels of another place (random), on bright
  fibres (paints), or on one sheet alone for long, with labels that nothing tells (memorised). What each looks like, on a new sheet and
  one that they were trained on.
"""

import argparse
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import tifffile
from imageio.v3 import imread, imwrite
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

from ensemble.audit.alone import asked_alone
from ensemble.audit.record import SheetAudit
from ensemble.audit.sheet import How
from ensemble.audit.study import audit
from ensemble.controls.asked import asked_run
from ensemble.controls.detectability import Planting
from ensemble.ink.evidence import judged
from ensemble.ink.fit import calibrate
from ensemble.ink.predictors import flat_map
from scroll.config.reader import save_run_settings
from scroll.config.schema import Settings
from scroll.data.sheets import training_sheets
from scroll.metrics.betti_matching.connected import connected_components
from scroll.phantom.dataset import make_fragments
from scroll.phantom.settings import fragment_settings
from scroll.runtime.command_line import run_command, whole
from scroll.volumes.masks import read_mask_png
from stage1_3d.external.ours import export_member
from stage1_3d.train import train_stage1
from stage2_2d.train import train_stage2

SIZE_ZYX, LETTER_PX, BIN, VOXEL_UM = (65, 768, 768), 110.0, 4, 7.91
LETTER_UM = LETTER_PX * VOXEL_UM
SCRAP_PX = 384
CUT_LAYERS, BLUR_VOX = 26, (2.0, 8.0, 8.0)
LIKE_TRUTH = 0.5  # share of a component on letters from which on it is a true one
NETWORKS: dict[str, dict[str, object]] = {
    "cnn3d": {"network": "cnn3d", "options": {"channels": [8, 16, 16], "stride_yx": 2}},
    "unet3d": {"network": "unet3d", "options": {"channels": [8, 16, 32], "strides": [[1, 2, 2], [2, 2, 2], [2, 2, 2]]}},
}


def main() -> None:
    """Read the command line and run one of the experiments on each seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", choices=("sheets", "members"))
    parser.add_argument("--seeds", type=whole(0, 2**31), nargs="+", default=[31, 32, 33])
    parser.add_argument("--each", type=whole(1, 26), default=3, help="sheets of each kind a seed (%(default)s)")
    parser.add_argument("--keep", type=Path, help="work in this folder, and leave it")
    arguments = parser.parse_args()
    for seed in arguments.seeds:
        with tempfile.TemporaryDirectory() as folder:
            root = (arguments.keep or Path(folder)) / f"seed{seed}"
            if arguments.experiment == "sheets":
                of_sheets(root, seed, arguments.each)
            else:
                of_members(root, seed)


def of_sheets(root: Path, seed: int, each: int) -> None:
    """Train a run, audit sheets of every kind, and print their verdicts and what of their components is called real."""
    _draw(root / "easy", "easy", seed, 3, each)
    _draw(root / "bare", "zero", seed + 1000, 0, each)
    for kind, change in (("cut", _cut), ("blurred", _blurred)):
        for source in sorted((root / "easy" / "test").iterdir()):
            _changed(source, root / kind / "test" / source.name, change)
    settings = _settings(root, "run", root / "easy", NETWORKS, steps=160)
    train_stage1(settings)
    train_stage2(settings)
    calibrate(settings)
    for kind in ("easy", "bare", "cut", "blurred"):
        how = How(planting=Planting(letter_um=LETTER_UM), depths=())
        found = audit(asked_run(settings), [root / kind / "test"], root / "audit" / kind, how, "")
        print(f"seed {seed}, {kind}: {dict(Counter(sheet.verdict.kind for sheet in found.sheets))}", flush=True)
        for sheet in found.sheets:
            half = sheet.half_found.contrast if sheet.half_found else None
            print(f"  {sheet.id}: half found at {half}, {_called_real(root, kind, sheet)}", flush=True)


def _called_real(root: Path, kind: str, sheet: SheetAudit) -> str:
    """How many components stand out, of those on letters and of those beside them."""
    table = next((one.rows for one in sheet.tables if one.title == "Found components"), ())
    if kind not in ("easy", "bare") or not table:
        return f"{len(table)} components"
    truth = read_mask_png(root / kind / "heldout" / sheet.id / "inklabels.png")
    mask = read_mask_png(root / "audit" / kind / sheet.id / "ensemble" / "ink_mask.png")
    pieces = connected_components(mask[None], 26)[0]
    counts = {True: [0, 0], False: [0, 0]}
    for row in table:
        is_true = bool(truth[pieces == row["component"]].mean() >= LIKE_TRUTH)
        counts[is_true][0] += row["verdict"] == "stands out"
        counts[is_true][1] += 1
    return f"called real: {counts[True][0]} of {counts[True][1]} true components, {counts[False][0]} of {counts[False][1]} imagined ones"


def of_members(root: Path, seed: int) -> None:
    """Train good members and bad ones, and print what each looks like in an audit with two good ones."""
    _draw(root / "good", "easy", seed, 3, 1)
    worlds: Mapping[str, Callable[[Path], None]] = {
        "reversed": _reverse_layers, "random": _wrong_labels, "paints": _label_fibres, "memorised": _one_sheet,
    }  # fmt: skip
    for kind, spoil in worlds.items():
        if not (root / kind).exists():
            shutil.copytree(root / "good" / "train", root / kind / "train")
            for folder in sorted((root / kind / "train").iterdir()):
                spoil(folder)
    steps = {"memorised": 400}
    members = {}
    for kind in ("good", *worlds):
        networks = NETWORKS if kind == "good" else {"cnn3d": NETWORKS["cnn3d"]}
        settings = _settings(root, f"run-{kind}", root / kind, networks, steps.get(kind, 120))
        train_stage1(settings)
        for name in networks:
            members[name if kind == "good" else kind] = folder = root / "members" / (name if kind == "good" else kind)
            export_member(settings, name, folder, "safetensors", _fitted_alone(settings, name))
    for kind in worlds:
        folders = [members["cnn3d"], members["unet3d"], members[kind]]
        changes = [f"data.bin_yx={BIN}", "data.depth=[-12, 12]", f"data.voxel_um={VOXEL_UM}"]
        output, sources = (
            root / "audit" / kind,
            [root / "good" / "test", root / (kind if kind == "memorised" else "good") / "train" / "1"],
        )
        output.mkdir(parents=True, exist_ok=True)
        asked = asked_alone(folders, root / "good", output, changes, None)
        found = audit(asked, sources, output, How(1, Planting((0.5, 2.0), LETTER_UM), (-4, 4)), "")
        for name, looks in found.looks.items():
            print(f"seed {seed}, {kind}: {name}: {'; '.join(f'{one.kind} {one.why}' for one in looks)}", flush=True)


def _fitted_alone(settings: Settings, name: str) -> float:
    """The threshold of the best out-of-fold F0.5, as a run with a second stage would have fitted it."""
    sheets = training_sheets(settings.data)
    maps = {one.id: [flat_map(settings.folder.oof(name, one.id), name, "")] for one in sheets}
    return judged(settings, sheets, maps, np.ones(1), LETTER_UM).threshold


def _draw(root: Path, preset: str, seed: int, train: int, test: int) -> None:
    how = fragment_settings(preset, SIZE_ZYX, letter_height_px=LETTER_PX)
    make_fragments(root, how, seed, train=train, test=test, jobs=1)


def _settings(root: Path, run: str, data: Path, networks: Mapping[str, Mapping[str, object]], steps: int) -> Settings:
    """Small networks, two folds; all layers about the sheet in a window that is its own mirror image."""
    training: dict[str, object] = {
        "steps": steps, "train_batch_size": 3, "validation_patches": 8, "validate_every": steps, "checkpoint_every": steps,
        "learning_rate": 5e-3, "warmup_steps": 10, "ema_decay": 0.9, "precision": "fp32", "loader": {"workers": 0, "pin_memory": False},
    }  # fmt: skip
    augment = {"quarter_turns": False, "layer_dropout": 0, "cutout": 0, "depth_jitter": 0}
    how = {"patch_size": [24, 64, 64], "pool": "logsumexp", "training": training, "ink_share": 0.4, "augment": augment}
    stage2 = {
        "patch_size": [64, 64], "options": {"depths": [1] * 4, "hidden_sizes": [16, 16, 20, 32], "decoder_hidden_size": 32},
        "training": training | {"steps": 80, "validate_every": 80, "checkpoint_every": 80, "learning_rate": 1e-3},
        "window": {"overlap": 0.5, "tta": "none"},
    }  # fmt: skip
    settings = Settings.model_validate(
        {
            "run_dir": root / run,
            "data": {"root": data, "cache_dir": root / "cache" / run, "depth": [-12, 12], "bin_yx": BIN},
            "folds": {"by": "fragment", "count": 2},
            "stage1": {
                "members": {name: {**network, **how} for name, network in networks.items()},
                "window": {"overlap": 0.5, "tta": "none"},
            },
            "stage2": stage2, "ensemble": {"when_empty": "one_pixel", "min_area_um2": 20000},
        }
    )  # fmt: skip
    save_run_settings(settings)
    return settings


def _layers(folder: Path) -> list[Path]:
    return sorted((folder / "surface_volume").glob("*.tif"))


def _changed(source: Path, folder: Path, change: Callable[[NDArray[np.uint16]], NDArray[np.uint16]]) -> None:
    """A copy of a fragment, without its labels, whose layers (Z, Y, X) are changed."""
    if folder.exists():
        return
    (folder / "surface_volume").mkdir(parents=True)
    stack = change(np.stack([tifffile.imread(path) for path in _layers(source)]))
    for number, layer in enumerate(stack):
        tifffile.imwrite(folder / "surface_volume" / f"{number:02}.tif", layer)
    shutil.copy(source / "mask.png", folder / "mask.png")


def _cut(stack: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Its last layers, behind the sheet."""
    return stack[-CUT_LAYERS:]


def _blurred(stack: NDArray[np.uint16]) -> NDArray[np.uint16]:
    return np.rint(gaussian_filter(stack.astype(np.float32), BLUR_VOX)).astype(np.uint16)


def _reverse_layers(folder: Path) -> None:
    stack = [tifffile.imread(path) for path in _layers(folder)]
    for path, layer in zip(_layers(folder), stack[::-1], strict=True):
        tifffile.imwrite(path, layer)


def _wrong_labels(folder: Path) -> None:
    """Letters where none are: those of the sheet turned upside down and moved by half of it."""
    ink = read_mask_png(folder / "inklabels.png")
    _write_label(folder, np.roll(ink[::-1, ::-1], (ink.shape[0] // 2, ink.shape[1] // 3), (0, 1)))


def _label_fibres(folder: Path) -> None:
    """The brightest fifth of the sheet's middle layer, as wide as strokes."""
    layers = _layers(folder)
    bright = gaussian_filter(tifffile.imread(layers[len(layers) // 2]).astype(np.float32), 6)
    _write_label(folder, (bright >= np.quantile(bright, 0.8)) & read_mask_png(folder / "mask.png"))


def _write_label(folder: Path, ink: NDArray[np.bool_]) -> None:
    Image.fromarray(ink.astype(np.uint8) * 255).save(folder / "inklabels.png")


def _one_sheet(folder: Path) -> None:
    """Two copies of a scrap of the first sheet, so that both folds learn it, with labels that nothing in it tells: learned by heart."""
    if folder.name == "1":
        _wrong_labels(folder)
        for path in [*_layers(folder), folder / "mask.png", folder / "inklabels.png"]:
            scrap = imread(path)[-SCRAP_PX:, -SCRAP_PX:]
            imwrite(path, scrap)
        return
    shutil.rmtree(folder)
    if folder.name == "2":
        shutil.copytree(folder.parent / "1", folder)


if __name__ == "__main__":
    run_command(main)

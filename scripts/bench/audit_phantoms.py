"""Phantoms and small runs that the bench of the audit asks about: sheets that are changed, members that are bad in a known way."""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import tifffile
from imageio.v3 import imread, imwrite
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

from ensemble.ink.evidence import judged
from ensemble.ink.fit import calibrate
from ensemble.ink.predictors import flat_map
from scripts.bench.small_runs import training_of
from scroll.config.reader import save_run_settings
from scroll.config.schema import Settings
from scroll.data.sheets import training_sheets
from scroll.phantom.dataset import make_fragments
from scroll.phantom.settings import InkSettings, fragment_settings
from scroll.volumes.masks import read_mask_png
from stage1_3d.train import train_stage1
from stage2_2d.train import train_stage2

SIZE_ZYX, LETTER_PX, BIN, VOXEL_UM = (65, 576, 576), 110.0, 4, 7.91
LETTER_UM = LETTER_PX * VOXEL_UM
SCRAP_PX, CUT_LAYERS, BLUR_VOX = 384, 26, (2.0, 8.0, 8.0)
FILM_VOX = 2.5
NETWORKS: dict[str, dict[str, object]] = {
    "cnn3d": {"network": "cnn3d", "options": {"channels": [8, 16, 16], "stride_yx": 2}},
    "unet3d": {"network": "unet3d", "options": {"channels": [8, 16, 32], "strides": [[1, 2, 2], [2, 2, 2], [2, 2, 2]]}},
}


def draw(root: Path, preset: str, seed: int, train: int, test: int) -> None:
    """Fragments of a preset; what is there is kept."""
    how = fragment_settings(preset, SIZE_ZYX, letter_height_px=LETTER_PX)
    make_fragments(root, how, seed, train=train, test=test, jobs=1)


def draw_with_film(root: Path, seed: int, density: float) -> None:
    """One fragment to read whose ink is a plain film, `density` denser than papyrus: no relief, no filled valleys."""
    how = fragment_settings("zero", SIZE_ZYX, letter_height_px=LETTER_PX)
    ink = InkSettings(
        letter_height_px=LETTER_PX, stroke_px=how.ink.stroke_px, film_vox=FILM_VOX, relief_vox=0, extra_density=density, valley_fill=0
    )  # fmt: skip
    make_fragments(root, replace(how, ink=ink), seed, train=0, test=1, jobs=1)


def settings_of(root: Path, run: str, data: Path, networks: Mapping[str, Mapping[str, object]], steps: int) -> Settings:
    """Small networks, two folds; all layers about the sheet in a window that is its own mirror image."""
    training = training_of(steps, 10, ema_decay=0.9)
    augment = {"quarter_turns": False, "layer_dropout": 0, "cutout": 0, "depth_jitter": 0}
    how = {
        "patch_size": [24, 64, 64],
        "pool": "logsumexp",
        "training": training,
        "foreground_share": 0.4,
        "augment": augment,
    }
    stage2 = {
        "patch_size": [64, 64], "options": {"depths": [1] * 4, "hidden_sizes": [16, 16, 20, 32], "decoder_hidden_size": 32},
        "training": training_of(80, 10, ema_decay=0.9, learning_rate=1e-3),
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


def trained_run(root: Path, data: Path, name: str = "run", steps: int = 160) -> Settings:
    """A run of two small members and stage two, fitted; what is trained already is kept."""
    settings = settings_of(root, name, data, NETWORKS, steps)
    train_stage1(settings)
    train_stage2(settings)
    calibrate(settings)
    return settings


def fitted_alone(settings: Settings, name: str) -> float:
    """The threshold of the best out-of-fold F0.5, as a run with a second stage would have fitted it."""
    sheets = training_sheets(settings.data)
    maps = {one.id: [flat_map(settings.folder.oof(name, one.id), name, "")] for one in sheets}
    return judged(settings, sheets, maps, np.ones(1), LETTER_UM).threshold


def changed(source: Path, folder: Path, change: Callable[[NDArray[np.uint16]], NDArray[np.uint16]]) -> None:
    """A copy of a fragment, without its labels, whose layers (Z, Y, X) are changed."""
    if folder.exists():
        return
    (folder / "surface_volume").mkdir(parents=True)
    stack = change(stack_of(source))
    for number, layer in enumerate(stack):
        tifffile.imwrite(folder / "surface_volume" / f"{number:02}.tif", layer)
    shutil.copy(source / "mask.png", folder / "mask.png")


def stack_of(folder: Path) -> NDArray[np.uint16]:
    """The layers of a fragment, (Z, Y, X)."""
    return np.stack([tifffile.imread(path) for path in _layers(folder)])


def cut(stack: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Its last layers, behind the sheet."""
    return stack[-CUT_LAYERS:]


def blurred(stack: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """As a scanner of coarser voxels would show it."""
    return np.rint(gaussian_filter(stack.astype(np.float32), BLUR_VOX)).astype(np.uint16)


def reverse_layers(folder: Path) -> None:
    """Its layers in opposite order."""
    stack = [tifffile.imread(path) for path in _layers(folder)]
    for path, layer in zip(_layers(folder), stack[::-1], strict=True):
        tifffile.imwrite(path, layer)


def wrong_labels(folder: Path) -> None:
    """Letters where none are: those of the sheet turned upside down and moved by half of it."""
    ink = read_mask_png(folder / "inklabels.png")
    _write_label(folder, np.roll(ink[::-1, ::-1], (ink.shape[0] // 2, ink.shape[1] // 3), (0, 1)))


def label_fibres(folder: Path) -> None:
    """The brightest fifth of the sheet's middle layer, as wide as strokes."""
    layers = _layers(folder)
    bright = gaussian_filter(tifffile.imread(layers[len(layers) // 2]).astype(np.float32), 6)
    _write_label(folder, (bright >= np.quantile(bright, 0.8)) & read_mask_png(folder / "mask.png"))


def one_scrap(folder: Path) -> None:
    """Two copies of a scrap of the first sheet, so that both folds learn it, with labels that nothing in it tells: learned by heart."""
    if folder.name == "1":
        wrong_labels(folder)
        for path in [*_layers(folder), folder / "mask.png", folder / "inklabels.png"]:
            scrap = imread(path)[-SCRAP_PX:, -SCRAP_PX:]
            imwrite(path, scrap)
        return
    shutil.rmtree(folder)
    if folder.name == "2":
        shutil.copytree(folder.parent / "1", folder)


BAD: Mapping[str, Callable[[Path], None]] = {
    "reversed": reverse_layers, "random": wrong_labels, "paints": label_fibres, "memorised": one_scrap,
}  # fmt: skip


def _layers(folder: Path) -> list[Path]:
    return sorted((folder / "surface_volume").glob("*.tif"))


def _write_label(folder: Path, ink: NDArray[np.bool_]) -> None:
    Image.fromarray(ink.astype(np.uint8) * 255).save(folder / "inklabels.png")

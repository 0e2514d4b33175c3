"""A run on small phantom cubes that learns next to nothing in seconds, and whose stage two has sheets to look at all the same."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from scipy.ndimage import gaussian_filter

from ensemble.surface.fit import calibrate_cubes
from scroll.config.reader import merged, save_run_settings
from scroll.config.schema import Settings
from scroll.data.cubes import prepare, training_cubes
from scroll.runtime.manifest import begin, seal
from scroll.volumes import open_volume
from scroll.volumes.ome_zarr import open_array
from stage1_3d.cubes.trace import flatten_cubes
from stage1_3d.network import load_checked_settings
from stage1_3d.train import train_stage1
from stage2_2d.train import train_stage2
from tests.made_once import own_copy
from tests.steps import step

SIZE_VOX = 64
REPOSITORY = Path(__file__).resolve().parents[2]
QUICK = {"steps": 6, "train_batch_size": 2, "validation_batch_size": 2, "validation_patches": 2, "validate_every": 3}
QUICK |= {"checkpoint_every": 3, "warmup_steps": 1, "ema_decay": 0.5}


def tiny_config(root: Path, phantom: Path, min_prob: float = 0.55) -> Path:
    """The demo's configuration, so small that it learns next to nothing in seconds; the run will lie in <root>/run.

    Of maps that have learned nothing few ridges reach `min_prob`: to trace them all takes longer than the rest.
    """
    small = {"channels": [4, 8, 8], "strides": [[2, 2, 2], [2, 2, 2], [2, 2, 2]]}
    steps = {
        "thresholds": [0.3, 0.5],
        "smooth_sigma_vox": [],
        "strong": [0.6],
        "small_components_vox": [50],
        "thickness_vox": [],
    }
    steps |= {
        "even": [],
        "closing_radius_vox": [1],
        "fill_holes_radius_vox": [],
        "cavity_vox": [1000],
        "remains_vox": [],
    }
    changes = {
        "run_dir": str(root / "run"),
        "data": {"root": str(phantom), "cache_dir": str(phantom.parent / "cache")},
        "stage1": {"defaults": {"patch_size": [32, 32, 32], "training": QUICK}, "window": {"overlap": 0.25}},
        "tracing": {"least_area_vox": 400, "reach_vox": 4, "min_prob": min_prob},
        "stage2": {"patch_size": [32, 32], "training": QUICK},
        "ensemble": {"post_processing": steps | {"octant_small_components_vox": [20], "passes": 1}},
    }
    settings = merged(yaml.safe_load((REPOSITORY / "configs" / "demo_surface.yaml").read_text()), changes)
    member = settings["stage1"]["members"]["unet3d"] | {"options": small, "training": QUICK}
    settings["stage1"]["members"] = {"unet3d": member, "second": member | {"seed": 1}}
    path = root / "tiny.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


def draw_cubes(data: Path, test: int) -> None:
    """Small phantom cubes: six to train on from three scrolls, and some to test."""
    options = f"cubes --size {SIZE_VOX} --seed 5 --train 6 --test {test} --jobs 1 --out".split()
    done = step(REPOSITORY / "scripts" / "make_phantom.py", *options, data)
    assert done.returncode == 0, done.stderr


def make_surface_run(root: Path) -> None:
    """Cubes in <root>/data and a run on them, fitted, in <root>/run."""
    draw_cubes(root / "data", test=1)
    calibrate_cubes(trained(tiny_config(root, root / "data")))


def own_surface_run(factory: pytest.TempPathFactory) -> Settings:
    """The run, made once for all processes of the tests; this process may change its own."""
    root = own_copy(factory, "surface-run", make_surface_run)
    settings = load_checked_settings(tiny_config(root, root / "data"), [])
    save_run_settings(settings)  # those copied name the folder it was made in
    return settings


def trained(config: Path) -> Settings:
    """After both stages; in the place of stage one's out-of-fold guesses stand what good members would have said."""
    loaded = load_checked_settings(config, [])
    train_stage1(loaded)
    for cube in training_cubes(loaded.data):
        label = open_volume(str(cube.label_path))[...]
        for n, name in enumerate(loaded.stage1.members):
            blurred = gaussian_filter((label == 1).astype(np.float32), 1.0 + 0.3 * n)
            path = loaded.run_dir / "stage1" / name / "oof" / cube.id / "prob.zarr"
            begin(path)
            open_array(path, mode="r+")[:] = np.clip(1.6 * blurred, 0, 1)
            seal(path)  # or it would be damage
        (loaded.folder.sheets / cube.id / "receipt.json").unlink()
    folders = {name: loaded.run_dir / "stage1" / name / "oof" for name in loaded.stage1.members}
    flatten_cubes(loaded, prepare(training_cubes(loaded.data)), folders, loaded.folder.sheets)
    train_stage2(loaded)
    return loaded

"""The surface demo's configuration, so small that it learns next to nothing in seconds."""

from pathlib import Path
from typing import Any

import yaml

from scroll.config_file import merged

REPOSITORY = Path(__file__).resolve().parents[2]
QUICK = {"steps": 6, "train_batch_size": 2, "validation_batch_size": 2, "validation_patches": 2, "validate_every": 3}
QUICK |= {"checkpoint_every": 3, "warmup_steps": 1, "ema_decay": 0.5}


def tiny_surface(run_dir: Path, data: Path, cache: Path) -> dict[str, Any]:
    """For cubes of 64^3: two U-Nets, `unet3d` and `second`, a small chain, a small stage two."""
    small = {"channels": [4, 8, 8], "strides": [[2, 2, 2], [2, 2, 2], [2, 2, 2]]}
    chain = {"thresholds": [0.3, 0.5], "smooth_sigma_vox": [], "strong": [0.6], "dust_vox": [50], "thickness_vox": []}
    chain |= {"even": [], "closing_radius_vox": [1], "plug_radius_vox": [], "cavity_vox": [1000], "remains_vox": []}
    changes = {
        "run_dir": str(run_dir),
        "data": {"root": str(data), "cache_dir": str(cache)},
        "stage1": {"defaults": {"patch_size": [32, 32, 32], "training": QUICK}, "window": {"overlap": 0.25}},
        "tracing": {"least_area_vox": 400, "reach_vox": 4},
        "stage2": {"patch_size": [32, 32], "training": QUICK},
        "ensemble": {"chain": chain | {"octant_dust_vox": [20], "passes": 1}},
    }
    settings = merged(yaml.safe_load((REPOSITORY / "configs" / "demo_surface.yaml").read_text()), changes)
    member = settings["stage1"]["members"]["unet3d"] | {"options": small, "training": QUICK}
    settings["stage1"]["members"] = {"unet3d": member, "second": member | {"seed": 1}}
    return settings

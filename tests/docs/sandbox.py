"""A clean clone to follow the pages in: the same commands and the same names of files, but tiny phantoms and tiny networks.

Only four things differ from what a reader has: the shipped configurations that the pages train with are overwritten by tiny ones
of the same name, the demo draws a smaller phantom, where a page names steps of training there are fewer, and `python` has imported
the libraries before.
"""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from documentation import CONFIG_FILE, REPOSITORY, blocks, commands_of, reason_not_to_run

from ensemble.commands.demo import PHANTOM
from scroll.config.reader import load_settings, merged
from scroll.data.cubes import find_cubes
from scroll.data.folds import make_folds
from scroll.phantom.dataset import make_cubes, make_fragments
from scroll.phantom.settings import cube_settings, fragment_settings
from scroll.volumes import open_volume
from scroll.volumes.ome_zarr import create_ome_zarr
from tests.cubes.surface_run import tiny_config
from tests.external.nnunet_folder import write_folder
from tests.pipeline.pipeline_run import tiny_scroll_settings, tiny_settings
from tests.steps import LIBRARIES, quick_python

STEPS = 12
SEED, SIZE_ZYX, LETTERS_PX, CUBE_VOX = 3, (24, 256, 256), 90.0, 64
DRAWN = {  # what the demo draws, and what it draws here
    PHANTOM[
        "fragments"
    ]: f"fragments --seed {SEED} --size 24 256 256 --letter-height-px {LETTERS_PX} --train 3 --test 1",
    PHANTOM["segments"]: "scrolls --seed 7 --size 112 --letter-height-px 56 --train 2 --test 1",
}


def clone_into(root: Path) -> None:
    """Every file that git knows or would know, and an environment in which nothing has to be installed."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    for name in filter(None, names.split("\0")):
        if (REPOSITORY / name).exists():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / name, root / name)
            for compiled in (REPOSITORY / name).parent.glob(
                f"__pycache__/{Path(name).stem}.*"
            ):  # by the interpreter and by numba
                (root / name).parent.joinpath("__pycache__").mkdir(exist_ok=True)
                shutil.copy2(compiled, (root / name).parent / "__pycache__")
    (root / ".venv" / "bin").mkdir(parents=True)
    for entry in [*Path(sys.prefix).iterdir(), *Path(sys.prefix, "bin").iterdir()]:
        if not entry.name.startswith(("installed", "bin", "python")):
            (root / ".venv" / entry.relative_to(sys.prefix)).symlink_to(entry)
    for name in ("python", "python3"):
        quick_python(root / ".venv" / "bin" / name, LIBRARIES)  # the clone has its own modules
    for stamp in ("installed", "installed-dev"):  # the later one second: make looks at the times
        (root / ".venv" / stamp).touch()


def shrink(root: Path) -> None:
    """Overwrite the configurations that are trained with, let the demo draw less, and lay out the data."""
    of_kind = {"demo": tiny_scroll_settings(root, root), "demo_ink": tiny_settings(root, root)}
    for name, like in (("demo", "demo"), ("demo_ink", "demo_ink"), ("ink", "demo_ink")):
        whole = yaml.safe_load((REPOSITORY / "configs" / f"{like}.yaml").read_text())
        tiny = {key: value for key, value in of_kind[like].items() if key != "extends"}
        tiny["ensemble"] = {"min_area_um2": 0, "when_empty": "one_pixel"}  # it learns next to nothing
        there = {"run_dir": f"runs/{name}", "data": {"root": f"data/{name}", "cache_dir": "data/cache"}}
        content = merged(merged(whole, tiny), there)
        (root / "configs" / f"{name}.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    settings = fragment_settings("default", SIZE_ZYX, False, LETTERS_PX)
    for name in ("demo_ink", "ink"):
        make_fragments(root / "data" / name, settings, SEED, train=3, test=1, jobs=1)
    surface = yaml.safe_load(tiny_config(root, root / "data" / "surface", min_prob=0.3).read_text())
    (root / "tiny.yaml").unlink()
    surface |= {"run_dir": "runs/surface"}
    (root / "configs" / "surface.yaml").write_text(yaml.safe_dump(surface), encoding="utf-8")
    make_cubes(root / "data" / "surface", cube_settings("default", CUBE_VOX), seed=5, train=6, test=1, jobs=1)
    download(root / "downloads", root / "data" / "surface" / "train.csv")
    trained_by_hand(root)
    cube = open_volume(next((root / "data" / "surface" / "test_images").iterdir()))[
        ...
    ]  # a whole scroll, as scrolls go here
    create_ome_zarr(root / "scroll.zarr", cube.shape, cube.dtype, (32, 32, 32), 7.91)[...] = cube
    entry_point = root / "ensemble" / "commands" / "demo.py"
    text = entry_point.read_text(encoding="utf-8")
    for drawn, drawn_here in DRAWN.items():
        assert drawn in text
        text = text.replace(drawn, drawn_here)
    entry_point.write_text(text, encoding="utf-8")


def download(folder: Path, table: Path) -> None:
    """What a reader would have downloaded: an nnU-Net of random weights whose two folds each held some scrolls out."""
    with table.open(encoding="utf-8") as file:
        scrolls = {row["id"]: row["scroll_id"] for row in csv.DictReader(file)}
    halves = [sorted({*scrolls.values()})[::2], sorted({*scrolls.values()})[1::2]]
    splits = [
        {
            side: [one for one, scroll in scrolls.items() if (scroll in half) == (side == "val")]
            for side in ("train", "val")
        }
        for half in halves
    ]
    write_folder(folder / "nnUNetTrainer__nnUNetPlans__3d_fullres", (0, 1), doubt=6.0)
    (folder / "splits_final.json").write_text(json.dumps(splits), encoding="utf-8")


def trained_by_hand(root: Path) -> None:
    """What a reader's nnU-Net would have left, had it been trained on the exported set: a prediction of every cube."""
    settings = load_settings(root / "configs" / "surface.yaml")
    folds = make_folds(find_cubes(root / "data" / "surface", settings.data), settings.folds)
    trained = root / "nnUNet_results" / "Dataset501_Sheets" / "nnUNetTrainer__nnUNetPlans__3d_fullres"
    of_folds = [(trained / f"fold_{fold.number}" / "validation", [*fold.held_out]) for fold in folds]
    new = [path.stem for path in (root / "data" / "surface" / "test_images").iterdir()]
    for folder, items in [*of_folds, (root / "predicted", new)]:
        folder.mkdir(parents=True)
        for item in items:
            both = np.full((2, *(CUBE_VOX,) * 3), 0.5, np.float16)
            np.savez_compressed(folder / f"{item}.npz", probabilities=both)


def fresh_clone(factory: pytest.TempPathFactory) -> Path:
    root = factory.mktemp("clone")
    clone_into(root)
    shrink(root)
    return root


def follow(page: Path, root: Path) -> list[tuple[str, str]]:
    """Do what the page says from top to bottom: write its configurations, run its commands; each command, as the page has it,
    with what it said.
    """
    message = []
    for block in blocks(page):
        to_write = CONFIG_FILE.match(block.text)
        if block.kind == "yaml" and to_write:
            (root / to_write[1]).write_text(with_few_steps(block.text), encoding="utf-8")
        if block.kind == "sh":
            lines = [line for line in commands_of(block) if not reason_not_to_run(line)]
            message += [(line, run(with_few_steps(line), root)) for line in lines]
    return message


def with_few_steps(text: str) -> str:
    """Training for `STEPS` steps wherever the text names a number of them."""
    return re.sub(r"\b(steps(?:=|: ))\d+", rf"\g<1>{STEPS}", text)


def run(command: str, root: Path) -> str:
    """One command as a reader would type it in the clone, `.venv` activated; all that it printed."""
    path = os.pathsep.join([str(root / ".venv" / "bin"), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "OMP_NUM_THREADS": "1", "PYTHONPATH": "", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        ["bash", "-c", command], cwd=root, env=environment,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{command}\n{done.stdout}"
    return done.stdout

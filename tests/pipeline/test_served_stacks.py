"""Every command takes stacks from a server, as it takes folders of layers: the same bits, and no chunk fetched twice."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from pipeline_run import PHANTOM, REPOSITORY, tiny_settings

from ensemble import calibrate as calibrate_command
from ensemble import predict as predict_command
from ensemble.commands import doctor, placebo, preflight
from ensemble.commands import replay as replay_command
from scroll.runtime.manifest import file_sum
from scroll.volumes import ome_zarr, open_volume
from scroll.volumes.chunk_cache import FETCHERS
from scroll.volumes.opened_level import open_level
from stage1_3d import train as stage1_command
from stage2_2d import train as stage2_command
from tests.made_once import made_once
from tests.steps import step
from tests.volumes.web_server import WebServer


def phantom(folder: Path) -> None:
    arguments = ("fragments", "--out", folder / "data", *PHANTOM, "--train", "2", "--test", "1")
    done = step(REPOSITORY / "scripts" / "make_phantom.py", *arguments)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> Path:
    """Two training fragments and one to predict, as TIFF."""
    return made_once(tmp_path_factory, "small-phantom", phantom) / "data"


@pytest.fixture
def served(plain, tmp_path, monkeypatch):
    """The same with their layers on a server: (root of the data, server)."""
    for name in os.environ:
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    bucket, root = tmp_path / "bucket", tmp_path / "served"
    with WebServer(bucket) as server:
        for folder in [*plain.glob("train/*"), *plain.glob("test/*")]:
            there = root / folder.relative_to(plain)
            there.mkdir(parents=True)
            name = f"{folder.parent.name}-{folder.name}.zarr"
            voxels = open_volume(folder)[...]
            ome_zarr.create_ome_zarr(bucket / name, voxels.shape, voxels.dtype, (32, 32, 32), None)[...] = voxels
            for picture in folder.glob("*.png"):
                shutil.copy(picture, there)
            (there / "surface_volume_source.txt").write_text(f"{server.address}/{name}")
        open_level.cache_clear()
        yield root, server
        server.shutdown()


def config_of(folder: Path, root: Path, workers: int = 0, steps: int = 4, **data: object) -> Path:
    """The tiny run, of fewer steps still."""
    folder.mkdir(exist_ok=True)
    content = tiny_settings(folder, folder / "run")
    content["data"] |= {"root": str(root)} | data
    few = {"steps": steps, "validate_every": 2, "checkpoint_every": 2, "loader": {"workers": workers}}
    for member in content["stage1"]["members"].values():
        member["training"] = member["training"] | few
    content["stage2"]["training"] |= few | {"loader": {"workers": 0}}
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def weights(folder: Path) -> dict[str, tuple[int, int]]:
    found = sorted((folder / "run").rglob("weights.safetensors"))
    assert found
    return {str(path.relative_to(folder)): tuple(file_sum(path)) for path in found}


def through(call, config: Path, *mains) -> None:
    for main in mains:
        code, out, err = call(main.main, config)
        assert code == 0, out + err


@pytest.mark.slow
def test_a_run_on_served_stacks_ends_in_the_bits_of_one_on_layers(plain, served, call, tmp_path):
    root, server = served
    near, far = tmp_path / "near", tmp_path / "far"
    through(call, config_of(near, plain), stage1_command, stage2_command, calibrate_command)
    config = config_of(far, root, workers=2)
    through(call, config, stage1_command, stage2_command, calibrate_command)
    assert weights(near) == weights(far)
    assert set(server.chunks_asked().values()) == {1}

    held_out = next((root / "test").iterdir())
    address = (held_out / "surface_volume_source.txt").read_text()
    for source, output in ((root / "test", "named"), (address, "address"), (plain / "test", "layers")):
        code, out, err = call(predict_command.main, config, "--input", source, "--output", tmp_path / output)
        assert code == 0, out + err
    maps = [open_volume(next((tmp_path / name).rglob("ink.zarr")))[...] for name in ("named", "address", "layers")]
    np.testing.assert_array_equal(maps[0], maps[2])
    assert maps[1].shape == maps[0].shape  # no mask beside an address
    assert set(server.chunks_asked().values()) == {1}

    for main, *more in (
        (doctor.main,),
        (preflight.main, "--input", address),
        (preflight.main, "--input", root / "test"),
    ):
        code, out, err = call(main, config, *more)
        assert code in (0, 2) and "Traceback" not in err
        assert "problem: " not in out or "mask" not in out
    arguments = ("--input", root / "test", "--output", tmp_path / "named", "--copies", "1")
    code, out, err = call(placebo.main, config, *arguments)
    assert code == 0, out + err
    assert set(server.chunks_asked().values()) == {1}


@pytest.mark.slow
@pytest.mark.parametrize("share", [1.0, 0.1])
def test_a_run_killed_while_it_fetches_goes_on_and_fetches_nothing_twice(plain, served, tmp_path, share):
    root, server = served
    stored = sum(path.stat().st_size for path in server.folder.rglob("*") if path.is_file())
    near, far = tmp_path / "near", tmp_path / "far"
    done = step("-m", "stage1_3d.train", config_of(near, plain))
    assert done.returncode == 0, done.stderr
    config = config_of(far, root, workers=1, cache_gb=50.0 if share == 1 else stored * share / 2**30)
    command = [sys.executable, "-m", "stage1_3d.train", str(config)]
    for _ in range(3):
        before = server.chunks_asked().total()
        process = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None and server.chunks_asked().total() < before + 3:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
    done = step("-m", "stage1_3d.train", config)
    assert done.returncode == 0, done.stderr
    assert weights(near) == weights(far)
    kept = sum(path.stat().st_size for path in (far / "cache" / "chunks").glob("??/*"))
    if share == 1:  # what was on its way at a kill may be asked for again, and nothing else
        assert server.chunks_asked().total() - len(server.chunks_asked()) <= 3 * 2 * FETCHERS
    else:
        assert kept <= stored * share


def test_only_what_is_about_the_labels_is_fetched_to_train_on(served, call, tmp_path):
    root, server = served
    for folder in (root / "train").iterdir():
        known = np.zeros((256, 256), np.uint8)
        known[:24, :24] = 255
        Image.fromarray(known).save(folder / "supervision_mask.png")
    config = config_of(tmp_path / "run", root)
    content = yaml.safe_load(config.read_text())
    content["stage1"]["defaults"]["patch_size"] = [8, 16, 16]  # 64 pixels of the scan
    content["stage1"]["flatten"]["ct"] = "mean"
    config.write_text(yaml.safe_dump(content))
    through(call, config, stage1_command, stage2_command, calibrate_command)
    assert set(server.chunks_asked().values()) == {1}
    trained = [path.split("/")[-2:] for path in server.chunks_asked() if path.startswith("/train")]
    # a patch of stage two about pixel 23 ends at 23 + 128, and the last window of stage one that touches that at 192
    assert {max(map(int, pair)) for pair in trained} == {*range(6)}
    code, out, err = call(replay_command.main, tmp_path / "run" / "run" / "stage1" / "unet3d" / "oof" / "1")
    assert code == 0, out + err

"""The recto surface network as a member: of a run on cubes and from its bundle, of fragments, and of a whole scroll."""

import time
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from ensemble.kaggle.on_kaggle import Job
from ensemble.kaggle.run_files import copy_run
from ensemble.surface.predictors import POST_PROCESSED
from ensemble.whole_scroll.plan import ScrollRequest, make_plan, open_scroll, recipe_of
from scroll.config.reader import load_settings, save_run_settings
from scroll.inference.prediction_store import open_map
from scroll.runtime.files import read_json, write_json
from scroll.volumes import open_volume
from scroll.volumes.ome_zarr import create_ome_zarr
from tests.cubes.surface_run import own_surface_run
from tests.external.recto_checkpoint import made
from tests.pipeline.pipeline_run import own_ink_run
from tests.steps import step

REPOSITORY = Path(__file__).resolve().parents[2]
WINDOW = (32, 48, 48)
pytestmark = pytest.mark.slow


def call(*words: object) -> str:
    done = step(*words, cwd=REPOSITORY)
    assert done.returncode == 0, f"{words}: {done.stdout}\n{done.stderr}"
    return done.stdout


def with_recto(config: Path) -> Path:
    """A member `recto` in a configuration, imported by the command beside it; returns its folder."""
    folder = config.parent / "members" / "recto"
    settings = {"targets": {"surface": {"out_channels": 2}}, "patch_size": list(WINDOW)}
    torch.save({"model": made().saved("module."), "model_config": settings}, config.parent / "recto.pth")
    import_member = REPOSITORY / "scripts" / "import_member.py"
    call(import_member, config.parent / "recto.pth", "--kind", "resenc_unet", "--name", "recto", "--output", folder)
    content = yaml.safe_load(config.read_text())
    content["stage1"]["members"]["recto"] = {"member": str(folder)}  # it says not what it has seen
    config.write_text(yaml.safe_dump(content))
    return folder


def test_cubes_are_submitted_with_it_and_from_the_bundle_alike(tmp_path_factory, tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    run_dir = own_surface_run(tmp_path_factory).run_dir
    config = run_dir.parent / "tiny.yaml"
    with_recto(config)
    call("-m", "ensemble.calibrate", config)
    settings = load_settings(config)
    save_run_settings(settings)
    fit = read_json(settings.folder.fit)
    fit["weights"]["weights"] = {"unet3d": 0.5, "second": 0.0, "recto": 0.5}
    write_json(settings.folder.fit, fit | {"route": POST_PROCESSED})
    source, zipped = settings.data.root, tmp_path / "home.zip"
    call("-m", "ensemble.predict", config, "--input", source, "--output", tmp_path / "home", "--submission", zipped)
    stored = next((tmp_path / "home" / "recto").glob("*/prob.zarr"))
    assert np.asarray(open_map(stored, "")[:], np.float32).std() > 0.02
    copy_run(settings, tmp_path / "bundle" / "run")
    (run_dir.parent / "members").rename(run_dir.parent / "hidden")
    job = Job(tmp_path / "bundle" / "run", source, tmp_path / "scratch", tmp_path / "job.zip", time.monotonic() + 3600)
    job.look()
    job.predict()
    assert (tmp_path / "job.zip").read_bytes() == zipped.read_bytes()


def test_fragments_shallower_than_its_window_are_predicted_and_flattened(tmp_path_factory, tmp_path):
    run = own_ink_run(tmp_path_factory)
    with_recto(run.config)
    call("-m", "ensemble.calibrate", run.config)
    call(REPOSITORY / "ensemble" / "predict.py", run.config, "--input", run.data / "test", "--output", tmp_path / "out")
    flat = np.asarray(open_map(tmp_path / "out" / "a" / "recto" / "flat.zarr", "")[:], np.float32)
    assert flat.std() > 0.01 and flat.min() >= 0 and flat.max() <= 1


def test_a_shard_of_a_scroll_is_what_the_network_says_of_it(tmp_path_factory, tmp_path):
    run_dir = own_surface_run(tmp_path_factory).run_dir
    config = run_dir.parent / "tiny.yaml"
    with_recto(config)
    settings = load_settings(config)
    fit = read_json(settings.folder.fit)
    fit["weights"]["weights"] = {"unet3d": 0.0, "second": 0.0, "recto": 1.0}
    write_json(settings.folder.fit, fit)
    ct = np.random.default_rng(0).normal(120, 30, WINDOW).clip(0, 255).astype(np.uint8)
    create_ome_zarr(tmp_path / "scroll.zarr", ct.shape, "uint8", (16,) * 3, settings.data.voxel_um)[:] = ct
    requested = ScrollRequest(str(tmp_path / "scroll.zarr"), shard_vox=64, chunk_vox=16)
    plan = make_plan(settings, requested)
    recipe = recipe_of(settings, plan)
    assert list(plan.windows) == ["recto"] and recipe.seen_by("recto").how == "zscore"
    seen = recipe.seen_by("recto").scaled(np.asarray(open_volume(requested.source)[...]))
    with torch.inference_mode():
        expected = made()(torch.from_numpy(seen)[None, None]).softmax(1)[0, 1].numpy()
    found = recipe()((0, 0, 0), WINDOW)[0]
    assert open_scroll(requested, settings).shape == WINDOW
    np.testing.assert_allclose(found, expected, atol=1e-5)

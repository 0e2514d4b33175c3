"""A whole scroll by a run's members: the same as the run says of a cube, through the command, resumed, refused and told."""

import json
import os
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from ensemble.commands import predict_scroll
from ensemble.whole_scroll.members import member_weights
from ensemble.whole_scroll.plan import (
    ScrollRequest,
    coarse_level,
    key_of_request,
    make_plan,
    open_scroll,
    recipe_of,
    requested_shards,
)
from ensemble.whole_scroll.run import EnsembleRecipe
from scroll.config.schema import Settings
from scroll.data.cubes import find_cubes
from scroll.errors import InputError
from scroll.phantom.cube import draw_scroll, scan_cube
from scroll.phantom.settings import cube_settings
from scroll.phantom.write import write_cube
from scroll.runtime.files import write_sealed
from scroll.runtime.receipt import file_hash
from scroll.shards.plan import read_plan
from scroll.shards.work import as_uint8
from scroll.surfaces.surface import Surface
from scroll.surfaces.tifxyz import write_tifxyz
from scroll.training.checkpoint import save_weights
from scroll.volumes import open_volume
from scroll.volumes.ome_zarr import add_empty_levels, create_ome_zarr, open_array, write_pyramid
from stage1_3d.cubes.predict import prediction_of
from stage1_3d.network import about_network, build_network, load_checked_settings
from stage1_3d.predict import load_forward
from tests.steps import step

REPOSITORY = Path(__file__).resolve().parents[2]
SIZE, SHARD, CHUNK = 96, 32, 16
WEIGHTS = {"a": 0.75, "b": 0.25, "idle": 0.0}
ENVIRONMENT = os.environ | {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def ct() -> np.ndarray:
    settings = cube_settings("default", SIZE)
    volume = scan_cube(draw_scroll(settings, (4, 2)), settings, (4, 2)).volume
    volume[:, :, 64:] = 0  # outside the scan
    return volume


@pytest.fixture(scope="module")
def scroll(ct: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scroll") / "scroll.zarr"
    create_ome_zarr(path, ct.shape, "uint8", (CHUNK,) * 3, 7.91)[:] = ct
    write_pyramid(path, 2)
    return path


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on cubes with two folds of three members of random weights, and the weights of a fit."""
    root = tmp_path_factory.mktemp("run")
    member = {"network": "cnn3d", "options": {"channels": [4, 4], "dilations": [1, 1]}, "supervision": "band"}
    member["augment"] = {"across_sheets": True, "layer_dropout": 0, "depth_jitter": 0}
    sizes = {"a": [16, 32, 32], "b": [32, 32, 32], "idle": [16, 16, 16]}
    settings = {
        "run_dir": str(root / "run"),
        "data": {"kind": "cubes", "root": str(root), "cache_dir": str(root / "cache")},
        "folds": {"by": "scroll", "count": 2},
        "stage1": {
            "members": {name: member | {"patch_size": size} for name, size in sizes.items()},
            "window": {"overlap": 0.25, "tta": "flips", "batch_size": 2},
        },
    }
    (root / "run.yaml").write_text(yaml.safe_dump(settings))
    loaded = load_checked_settings(root / "run.yaml", [])
    for number, (name, one) in enumerate(loaded.stage1.members.items()):
        for fold in range(2):
            torch.manual_seed(10 * number + fold)
            folder = loaded.run_dir / "stage1" / name / f"fold{fold}"
            save_weights(build_network(one), folder / "weights.safetensors", about_network(one))
            write_sealed(folder / "receipt.json", {"key": "k", "weights": file_hash(folder / "weights.safetensors")})
    whole = {
        "made_from": "k",
        "rows": {},
        "route": "ensemble",
        "intervals": {},
        "gains": {},
        "resampled": {"cubes": 0, "scrolls": 0},
    }
    write_sealed(loaded.run_dir / "ensemble" / "fit.json", whole | {"weights": {"weights": WEIGHTS}})
    return root / "run.yaml"


@pytest.fixture(scope="module")
def settings(config: Path) -> Settings:
    return load_checked_settings(config, [])


def requested(scroll: Path, **changes: object) -> ScrollRequest:
    return ScrollRequest(str(scroll), **({"shard_vox": SHARD, "chunk_vox": CHUNK} | changes))  # type: ignore[arg-type]


def boxes(shape: tuple[int, ...]) -> list[tuple[tuple[int, int, int], tuple[int, int, int]]]:
    corners = [tuple(int(n) * SHARD for n in index) for index in np.ndindex(*(-(-n // SHARD) for n in shape))]
    return [(corner, tuple(min(SHARD, n - c) for c, n in zip(corner, shape, strict=True))) for corner in corners]  # type: ignore[misc]


def test_members_without_a_weight_take_no_part(settings):
    assert member_weights(settings) == {"a": 0.75, "b": 0.25}


@pytest.mark.parametrize("depth", [SIZE, 20])  # a scan of 20 layers is smaller than a window of member b
def test_a_scroll_is_predicted_as_the_same_voxels_are_as_a_cube(settings, ct, tmp_path, depth):
    cut = ct[:depth, :, :80]
    write_cube(tmp_path / "test_images" / "1.tif", cut)
    (tmp_path / "test.csv").write_text("id,scroll_id\n1,1\n")
    (cube,) = find_cubes(tmp_path, settings.data, part="test")
    expected = np.zeros(cut.shape)
    for name, weight in member_weights(settings).items():
        forward = load_forward(settings, name, [0, 1])
        expected += weight * prediction_of(settings, name, cube, lambda f=forward: f).rows(0, cube.rows)[0]
    path = tmp_path / "scroll.npy"
    np.save(path, cut)
    predictor = EnsembleRecipe(settings, str(path), 0, cube.grey_scale, member_weights(settings))()
    for corner, size in boxes(cut.shape):
        found = predictor(corner, size)
        place = tuple(slice(c, c + s) for c, s in zip(corner, size, strict=True))
        if found is None:
            assert not cut[place].any()
        else:
            assert found.shape == (1, *size)
            np.testing.assert_allclose(found[0], expected[place], atol=1e-5)


def test_shards_outside_the_scan_are_not_planned_and_the_reads_are_counted_with_their_halos(settings, scroll, ct):
    plan = make_plan(settings, requested(scroll))
    assert {index[2] for index in plan.indices} == {0, 1} and len(plan.indices) == 3 * 3 * 2
    # windows of 32 begin at 0, 24, 48 and 64: about 0-32 lie 0-56, about 32-64 lie 24-80, about 64-96 lie 48-96
    assert plan.bytes_read == (56 + 56 + 48) * (56 + 56 + 48) * (56 + 56)
    # two of them about each; of 16 along z, from 0, 12, ..., 72 and 80, there are three, four and three
    assert plan.windows == {"a": (3 + 4 + 3) * (3 * 2) * (2 * 2), "b": (3 * 2) * (3 * 2) * (2 * 2)}
    assert plan.hours is None
    assert make_plan(settings, requested(scroll), is_measured=True).hours > 0


def test_where_the_pyramid_ends_too_soon_its_coarsest_level_is_looked_through(settings, tmp_path):
    path = tmp_path / "10_tb.zarr"  # no chunk of it is stored
    create_ome_zarr(path, (22_000,) * 3, "uint8", (128,) * 3, 7.91)
    add_empty_levels(path, 6)
    volume = open_scroll(requested(path), settings)
    coarse = coarse_level(requested(path), volume, 64)  # level 6 would be asked for; there are levels 0 to 5
    assert coarse is not None and coarse.shape == (688,) * 3


def test_a_volume_without_a_pyramid_has_no_coarse_level_which_is_said(settings, ct, tmp_path, capsys):
    np.save(tmp_path / "scroll.npy", ct)
    request = requested(tmp_path / "scroll.npy")
    volume = open_scroll(request, settings)
    assert coarse_level(request, volume, 64) is None
    assert len(list(requested_shards(settings, request, volume, []))) > 1
    assert "every shard is read" in capsys.readouterr().out


def test_a_plan_about_a_surface_holds_its_shards_alone(settings, scroll, tmp_path):
    y, x = np.meshgrid(np.arange(4, 60, 4), np.arange(4, 60, 4), indexing="ij")
    points = np.stack([np.full(y.shape, 48.0), y, x], axis=-1).astype(np.float32)
    normals = np.zeros_like(points)
    normals[..., 0] = 1
    surface = Surface(points, normals, np.ones(y.shape, bool), (4.0, 4.0), tmp_path / "flat")
    write_tifxyz(surface, tmp_path / "flat", "flat")
    plan = make_plan(settings, requested(scroll, surfaces=(tmp_path / "flat",)))
    assert {index[0] for index in plan.indices} == {1} and {index[1] for index in plan.indices} <= {0, 1}
    whole = make_plan(settings, requested(scroll))
    assert plan.key != whole.key and set(plan.indices) < set(whole.indices)


def test_a_mask_of_larger_voxels_leaves_out_what_it_says(settings, scroll, tmp_path):
    mask = np.zeros((12, 12, 12), np.uint8)
    mask[5, 1, 3] = 1  # voxels 40-48, 8-16, 24-32
    np.save(tmp_path / "mask.npy", mask)
    assert make_plan(settings, requested(scroll, mask=tmp_path / "mask.npy")).indices == ((1, 0, 0),)
    np.save(tmp_path / "none.npy", np.zeros((12, 12, 12), np.uint8))
    with pytest.raises(InputError, match="no shard is left to predict"):
        make_plan(settings, requested(scroll, mask=tmp_path / "none.npy"))


def test_a_mask_on_a_server_is_distinguished_from_another_one_there(settings, scroll, tmp_path):
    pytest.importorskip("obstore")
    for name, edge in (("one", 12), ("other", 24)):
        create_ome_zarr(tmp_path / f"{name}.zarr", (edge,) * 3, "uint8", (12,) * 3, None)[:] = 1
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        keys = [
            key_of_request(settings, requested(scroll, mask=Path(f"{address}/{name}.zarr")))
            for name in ("one", "other")
        ]
        server.shutdown()
    assert keys[0] != keys[1]


def test_what_decides_the_result_is_in_the_key_and_nothing_else(settings, scroll):
    key = key_of_request(settings, requested(scroll))
    assert key == key_of_request(settings, requested(scroll))
    window = settings.stage1.window.model_copy(update={"tta": "none"})
    changed = settings.model_copy(update={"stage1": settings.stage1.model_copy(update={"window": window})})
    assert (
        key != key_of_request(changed, requested(scroll)) != key_of_request(settings, requested(scroll, shard_vox=48))
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"level": -1}, "expected 0, the finest level"),
        ({"grey_scale": (100.0, 0.0)}, "a spread above 0"),
        ({"grey_scale": (float("nan"), 3.0)}, "a spread above 0"),
        ({"shard_vox": 24}, "a shard of whole chunks"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_read(settings, changes, message):
    with pytest.raises(InputError, match=message):
        make_plan(settings, requested(Path("nowhere.zarr"), **changes))


def test_a_run_on_flattened_stacks_is_refused(settings, scroll):
    data = settings.data.model_copy(update={"kind": "fragments"})
    with pytest.raises(InputError, match="flattened stacks, not volumes"):
        make_plan(settings.model_copy(update={"data": data}), requested(scroll))


def call(script: str, *arguments: object) -> subprocess.CompletedProcess:
    return step(REPOSITORY / "scripts" / script, *arguments)


CUT = ("--shard", SHARD, "--chunk", CHUNK, "--levels", 2)


@pytest.mark.slow
def test_the_commands_plan_predict_resume_and_tell(config, settings, scroll, tmp_path):
    out = tmp_path / "prob.zarr"
    message = call("predict_scroll.py", config, "--input", scroll, "--output", out, *CUT, "--plan-only")
    assert message.returncode == 0, message.stderr
    assert "18 of 27, 32 voxels" in message.stdout and "hours of one such device" in message.stdout and not out.exists()
    planned = read_plan(tmp_path / "prob.zarr.plan.json")
    first = call("predict_scroll.py", config, "--input", scroll, "--output", out, *CUT)
    assert first.returncode == 0, first.stderr
    assert first.stdout.startswith("complete\nlevel 0: 18 of 18 shards (100%)")
    plan = read_plan(tmp_path / "prob.zarr.ledger" / "plan.json")
    assert plan.key == planned.key and plan.indices == planned.indices
    predictor, found = recipe_of(settings, plan)(), open_volume(out)
    assert found.voxel_um == pytest.approx(7.91) and open_array(out, 1).shape == (48, 48, 48)
    for shard in plan.shards[::5]:
        place = tuple(slice(c, c + s) for c, s in zip(shard.corner, shard.size, strict=True))
        np.testing.assert_array_equal(found[place], as_uint8(predictor(shard.corner, shard.size)[0]))
    assert not found[:, :, 64:].any()
    state = call("scroll_status.py", out)
    assert state.returncode == 0 and "level 1: 4 of 4 shards" in state.stdout and ": 18 shards" in state.stdout
    other = call(
        "predict_scroll.py", config, "--input", scroll, "--output", out, *CUT, "--set", "stage1.window.tta=none"
    )
    assert other.returncode == 2 and "was begun with another volume, other networks or settings" in other.stderr


@pytest.mark.slow
def test_a_damaged_chunk_is_exit_code_3_and_mended_it_goes_on(config, ct, tmp_path):
    source, out = tmp_path / "scroll.zarr", tmp_path / "prob.zarr"
    create_ome_zarr(source, (64, 64, 64), "uint8", (32,) * 3, 7.91)[:] = ct[:64, :64, :64]
    chunk = source / "0" / "1" / "1" / "1"
    whole = chunk.read_bytes()
    chunk.write_bytes(b"garbage")
    arguments = (
        config,
        "--input",
        source,
        "--output",
        out,
        "--shard",
        32,
        "--chunk",
        32,
        "--grey",
        100,
        40,
        "--set",
        "stage1.window.overlap=0",
    )
    parts = (*arguments, "--num-parts", 2, "--part-id")
    done = call("predict_scroll.py", *parts, 1)
    assert done.returncode == 3, done.stderr
    assert "shard 1-1-1 of level 0 failed: UnreadableError" in done.stdout and "z 32-64, y 32-64" in done.stdout
    state = call("scroll_status.py", out)
    assert state.returncode == 3 and "failed" in state.stdout
    chunk.write_bytes(whole)
    assert call("predict_scroll.py", *parts, 0).returncode == 0
    assert call("scroll_status.py", out).returncode in (1, 3)
    again = call("predict_scroll.py", *parts, 1)
    assert again.returncode == 0 and "level 0: 8 of 8 shards (100%)" in again.stdout and "failed" not in again.stdout
    assert json.loads((tmp_path / "prob.zarr.ledger" / "plan.json").read_text())["about"]["grey_scale"] == [100, 40]


@pytest.mark.parametrize(
    ("options", "environment", "expected"),
    [
        ([], {}, (0, 1)),
        (["--num-parts", "4", "--part-id", "3"], {"RANK": "1", "WORLD_SIZE": "2"}, (3, 4)),
        ([], {"RANK": "1", "WORLD_SIZE": "2", "SLURM_PROCID": "5", "SLURM_NTASKS": "9"}, (1, 2)),
        ([], {"SLURM_PROCID": "5", "SLURM_NTASKS": "9"}, (5, 9)),
    ],
)
def test_parts_are_those_that_are_given_or_that_torchrun_or_slurm_count(monkeypatch, options, environment, expected):
    for name in ("RANK", "WORLD_SIZE", "SLURM_PROCID", "SLURM_NTASKS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "argv", ["predict_scroll.py", "a.yaml", "--input", "a", "--output", "b", *options])
    assert predict_scroll.part_of_environment(predict_scroll.read_arguments()) == expected


def test_a_remote_output_needs_a_folder_for_its_ledger(config, scroll):
    message = call("predict_scroll.py", config, "--input", scroll, "--output", "s3://bucket/prob.zarr")
    assert message.returncode == 2 and "give --ledger" in message.stderr

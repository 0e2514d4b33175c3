"""Members of others over a whole scroll: their figures are those of the whole of it, and whoever does the shards gives the same bits."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from ensemble.commands.predict_scroll import current_plan
from ensemble.whole_scroll.grey_values import measured, sample_in
from ensemble.whole_scroll.members import member_weights, message_on_left_out, volume_members
from ensemble.whole_scroll.plan import ScrollRequest, key_of_request, make_plan, open_scroll, recipe_of
from ensemble.whole_scroll.training_boxes import prediction_about
from scroll.config.schema import Settings
from scroll.data.intensity import Intensity
from scroll.data.members.card import Card, Ready, read_card
from scroll.errors import InputError, UnreadableError
from scroll.inference.sliding_window import Sweep, predict
from scroll.phantom.cube import draw_scroll, scan_cube
from scroll.phantom.settings import cube_settings
from scroll.runtime.files import write_sealed
from scroll.runtime.receipt import file_hash, key_of
from scroll.shards.drive import Driver, run_part
from scroll.shards.local_engine import LocalEngine
from scroll.shards.plan import FORMAT, Plan, read_plan, write_plan
from scroll.shards.ray_engine import RayEngine
from scroll.shards.work import Job
from scroll.surfaces.surface import Surface, normals_of
from scroll.surfaces.tifxyz import write_tifxyz
from scroll.training.checkpoint import save_weights
from scroll.volumes.ome_zarr import create_ome_zarr
from scroll.volumes.sharded.output import create_output
from scroll.volumes.volume_key import placed_key
from stage1_3d.external.checkpoint import write_card
from stage1_3d.external.nnunet import import_nnunet
from stage1_3d.network import about_network, build_network, load_checked_settings
from stage1_3d.predict import load_forward
from tests.external.nnunet_folder import write_folder
from tests.steps import step

REPOSITORY = Path(__file__).resolve().parents[2]
SIZE, SHARD, CHUNK, UM = 64, 32, 16, 7.91
PATCH = (16, 24, 20)
WEIGHTS = {"mine": 0.5, "theirs": 0.25, "mapped": 0.15, "ready": 0.1}


@pytest.fixture(scope="module")
def scroll(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A phantom whose far half is far brighter."""
    settings = cube_settings("default", SIZE)
    ct = scan_cube(draw_scroll(settings, (4, 2)), settings, (4, 2)).volume // 2
    ct[:, :, SIZE // 2 :] += 100
    path = tmp_path_factory.mktemp("scroll") / "scroll.zarr"
    create_ome_zarr(path, ct.shape, "uint8", (CHUNK,) * 3, UM)[:] = ct
    return path


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An nnU-Net of two folds, which takes the z-score of the whole item."""
    root = tmp_path_factory.mktemp("theirs")
    folder = write_folder(root / "model", (0, 1), patch=PATCH, mirrors=(2,))
    write_card(root / "member", import_nnunet(folder, root / "member"))
    return root / "member"


def with_card(source: Path, folder: Path, **message: object) -> Path:
    """The same member with something else on its card."""
    folder.mkdir()
    for file in source.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    write_card(folder, read_card(source).model_copy(update=message))
    return folder


def run(root: Path, others: dict[str, Path], weights: dict[str, float], **message: object) -> Settings:
    """A run on cubes with one member of its own, of which more is `said`, with random weights, and members of others; and a fit."""
    own = {"network": "cnn3d", "options": {"channels": [4, 4], "dilations": [1, 1]}, "patch_size": [16, 32, 32]}
    own |= message | {"supervision": "band", "augment": {"across_sheets": True, "layer_dropout": 0, "depth_jitter": 0}}
    content = {
        "run_dir": str(root / "run"),
        "data": {"kind": "cubes", "root": str(root), "cache_dir": str(root / "cache"), "voxel_um": UM},
        "folds": {"by": "scroll", "count": 2},
        "stage1": {
            "members": {"mine": own} | {name: {"member": str(folder)} for name, folder in others.items()},
            "window": {"overlap": 0.25, "batch_size": 2},
        },
    }
    if "mine" not in weights:
        del content["stage1"]["members"]["mine"]
    (root / "run.yaml").write_text(yaml.safe_dump(content))
    settings = load_checked_settings(root / "run.yaml", [])
    for name, member in settings.stage1.trained.items():
        for fold in range(2):
            torch.manual_seed(fold)
            folder = settings.folder.fold(name, fold)
            save_weights(build_network(member), folder / "weights.safetensors", about_network(member))
            write_sealed(folder / "receipt.json", {"key": "k", "weights": file_hash(folder / "weights.safetensors")})
    fit = {"made_from": "k", "rows": {}, "route": "ensemble", "intervals": {}, "gains": {}}
    fit |= {"resampled": {"cubes": 0, "scrolls": 0}, "weights": {"weights": weights}}
    write_sealed(settings.folder.fit, fit)
    return settings


@pytest.fixture
def settings(theirs: Path, tmp_path: Path) -> Settings:
    return run(tmp_path, {"theirs": theirs}, {"mine": 0.75, "theirs": 0.25})


@pytest.fixture
def by_windows(theirs: Path, tmp_path: Path) -> Settings:
    """The member that is trained here scales each window by itself."""
    intensity = {"how": "robust", "of": "window", "low": 1, "high": 99}
    return run(tmp_path, {"theirs": theirs}, {"mine": 0.75, "theirs": 0.25}, intensity=intensity)


def requested(scroll: Path, **changes: object) -> ScrollRequest:
    return ScrollRequest(str(scroll), **({"shard_vox": SHARD, "chunk_vox": CHUNK} | changes))  # type: ignore[arg-type]


def test_the_figures_are_those_of_the_whole_and_every_shard_is_predicted_by_them(settings, scroll):
    plan = make_plan(settings, requested(scroll))
    volume = open_scroll(requested(scroll), settings)
    whole = np.asarray(volume[:, :, :]).astype(np.float64)
    assert abs(whole[:, :, 32:].mean() - whole[:, :, :32].mean()) > 80
    figures = recipe_of(settings, plan).seen_by("theirs")
    assert figures == Intensity.model_validate(plan.about["seen_as"]["theirs"]) and figures.how == "zscore"
    assert figures.middle == pytest.approx(whole.mean(), rel=0.1) and figures.spread == pytest.approx(
        whole.std(), rel=0.1
    )
    assert_every_shard_is_as_by_plain_arithmetic(settings, plan, whole)


def test_windows_that_are_scaled_by_themselves_are_so_in_every_shard(by_windows, scroll):
    plan = make_plan(by_windows, requested(scroll))
    assert recipe_of(by_windows, plan).seen_by("mine") == Intensity(how="robust", of="window", low=1, high=99)
    assert_every_shard_is_as_by_plain_arithmetic(
        by_windows, plan, np.asarray(open_scroll(requested(scroll), by_windows)[:, :, :])
    )


def assert_every_shard_is_as_by_plain_arithmetic(settings: Settings, plan: Plan, ct: np.ndarray) -> None:
    predictor, expected = recipe_of(settings, plan)(), np.zeros(ct.shape)
    for name, patch in (("mine", (16, 32, 32)), ("theirs", PATCH)):
        sweep, rows = Sweep(ct.shape, patch, settings.stage1.window, (0, SIZE)), []
        how = recipe_of(settings, plan).seen_by(name)
        predict(
            sweep,
            lambda at, how=how, patch=patch: how.scaled(ct[tuple(slice(a, a + p) for a, p in zip(at, patch, strict=True))])[None],
            load_forward(settings, name, [0, 1]), lambda _, values, rows=rows: rows.append(values[0]),
        )  # fmt: skip
        expected += member_weights(settings)[name] * np.concatenate(rows, axis=1)
    assert len(plan.shards) == 8 and expected.std() > 0.05
    for shard in plan.shards:
        place = tuple(slice(c, c + s) for c, s in zip(shard.corner, shard.size, strict=True))
        np.testing.assert_allclose(predictor(shard.corner, shard.size)[0], expected[place], atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("of", ["settings", "by_windows"])
def test_one_process_two_processes_and_ray_give_the_same_bits(request, of, scroll, tmp_path):
    pytest.importorskip("ray")
    settings = request.getfixturevalue(of)
    made = make_plan(settings, requested(scroll))
    write_plan(tmp_path / "plan.json", made)
    plan, found = read_plan(tmp_path / "plan.json"), {}
    assert plan.about["seen_as"] == made.about["seen_as"]
    for name, engine in {"one": LocalEngine(), "two": LocalEngine(2), "ray": RayEngine(2)}.items():
        output = create_output(tmp_path / f"{name}.zarr", plan.how, plan.key)
        job = Job(tmp_path / f"{name}.ledger", plan.key, output, recipe_of(settings, plan))
        assert run_part(made, job, engine, Driver(), lambda line: None) == []
        found[name] = output.read((0, 0, 0), plan.how.shape)
    assert found["one"].std() > 5
    for name in ("two", "ray"):
        np.testing.assert_array_equal(found[name], found["one"], err_msg=name)


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ({"how": "ours"}, lambda sample: Intensity(how="ours", middle=100, spread=40)),
        ({"how": "divide", "spread": 255}, lambda sample: Intensity(how="divide", spread=255)),
        ({"how": "robust", "low": 1, "high": 99}, lambda s: Intensity(how="robust", low=1, high=99).of_item(s)),
    ],
)
def test_each_scaling_has_its_figures_also_where_the_grey_scale_is_given(theirs, scroll, tmp_path, how, expected):
    folder = with_card(theirs, tmp_path / "m", intensity=Intensity.model_validate(how))
    settings = run(tmp_path, {"theirs": folder}, {"mine": 0.5, "theirs": 0.5})
    plan = make_plan(settings, requested(scroll, grey_scale=(100.0, 40.0)))
    sample = sample_in(open_scroll(requested(scroll), settings), plan.shards)
    assert recipe_of(settings, plan).seen_by("theirs") == expected(sample)
    assert recipe_of(settings, plan).seen_by("mine") == Intensity(how="ours", middle=100, spread=40)


def test_a_run_without_members_of_others_has_the_plan_and_the_key_that_it_had(scroll, tmp_path):
    settings = run(tmp_path, {}, {"mine": 1.0})
    plan = make_plan(settings, requested(scroll))
    assert "seen_as" not in plan.about and recipe_of(settings, plan).seen_as == {}
    hashes = [file_hash(settings.folder.fold("mine", fold) / "weights.safetensors") for fold in range(2)]
    assert plan.key == key_of([
        FORMAT, placed_key(str(scroll)), [["mine", 1.0, *hashes]], settings.stage1.window.model_dump(), ["auto"],
        [0, SHARD, CHUNK, "0.5", 1, None], [],
    ])  # fmt: skip


def test_another_card_is_another_prediction(settings, theirs, scroll, tmp_path):
    key = key_of_request(settings, requested(scroll))
    folder = with_card(theirs, tmp_path / "m", intensity=Intensity(how="divide", spread=255))
    (tmp_path / "other").mkdir()
    other = run(tmp_path / "other", {"theirs": folder}, {"mine": 0.75, "theirs": 0.25})
    assert key_of_request(other, requested(scroll)) != key == key_of_request(settings, requested(scroll))


def test_voxels_of_another_size_are_refused_before_anything_is_planned(theirs, scroll, tmp_path):
    settings = run(tmp_path, {"theirs": with_card(theirs, tmp_path / "m", voxel_um=3.24)}, {"mine": 0.5, "theirs": 0.5})
    message = r"card\.json: trained at 3\.24 um a voxel, and here they are 7\.91"
    with pytest.raises(InputError, match=message) as refused:
        current_plan(settings, requested(scroll), tmp_path / "ledger")
    assert "\n" not in str(refused.value) and not (tmp_path / "ledger").exists()
    with pytest.raises(InputError, match=message):
        prediction_about(settings, requested(scroll), wave(tmp_path), {"theirs": 1.0}, is_blended=True)
    idle = {"mine": 1.0, "theirs": 0.0}  # who has no weight does not mind
    (tmp_path / "idle").mkdir()
    assert list(make_plan(run(tmp_path / "idle", {"theirs": tmp_path / "m"}, idle), requested(scroll)).windows) == [
        "mine"
    ]


@pytest.fixture
def flat_ones(tmp_path: Path) -> dict[str, Path]:
    """A member that gives a map, and predictions that are there already."""
    mapped, ready = tmp_path / "mapped", tmp_path / "ready"
    for folder in (mapped, ready):
        folder.mkdir()
    (mapped / "fold0.safetensors").write_bytes(b"weights")
    sums = {"weights": "fold0.safetensors", "sha256": ""}
    write_card(mapped, Card.model_validate({"family": "timesformer", "returns": "map", "folds": [sums]}))
    np.save(ready / "1.npy", np.zeros((4, 4, 4), np.float16))
    one = Ready(file="1.npy", sha256=file_hash(ready / "1.npy"), is_unseen=True)
    write_card(ready, Card(family="predictions", ready={"1": one}))
    return {"mapped": mapped, "ready": ready}


def test_members_that_cannot_look_at_volumes_are_left_out_and_named(flat_ones, theirs, scroll, tmp_path):
    settings = run(tmp_path, {"theirs": theirs, **flat_ones}, WEIGHTS)
    assert member_weights(settings) == pytest.approx({"mine": 2 / 3, "theirs": 1 / 3})
    assert volume_members(settings) == ["mine", "theirs"]
    message = message_on_left_out(settings)
    assert (
        "mapped (gives a map of a sheet), ready (predictions that are there already)" in message and "\n" not in message
    )
    assert list(make_plan(settings, requested(scroll)).about["weights"]) == ["mine", "theirs"]
    done = step(
        REPOSITORY / "scripts" / "predict_scroll.py", tmp_path / "run.yaml", "--input", scroll,
        "--output", tmp_path / "prob.zarr", "--shard", SHARD, "--chunk", CHUNK, "--plan-only",
    )  # fmt: skip
    assert done.returncode == 0 and done.stdout.count(message) == 1, done.stderr


def test_where_only_such_members_are_there_it_is_one_line(flat_ones, tmp_path):
    settings = run(tmp_path, flat_ones, {"mapped": 0.5, "ready": 0.5})
    with pytest.raises(InputError, match="expected one that gives voxels of what it sees") as refused:
        member_weights(settings)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_in_the_scan_is_one_line_with_its_place(settings, scroll, tmp_path, bad):
    ct = np.asarray(open_scroll(requested(scroll), settings)[:, :, :]).astype(np.float32)
    ct[40, 3, 5] = bad
    np.save(tmp_path / "ct.npy", ct)
    plan = make_plan(settings, requested(tmp_path / "ct.npy"))
    assert np.isfinite([*plan.about["grey_scale"], plan.about["seen_as"]["theirs"]["spread"]]).all()
    for weights in ({"mine": 1.0}, {"theirs": 1.0}):
        predictor = replace(recipe_of(settings, plan), weights=weights)()
        with pytest.raises(UnreadableError, match=r"ct\.npy: NaN or infinity near \(32, 0, 0\) \(z, y, x\)") as refused:
            predictor((32, 0, 0), (32, 32, 32))
        assert "\n" not in str(refused.value)


def wave(folder: Path) -> Surface:
    """Across the volume, from one half into the other."""
    row, column = np.meshgrid(np.arange(2, 14), np.arange(2, 14), indexing="ij")
    points = np.stack([32 + 5 * np.sin(row / 3 + column / 4), 4.0 * row, 4.0 * column], axis=-1).astype(np.float32)
    valid = np.ones(row.shape, bool)
    return Surface(points, normals_of(points, valid), valid, (4.0, 4.0), folder / "wave")


def test_flattening_on_the_fly_asks_them_as_the_whole_scroll_does(settings, scroll, tmp_path):
    surface, weights = wave(tmp_path), member_weights(settings)
    predicted, boxes = prediction_about(settings, requested(scroll), surface, weights, is_blended=True)
    box = (16, 8, 20), (20, 30, 24)
    np.testing.assert_array_equal(boxes(*box, lambda corner, size: True), boxes.ensemble(*box))
    whole = make_plan(settings, requested(scroll))
    assert boxes.ensemble.recipe.seen_by("theirs") != recipe_of(settings, whole).seen_by("theirs")
    assert predicted.channels == ("ensemble",)
    write_tifxyz(surface, tmp_path / "wave", "wave")
    done = step(
        REPOSITORY / "scripts" / "flatten.py", tmp_path / "wave", scroll, "--predict", tmp_path / "run.yaml", "--members",
        "--window", -2, 3, "--tile", 128, "--out", tmp_path / "flat",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "channels ct, mine, theirs" in done.stdout


def test_nothing_is_sampled_where_everything_is_given(settings, tmp_path):
    def never() -> np.ndarray:
        raise AssertionError

    assert measured(settings, ["mine"], never, (100.0, 40.0)) == ((100.0, 40.0), {})

"""A member of ours handed on to nnU-Net: its own predictor and commands say what we say, and read by us it is the network it was."""

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
import yaml

from scroll.config.schema import Settings
from scroll.data.intensity import Intensity
from scroll.data.kinds import training_items
from scroll.data.members.others import MemberOfOthers
from scroll.errors import InputError
from scroll.runtime.files import write_sealed
from scroll.runtime.receipt import file_hash
from scroll.training.checkpoint import save_weights
from scroll.training.foreign_checkpoint import read_checkpoint
from scroll.volumes import open_volume
from stage1_3d.cubes.predict import predict_cubes
from stage1_3d.external.member import networks_of
from stage1_3d.external.nnunet import probabilities
from stage1_3d.external.to_nnunet import export_nnunet, scheme_of
from stage1_3d.network import about_network, build_network, load_checked_settings
from stage1_3d.weights import load_member
from tests.steps import ENVIRONMENT, step

REPOSITORY = Path(__file__).resolve().parents[2]
WINDOW, EDGE = (16, 24, 32), 40
OPTIONS = {"channels": [4, 6, 8, 10], "blocks": [1, 2, 1, 1], "strides": [[1, 1, 1], [1, 2, 2], [2, 2, 2], [2, 2, 2]]}
SCHEMES = {
    "ZScoreNormalization": {"how": "zscore_of_item"},
    "CTNormalization": {"how": "clip_zscore", "low": 60, "high": 180, "middle": 118.5, "spread": 31.25},
    "RescaleTo01Normalization": {"how": "percentiles", "low": 0, "high": 100},
    "NoNormalization": {"how": "none"},
    "RGBTo01Normalization": {"how": "divide", "spread": 255},
}


def run(
    root: Path, intensity: dict[str, object] | None, network: str = "resenc_unet", tta: str = "none", **options: object
) -> Settings:
    """A run on two cubes with one member of two folds and random weights that say something."""
    rng = np.random.default_rng(4)
    for folder, low in (("train_images", 1), ("train_labels", 0)):
        (root / folder).mkdir()
        for cube in ("1", "2"):
            ct = rng.normal(110, 25, (EDGE,) * 3).clip(1, 255)
            tifffile.imwrite(root / folder / f"{cube}.tif", (ct if low else ct > 140).astype(np.uint8))
    (root / "train.csv").write_text("id,scroll_id\n1,A\n2,B\n")
    member = {
        "network": network,
        "options": options or OPTIONS,
        "patch_size": [*WINDOW],
        "supervision": "band",
        "intensity": intensity,
    }
    member |= {"augment": {"across_sheets": True, "layer_dropout": 0, "depth_jitter": 0}}
    content = {
        "run_dir": str(root / "run"), "folds": {"by": "scroll", "count": 2},
        "data": {"kind": "cubes", "root": str(root), "cache_dir": str(root / "cache"), "voxel_um": 7.91},
        "stage1": {"members": {"mine": member}, "window": {"tta": tta, "overlap": 0.5, "blend": "gaussian"}},
    }  # fmt: skip
    (root / "c.yaml").write_text(yaml.safe_dump(content))
    settings = load_checked_settings(root / "c.yaml", [])
    for fold in range(2):
        torch.manual_seed(fold)
        network_, folder = build_network(settings.stage1.members["mine"]), settings.folder.fold("mine", fold)
        with torch.no_grad():
            for weight in network_.parameters():
                weight.mul_(1.5)
        save_weights(network_, folder / "weights.safetensors", about_network(settings.stage1.members["mine"]))
        write_sealed(folder / "receipt.json", {"key": "k", "weights": file_hash(folder / "weights.safetensors")})
    return settings


def script(name: str, *arguments: object) -> str:
    done = step(REPOSITORY / "scripts" / f"{name}.py", *arguments, cwd=REPOSITORY)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def imported(model: Path, member: Path) -> MemberOfOthers:
    script(
        "import_member",
        model,
        "--kind",
        "nnunet",
        "--name",
        "m",
        "--output",
        member,
        "--splits",
        model / "splits_final.json",
    )
    return MemberOfOthers("m", member)


@pytest.mark.parametrize("options", [OPTIONS, OPTIONS | {"deep_supervision": 2, "dropout": 0.1}], ids=["plain", "deep"])
def test_read_by_us_it_is_the_network_that_it_was_with_what_each_fold_has_seen(tmp_path, options):
    settings = run(tmp_path, SCHEMES["CTNormalization"], **options)
    message = script(
        "export_member", tmp_path / "c.yaml", "--member", "mine", "--output", tmp_path / "model", "--to", "nnunet"
    )
    assert "2 folds of mine, window (16, 24, 32), voxels of 7.91 um" in message
    other = imported(tmp_path / "model", tmp_path / "m")
    assert other.card.window == WINDOW and other.card.intensity == Intensity(**SCHEMES["CTNormalization"])
    assert [fold.trained_on for fold in other.card.folds] == [("2",), ("1",)]
    windows = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 1, *WINDOW)).astype(np.float32))
    for fold, back in enumerate(networks_of(other, [0, 1])):
        with torch.inference_mode():
            expected = load_member(settings, "mine", fold)(windows)
            assert expected.std() > 0.05 and torch.equal(back(windows), expected)


def test_there_is_nothing_but_tensors_numbers_and_text_in_a_checkpoint_and_all_names_are_there(tmp_path):
    export_nnunet(run(tmp_path, SCHEMES["NoNormalization"]), "mine", tmp_path / "model")
    path = tmp_path / "model" / "fold_1" / "checkpoint_final.pth"
    assert torch.load(path, weights_only=True)["init_args"] == {"configuration": "3d_fullres", "fold": 1}
    weights = read_checkpoint(path)["network_weights"]
    assert {
        "decoder.encoder.stem.convs.0.conv.weight",
        "decoder.seg_layers.0.bias",
        "encoder.stem.convs.0.norm.weight",
    } <= {*weights}
    assert torch.equal(
        weights["decoder.encoder.stem.convs.0.conv.weight"], weights["encoder.stem.convs.0.all_modules.0.weight"]
    )
    assert not weights["decoder.seg_layers.0.weight"].any() and weights["decoder.seg_layers.2.weight"][1].any()
    dataset = json.loads((tmp_path / "model" / "dataset.json").read_text())
    assert dataset["labels"] == {"background": 0, "surface": 1, "ignore": 2} and "7.91 um" in dataset["description"]


def predictor_of(folder: Path, folds: tuple[int, ...], mirrors: bool, monkeypatch: pytest.MonkeyPatch):
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
        monkeypatch.setenv(name, str(folder))
    theirs = pytest.importorskip("nnunetv2.inference.predict_from_raw_data")
    predictor = theirs.nnUNetPredictor(
        tile_step_size=0.5, use_gaussian=True, use_mirroring=mirrors, perform_everything_on_device=False,
        device=torch.device("cpu"), allow_tqdm=False,
    )  # fmt: skip
    predictor.initialize_from_trained_model_folder(str(folder), folds, "checkpoint_final.pth")
    return predictor


@pytest.mark.slow
@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_packages_own_predictor_says_what_we_say(tmp_path, monkeypatch, scheme):
    tta = "flips" if scheme == "ZScoreNormalization" else "none"
    settings = run(tmp_path, SCHEMES[scheme], tta=tta)
    export_nnunet(settings, "mine", tmp_path / "model")
    predictor = predictor_of(tmp_path / "model", (0, 1), tta != "none", monkeypatch)
    cube, *_ = training_items(settings.data)
    ct, about = np.asarray(open_volume(cube.image)[...]), {"spacing": [1, 1, 1]}
    _, whole = predictor.predict_single_npy_array(
        ct[None].astype(np.float32), about, None, None, save_or_return_probabilities=True
    )
    other = imported(tmp_path / "model", tmp_path / "m")
    found = probabilities(other.card, networks_of(other, [0, 1]), ct)
    assert found.std() > 0.02 and np.abs(found - whole[1]).max() < 1e-4
    z, y, x = WINDOW  # one window: there is nothing to blend, so that our own prediction is the same too
    tifffile.imwrite(tmp_path / "train_images" / "3.tif", ct[:z, :y, :x])
    small = type(cube)("3", "C", tmp_path / "train_images" / "3.tif", None, settings.data)
    predict_cubes(settings, "mine", [small], [0, 1], tmp_path / "ours")
    ours = np.asarray(open_map_of(tmp_path / "ours" / "3"), np.float32)
    _, theirs = predictor.predict_single_npy_array(
        ct[None, :z, :y, :x].astype(np.float32), about, None, None, save_or_return_probabilities=True
    )
    middle = tuple(slice(n // 4, n - n // 4) for n in WINDOW)  # nearer the rim its float16 weights hold next to nothing
    assert np.abs(ours - theirs[1])[middle].max() < 2e-3


def open_map_of(folder: Path):
    from scroll.inference.prediction_store import open_map

    return open_map(folder / "prob.zarr", "")[:]


@pytest.mark.slow
def test_its_own_command_predicts_tiffs_with_the_folder_alone(tmp_path):
    pytest.importorskip("nnunetv2")
    settings = run(tmp_path, SCHEMES["ZScoreNormalization"])
    export_nnunet(settings, "mine", tmp_path / "model")
    cube, *_ = training_items(settings.data)
    ct = np.asarray(open_volume(cube.image)[...])
    (tmp_path / "in").mkdir()
    tifffile.imwrite(tmp_path / "in" / "new_0000.tif", ct)
    lines = ["from scroll.runtime.torchvision_schemas import import_torchvision as first", "first()"]
    lines += ["from nnunetv2.inference.predict_from_raw_data import predict_entry_point_modelfolder as run", "run()"]
    options = (
        "-i",
        tmp_path / "in",
        "-o",
        tmp_path / "out",
        "-m",
        tmp_path / "model",
        "-f",
        0,
        1,
        "-device",
        "cpu",
        "-npp",
        1,
        "-nps",
        1,
    )
    places = {f"nnUNet_{name}": str(tmp_path) for name in ("raw", "preprocessed", "results")}
    done = step("-c", "\n".join(lines), *options, "--save_probabilities", environment=ENVIRONMENT | places)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    other = imported(tmp_path / "model", tmp_path / "m")
    expected = probabilities(other.card, networks_of(other, [0, 1]), ct)
    found = np.load(tmp_path / "out" / "new.npz")["probabilities"][1]
    assert np.abs(found - expected).max() < 2**-10  # it writes float16
    mask = tifffile.imread(tmp_path / "out" / "new.tif")
    assert mask.shape == ct.shape and set(np.unique(mask)) <= {0, 1}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"network": "cnn3d", "channels": [4, 4], "dilations": [1, 1]},
            "'mine' is a cnn3d, and nnU-Net builds resenc_unet alone",
        ),
        (
            {"intensity": None},
            "scaled by 'ours', which nnU-Net does not have; train it with stage1.members.mine.intensity",
        ),
        ({"intensity": {"how": "robust", "of": "window", "low": 1, "high": 99}}, "scaled by 'robust of the window'"),
        (
            {"intensity": {"how": "clip_divide", "low": 0, "high": 200, "spread": 200}},
            "scaled by 'clip_divide of the item'",
        ),
        ({**OPTIONS, "strides": [[1, 2, 2], [1, 1, 1], [2, 2, 2], [2, 2, 2]]}, "has a first stride above 1"),
        (OPTIONS | {"squeeze_excitation": "scse"}, "has squeeze_excitation scse, which nnU-Net's plans do not build"),
    ],
)
def test_what_nnunet_does_not_have_is_reported_in_one_line(tmp_path, changes, message):
    settings = run(tmp_path, **{"intensity": SCHEMES["ZScoreNormalization"]} | changes)
    with pytest.raises(InputError, match=message) as refused:
        export_nnunet(settings, "mine", tmp_path / "model")
    assert "\n" not in str(refused.value) and not (tmp_path / "model").exists()


def test_each_scheme_has_its_name():
    assert {name: scheme_of(Intensity(**how)) for name, how in SCHEMES.items()} == {name: name for name in SCHEMES}
    assert scheme_of(Intensity(how="zscore_of_item", keeps_zero=True)) == "ZScoreNormalization"
    assert scheme_of(Intensity(how="percentiles", low=1, high=99)) is None
    assert scheme_of(Intensity(how="clip_zscore", low=1, high=9, keeps_zero=True)) is None

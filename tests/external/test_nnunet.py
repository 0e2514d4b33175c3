"""nnU-Net folders: the package's own predictor and ours give the same probabilities; what is no member is one line."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from scroll.data.members.card import read_card
from scroll.errors import InputError, MissingInputError
from stage1_3d.external.checkpoint import write_card
from stage1_3d.external.nnunet import even_starts, import_nnunet, network, probabilities, read_splits
from tests.external.nnunet_folder import weights, write_checkpoint, write_folder


def image() -> np.ndarray:
    """Grey values with an empty rim, which is cut away, and an empty hole, which is not."""
    rng = np.random.default_rng(3)
    found = rng.normal(110, 25, (32, 40, 33)).clip(1, 255).astype(np.float32)
    found[:3] = 0
    found[:, -2:] = 0
    found[14:18, 20:24, 20:24] = 0
    return found


def imported(folder: Path, output: Path):
    write_card(output, import_nnunet(folder, output))
    card = read_card(output)
    return card, [network(output, card, fold) for fold in card.all_folds]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scheme", "is_masked", "mirrors", "axes"),
    [
        ("ZScoreNormalization", False, (0, 1, 2), (0, 1, 2)),
        ("ZScoreNormalization", True, (), (1, 0, 2)),
        ("CTNormalization", False, (1, 2), (2, 0, 1)),
        ("RescaleTo01Normalization", False, (), (0, 1, 2)),
    ],
)
def test_probabilities_are_those_of_the_packages_own_predictor(tmp_path, monkeypatch, scheme, is_masked, mirrors, axes):
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
        monkeypatch.setenv(name, str(tmp_path))
    theirs = pytest.importorskip("nnunetv2.inference.predict_from_raw_data")
    folder = write_folder(tmp_path / "model", (0, 1), scheme, is_masked, mirrors, axes=axes)
    predictor = theirs.nnUNetPredictor(
        tile_step_size=0.5, use_gaussian=True, use_mirroring=bool(mirrors), perform_everything_on_device=False,
        device=torch.device("cpu"), allow_tqdm=False,
    )  # fmt: skip
    predictor.initialize_from_trained_model_folder(str(folder), (0, 1), "checkpoint_final.pth")
    about = {"spacing": [1, 1, 1]}
    _, expected = predictor.predict_single_npy_array(
        image()[None].copy(), about, None, None, save_or_return_probabilities=True
    )
    card, networks = imported(folder, tmp_path / "member")
    found = probabilities(card, networks, image())
    assert found.std() > 0.1 and np.abs(found - expected[1]).max() < 1e-4


def test_windows_one_by_one_say_what_the_whole_says_in_the_middle_of_one(tmp_path):
    folder = write_folder(tmp_path / "model", axes=(2, 0, 1), mirrors=(0,), scheme="NoNormalization")
    card, (alone,) = imported(folder, tmp_path / "member")
    assert card.window == (32, 28, 24)  # along the item's axes, of 24, 32, 28 along the network's
    window = np.random.default_rng(0).normal(100, 20, card.window).astype(np.float32)
    with torch.inference_mode():
        logit = alone(torch.from_numpy(window)[None, None])[0, 0]
    misfit = np.abs(torch.sigmoid(logit).numpy() - probabilities(card, [alone], window))
    middle = tuple(
        slice(n // 4, n - n // 4) for n in card.window
    )  # at the rim its weights are next to nothing in float16
    assert misfit[middle].max() < 5e-3


def test_windows_are_spread_as_by_hand():
    assert even_starts(64, 64) == [0] and even_starts(96, 64) == [0, 32] and even_starts(97, 64) == [0, 16, 33]


def test_what_each_fold_was_trained_on_comes_from_the_splits(tmp_path):
    folder = write_folder(tmp_path / "model", (0, 2))
    splits = [{"train": [str(n), "x"], "val": ["v"]} for n in range(3)]
    (tmp_path / "splits_final.json").write_text(json.dumps(splits))
    card = import_nnunet(folder, tmp_path / "member", read_splits(tmp_path / "splits_final.json"))
    assert [fold.trained_on for fold in card.folds] == [("0", "x"), ("2", "x")]


class Evil:
    """What runs code where a pickle is believed."""

    def __reduce__(self):
        return (eval, ("__import__('pathlib').Path('ran').touch()",))


def test_a_checkpoint_with_code_is_refused_and_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = write_folder(tmp_path / "model")
    write_checkpoint(folder / "fold_0" / "checkpoint_final.pth", weights(0) | {"x": Evil()})
    with pytest.raises(
        InputError, match=r"checkpoint_final\.pth: holds more than tensors and numbers \(.*eval\)"
    ) as refused:
        import_nnunet(folder, tmp_path / "member")
    assert "\n" not in str(refused.value) and not (tmp_path / "ran").exists()


def test_a_bare_pickle_is_refused(tmp_path):
    folder = write_folder(tmp_path / "model")
    (folder / "fold_0" / "checkpoint_final.pth").write_bytes(pickle.dumps({"network_weights": Evil()}))
    with pytest.raises(InputError, match=r"checkpoint_final\.pth"):
        import_nnunet(folder, tmp_path / "member")


def change(folder: Path, name: str, edit) -> None:
    content = json.loads((folder / name).read_text())
    edit(content)
    (folder / name).write_text(json.dumps(content))


def full(plans):
    return plans["configurations"]["3d_fullres"]


@pytest.mark.parametrize(
    ("name", "edit", "message"),
    [
        ("dataset.json", lambda d: d["labels"].update(other=3), "one class 1"),
        ("dataset.json", lambda d: d["channel_names"].update({"1": "more"}), "2 channels"),
        ("plans.json", lambda p: full(p).update(spacing=[2.0, 1.0, 1.0]), "cubic voxels"),
        ("plans.json", lambda p: full(p).update(previous_stage="3d_lowres"), "cascade"),
        ("plans.json", lambda p: full(p).update(normalization_schemes=["Mine"]), "'Mine' is not known"),
        ("plans.json", lambda p: full(p)["architecture"].update(network_class_name="os.system"), "names os.system"),
        ("plans.json", lambda p: full(p)["architecture"]["arch_kwargs"].update(nonlin="builtins.eval"), "names builtins.eval"),
        ("plans.json", lambda p: full(p)["architecture"]["arch_kwargs"].update(features_per_stage=[4, 8, 16]), "do not belong together"),
        ("plans.json", lambda p: full(p)["architecture"]["arch_kwargs"].update(n_conv_per_stage=[3, 2, 2]), "tensors are missing"),
        ("plans.json", lambda p: p.pop("transpose_forward"), "plans as nnU-Net 2 writes them"),
        ("plans.json", lambda p: full(p).update(inherits_from="3d_fullres"), "inherits from itself"),
    ],
)  # fmt: skip
def test_what_is_no_member_is_reported_in_one_line(tmp_path, name, edit, message):
    folder = write_folder(tmp_path / "model")
    change(folder, name, edit)
    with pytest.raises(InputError, match=message) as refused:
        import_nnunet(folder, tmp_path / "member")
    assert "\n" not in str(refused.value) and str(folder) in str(refused.value)


def test_a_missing_tensor_and_a_missing_fold_are_reported(tmp_path):
    folder = write_folder(tmp_path / "model")
    state = weights(0)
    gone = next(iter(state))
    write_checkpoint(folder / "fold_0" / "checkpoint_final.pth", {k: v for k, v in state.items() if k != gone})
    with pytest.raises(InputError, match=f"1 of .* tensors are missing, the first {gone}"):
        import_nnunet(folder, tmp_path / "member")
    with pytest.raises(MissingInputError, match="fold_7"):
        import_nnunet(folder, tmp_path / "member", names=["7"])

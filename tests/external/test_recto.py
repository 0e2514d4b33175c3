"""The recto surface network as ScrollPrize/villa saves it: the same probabilities as its own parts, and what is another is one line."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from torch import nn

from scroll.config.schema import MemberSettings, Settings
from scroll.data.cubes import Cube
from scroll.data.intensity import Intensity
from scroll.data.members.card import Card, read_card
from scroll.data.members.others import MemberOfOthers
from scroll.errors import InputError
from scroll.inference.prediction_store import open_map
from scroll.training.begin_from import begin_from
from stage1_3d.cubes.predict import predict_cubes
from stage1_3d.external.checkpoint import write_card
from stage1_3d.external.checkpoints import import_checkpoint
from stage1_3d.external.member import networks_of
from stage1_3d.network import build_network
from tests.external.recto_checkpoint import BLOCKS, CHANNELS, STRIDES, WINDOW, made
from tests.steps import step

ENTRY_POINT = Path(__file__).resolve().parents[2] / "scripts" / "import_member.py"


def imported(source: Path, folder: Path, kind: str = "resenc_unet", **given: object) -> tuple[Card, nn.Module]:
    folder.mkdir()
    card = Card.model_validate({"family": kind, "window": (0, 0, 0)} | given)
    write_card(folder, import_checkpoint(source, folder, kind, card))
    card = read_card(folder)
    return card, networks_of(MemberOfOthers("m", folder), [0])[0]


@pytest.mark.parametrize("layout", ["model", "state_dict", "bare", "wrapped", "twice"])
def test_its_probabilities_are_those_of_its_own_parts_in_whatever_layout(tmp_path, layout):
    theirs = made()
    settings = {
        "targets": {"surface": {"out_channels": 2, "activation": "none"}},
        "norm_op": "InstanceNorm3d",
        "nonlin": "LeakyReLU",
    }
    content: dict[str, object] = {
        "model": {"model": theirs.saved(), "model_config": settings, "epoch": 9, "normalization_scheme": "instance_zscore"},
        "state_dict": {"state_dict": theirs.saved()},
        "bare": theirs.saved(),
        "wrapped": {"model": theirs.saved("module."), "optimizer": {"state": {}}},
        "twice": {"model": theirs.state_dict()},  # the encoder in its decoder as well
    }[layout]  # fmt: skip
    torch.save(content, tmp_path / "recto.pth")
    card, ours = imported(tmp_path / "recto.pth", tmp_path / "m")
    assert (card.returns, card.window) == ("voxels", (256, 256, 256))
    assert card.intensity == Intensity(how="zscore", of="window")
    assert card.options == {
        "channels": CHANNELS, "blocks": BLOCKS, "strides": STRIDES, "squeeze_excitation": "scse", "squeeze_reduction": 16,
    }  # fmt: skip
    windows = torch.randn(2, 1, *WINDOW)
    with torch.inference_mode():
        expected = theirs(windows).softmax(1)[:, 1:]
        found = ours(windows).sigmoid()
    assert expected.std() > 0.05
    assert torch.abs(found - expected).max() < 1e-6


@pytest.mark.parametrize(("squeeze", "classes"), [("none", 2), ("channel", 2), ("scse", 1)])
def test_what_weighs_its_features_and_how_many_classes_it_has_is_read_from_its_tensors(tmp_path, squeeze, classes):
    theirs = made(squeeze, classes)
    torch.save({"model": theirs.saved(), "model_config": {"patch_size": [16, 32, 32]}}, tmp_path / "a.pth")
    card, ours = imported(tmp_path / "a.pth", tmp_path / "m")
    assert card.options.get("squeeze_excitation", "none") == squeeze and card.window == WINDOW
    windows = torch.randn(1, 1, *WINDOW)
    with torch.inference_mode():
        logits = theirs(windows)
        expected = logits.softmax(1)[:, 1:] if classes == 2 else logits.sigmoid()
        assert torch.abs(ours(windows).sigmoid() - expected).max() < 1e-6


def test_another_share_of_channels_within_the_squeeze_is_read_too(tmp_path):
    theirs = made(within=lambda channels: max(8, int(channels + 4) // 8 * 8))
    torch.save(theirs.saved(), tmp_path / "a.pth")
    card, ours = imported(tmp_path / "a.pth", tmp_path / "m")
    assert card.options["squeeze_reduction"] == 1
    windows = torch.randn(1, 1, *WINDOW)
    with torch.inference_mode():
        assert torch.abs(ours(windows).sigmoid() - theirs(windows).softmax(1)[:, 1:]).max() < 1e-6


def test_what_is_another_network_or_lacks_something_is_reported_in_one_line(tmp_path):
    state = made().saved()
    deeper = {"task_decoders.surface.stages.0.convs.1.all_modules.0.weight": torch.rand(24, 24, 3, 3, 3)}
    spatial = {name.replace("cSE.fc", "fx"): tensor for name, tensor in state.items()}
    odd = {
        name: t[:4] if name.endswith("stages.0.blocks.0.squeeze_excitation.cSE.fc1.weight") else t
        for name, t in state.items()
    }
    flat = {name: t[..., 0] if t.ndim == 5 else t for name, t in state.items()}
    wrong: dict[str, tuple[str, dict[str, object], str]] = {
        "short": ("resenc_unet", {n: t for n, t in state.items() if not n.endswith("1.blocks.1.squeeze_excitation.sSE.conv.bias")},
                  r"1 of \d+ tensors are missing, the first network\.encoder\.stages\.1\.blocks\.1\.squeeze_excitation\.sSE\.conv\.bias"),
        "nothing": ("resenc_unet", {"a.weight": torch.rand(3)}, "first tensor a.weight; expected shared_encoder"),
        "two": ("resenc_unet", state | {"task_heads.air.weight": torch.rand(1)}, "targets air, surface; expected"),
        "stemless": ("stem3d_unet2d", state, "a U-Net without a stem"),
        "flat": ("resenc_unet", flat, "convolutions in 2 dimensions; expected 3"),
        "deeper": ("resenc_unet", state | deeper, r"no place for its network\.decoder\.stages\.0\.convs\.1\.all_modules.*--kind graph"),
        "spatial": ("resenc_unet", spatial, "expected a squeeze and excitation by channel, or scSE"),
        "odd": ("resenc_unet", odd, r"\{8: 4, 16: 8, 24: 8\} are channels and those within"),
        "many": ("resenc_unet", made(classes=3).saved(), "a target of 3 classes"),
        "pooled": ("resenc_unet", {"model": state, "model_config": {"squeeze_excitation_add_maxpool": True}},
                   "squeeze_excitation_add_maxpool True; expected False"),
        "grouped": ("resenc_unet", {"model": state, "model_config": {"norm_op": "nn.GroupNorm"}},
                    "norm_op GroupNorm; expected InstanceNorm"),
        "scaled": ("resenc_unet", {"model": state, "normalization_scheme": "ct"}, "scaled by 'ct'; expected instance_zscore: say it with"),
    }  # fmt: skip
    for name, (kind, content, message) in wrong.items():
        torch.save(content, tmp_path / f"{name}.pth")
        with pytest.raises(InputError, match=message) as refused:
            imported(tmp_path / f"{name}.pth", tmp_path / name, kind)
        assert "\n" not in str(refused.value) and f"{name}.pth" in str(refused.value)
        assert not (tmp_path / name / "card.json").exists()
    given = Intensity(how="clip_zscore", low=0, high=200, middle=80, spread=40)
    assert imported(tmp_path / "scaled.pth", tmp_path / "given", intensity=given)[0].intensity == given


def test_a_training_begins_from_it_whole(tmp_path):
    torch.save({"model": made().saved("module.")}, tmp_path / "recto.pth")
    card, theirs = imported(tmp_path / "recto.pth", tmp_path / "m")
    ours = build_network(MemberSettings(network="resenc_unet", options=dict(card.options), patch_size=WINDOW))
    message = begin_from(ours, tmp_path / "recto.pth")
    assert message["new"] == []
    assert all(torch.equal(theirs.state_dict()[name], tensor) for name, tensor in ours.state_dict().items())


def test_of_several_targets_a_training_takes_the_encoder(tmp_path):
    state = made("none").saved()
    torch.save(state | {"task_heads.air.weight": torch.rand(1)}, tmp_path / "two.pth")
    options = {"channels": CHANNELS, "blocks": BLOCKS, "strides": STRIDES}
    ours = build_network(MemberSettings(network="resenc_unet", options=options, patch_size=WINDOW))
    message = begin_from(ours, tmp_path / "two.pth")
    assert message["new"] and all(name.startswith("network.decoder.") for name in message["new"])


def test_by_the_command_it_is_a_member_that_looks_at_cubes_window_by_window(tmp_path):
    theirs = made()
    torch.save({"model": theirs.saved(), "model_config": {"patch_size": list(WINDOW)}}, tmp_path / "recto.pth")
    done = step(
        ENTRY_POINT,
        tmp_path / "recto.pth",
        "--kind",
        "resenc_unet",
        "--name",
        "recto",
        "--output",
        tmp_path / "m",
        "--voxel-um",
        2.4,
    )
    assert done.returncode == 0 and "resenc_unet, 1 fold, window (16, 32, 32), voxels" in done.stdout, done.stderr
    content = {
        "run_dir": tmp_path / "run",
        "data": {"kind": "cubes", "root": tmp_path, "cache_dir": tmp_path / "cache", "voxel_um": 2.4},
        "stage1": {"members": {"m": {"member": tmp_path / "m"}}, "window": {"batch_size": 1}},
    }
    settings = Settings.model_validate(content)
    image = tmp_path / "train_images" / "1.tif"
    image.parent.mkdir()
    values = np.random.default_rng(0).normal(120, 30, WINDOW).clip(0, 255).astype(np.uint8)
    tifffile.imwrite(image, values)
    predict_cubes(settings, "m", [Cube("1", "A", image, None, settings.data)], [0], tmp_path / "out")
    seen = ((values - values.mean()) / values.std()).astype(np.float32)
    with torch.inference_mode():
        expected = theirs(torch.from_numpy(seen)[None, None]).softmax(1)[0, 1].numpy()
    np.testing.assert_allclose(open_map(tmp_path / "out" / "1" / "prob.zarr", "")[:], expected, atol=2e-3)

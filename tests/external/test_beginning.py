"""Networks that begin from weights: what fits is taken, what does not is said, and nobody begins from what knows the answers."""

from pathlib import Path

import pytest
import torch

from scroll.config.schema import MemberSettings
from scroll.data.folds import Fold
from scroll.data.members.beginning import beginning
from scroll.data.members.card import Card, FoldCard
from scroll.errors import InputError, MissingInputError
from scroll.training.begin_from import begin_from
from stage1_3d.external.checkpoint import write_card
from stage1_3d.models import resnet3d
from stage1_3d.network import build_network
from tests.external.nnunet_folder import NETWORK, weights, write_checkpoint

SMALL = {"channels": [4, 8, 8], "strides": [[1, 1, 1], [2, 2, 2], [2, 2, 2]]}


def unet(seed: int, **changes: object) -> torch.nn.Module:
    torch.manual_seed(seed)
    return build_network(MemberSettings(network="unet3d", options=SMALL | changes, patch_size=(8, 32, 32)))


def test_a_network_of_the_same_shape_is_taken_whole(tmp_path, capsys):
    torch.save({"model_state_dict": {f"module.{k}": v for k, v in unet(1).state_dict().items()}}, tmp_path / "a.pth")
    network = unet(2)
    message = begin_from(network, tmp_path / "a.pth")
    assert all(
        torch.equal(a, b) for a, b in zip(network.state_dict().values(), unet(1).state_dict().values(), strict=True)
    )
    assert (
        message["taken"] == message["of"]
        and not message["new"]
        and "tensors taken, 0 new, 0 not needed" in capsys.readouterr().out
    )


def test_what_is_of_another_shape_stays_as_it_was_drawn_and_is_named(tmp_path):
    torch.save(unet(1, channels=[4, 8, 16]).state_dict(), tmp_path / "a.pth")
    network, drawn = unet(2), unet(2).state_dict()
    message = begin_from(network, tmp_path / "a.pth")
    assert 0 < message["taken"] < message["of"] == message["taken"] + len(message["new"])
    assert all(torch.equal(network.state_dict()[name], drawn[name]) for name in message["new"])


def test_a_3d_resnet_that_learnt_films_begins_in_grey(tmp_path):
    torch.manual_seed(0)
    options = resnet3d.Options(depth=18, width=1 / 16)
    network = resnet3d.build(options, (8, 64, 64))
    state = {
        name.removeprefix("backbone."): t * 2
        for name, t in network.state_dict().items()
        if name.startswith("backbone.")
    }
    state["conv1.weight"] = torch.rand(4, 3, 7, 7, 7)
    torch.save(
        {"state_dict": {f"module.{k}": v for k, v in state.items()} | {"module.fc.weight": torch.rand(9, 9)}},
        tmp_path / "k.pth",
    )
    message = begin_from(network, tmp_path / "k.pth")
    found = network.state_dict()
    assert torch.allclose(found["backbone.conv1.weight"], state["conv1.weight"].sum(1, keepdim=True))
    assert torch.equal(found["backbone.layer2.0.conv1.weight"], state["layer2.0.conv1.weight"])
    assert message["new"] and all(name.startswith("decoder.") for name in message["new"])


def test_a_residual_encoder_of_ours_begins_from_one_that_nnunet_trained(tmp_path):
    from dynamic_network_architectures.architectures.unet import ResidualEncoderUNet
    from torch import nn

    torch.manual_seed(0)
    theirs = ResidualEncoderUNet(
        1, 3, [4, 8, 8], nn.Conv3d, 3, [[1, 1, 1], [2, 2, 2], [2, 2, 2]], [1, 1, 1], 2, [1, 1], conv_bias=True,
        norm_op=nn.InstanceNorm3d, norm_op_kwargs=NETWORK["norm_op_kwargs"], nonlin=nn.LeakyReLU, deep_supervision=True,
    )  # fmt: skip
    write_checkpoint(tmp_path / "checkpoint_final.pth", theirs.state_dict())
    ours = build_network(
        MemberSettings(network="resenc_unet", options=SMALL | {"blocks": [1, 1, 1]}, patch_size=(8, 32, 32))
    )
    message = begin_from(ours, tmp_path / "checkpoint_final.pth")
    assert [name for name in message["new"] if "seg_layers" not in name] == []  # two classes there, one here


def test_what_fits_nowhere_and_what_is_not_there_are_reported(tmp_path):
    torch.save(weights(0), tmp_path / "a.pth")
    with pytest.raises(InputError, match="none of its tensors fits"):
        begin_from(resnet3d.build(resnet3d.Options(depth=18, width=1 / 16), (8, 64, 64)), tmp_path / "a.pth")
    with pytest.raises(MissingInputError, match="init is a checkpoint"):
        beginning(tmp_path / "nowhere", Fold(0, {}, {}))


def test_a_fold_begins_only_from_weights_that_are_new_to_what_it_holds_out(tmp_path):
    folder = tmp_path / "m"
    folder.mkdir()
    for n in (0, 1):
        (folder / f"fold{n}.safetensors").write_bytes(b"x" * (n + 1))
    folds = tuple(FoldCard(weights=f"fold{n}.safetensors", sha256="", trained_on=(str(n + 1),)) for n in (0, 1))
    write_card(folder, Card(family="ours", window=(8, 8, 8), folds=folds))
    held = {n: Fold(n, {str(n + 1): (0, 4)}, {str(n + 1): (0, 4)}) for n in (0, 1)}
    assert [beginning(folder, held[n]).name for n in (0, 1)] == ["fold1.safetensors", "fold0.safetensors"]
    both = Fold(0, {"1": (0, 4), "2": (0, 4)}, {"1": (0, 4), "2": (0, 4)})
    with pytest.raises(InputError, match=r"has seen .* what fold 0 holds out, 1, 2"):
        beginning(folder, both)


def test_settings_without_it_are_hashed_as_before():
    assert "init" not in MemberSettings(network="unet3d").model_dump()
    assert MemberSettings(network="unet3d", init=Path("a")).init == Path("a")

"""Checkpoints as other programs write them: read by the names of their tensors, and the same maps as the program's own network."""

from pathlib import Path

import pytest
import torch
from torch import nn

from scroll.data.members.card import Card, read_card
from scroll.data.members.others import MemberOfOthers
from scroll.errors import InputError
from stage1_3d.external.checkpoint import write_card
from stage1_3d.external.checkpoints import import_checkpoint
from stage1_3d.external.member import networks_of
from stage1_3d.models import resnet3d


def imported(source: Path, folder: Path, kind: str, **told: object) -> tuple[Card, nn.Module]:
    folder.mkdir()
    card = Card.model_validate({"family": kind, "window": (0, 0, 0)} | told)
    write_card(folder, import_checkpoint(source, folder, kind, card))
    card = read_card(folder)
    return card, networks_of(MemberOfOthers("m", folder), [0])[0]


def test_a_timesformer_in_lightnings_layout_says_what_the_packages_own_module_says(tmp_path):
    timesformer_pytorch = pytest.importorskip("timesformer_pytorch")
    torch.manual_seed(0)
    theirs = timesformer_pytorch.TimeSformer(
        dim=64, image_size=64, patch_size=16, num_frames=26, num_classes=16, channels=1, depth=2, heads=3, dim_head=32,
    ).eval()  # fmt: skip
    state = {f"backbone.{name}": tensor for name, tensor in theirs.state_dict().items()}
    torch.save(
        {"epoch": 3, "global_step": 100, "pytorch-lightning_version": "2.0", "state_dict": state}, tmp_path / "a.ckpt"
    )
    card, ours = imported(tmp_path / "a.ckpt", tmp_path / "m", "timesformer")
    assert card.window == (26, 64, 64) and card.returns == "map"
    assert (card.intensity.how, card.intensity.high, card.intensity.spread) == ("clip_divide", 200, 200)
    windows = torch.rand(2, 1, 26, 64, 64)
    with torch.inference_mode():
        expected = theirs(windows.transpose(1, 2)).view(2, 1, 4, 4)  # frames before channels, as it is there
        assert torch.abs(ours(windows) - expected).max() < 1e-5


@pytest.mark.parametrize("depth", [18, 50])
@pytest.mark.parametrize("decoder", ["2d", "3d"])
@pytest.mark.parametrize("key", ["model_state_dict", None])
def test_a_resnet_is_known_by_its_blocks_and_comes_back_as_it_was(tmp_path, depth, decoder, key):
    torch.manual_seed(0)
    theirs = resnet3d.build(resnet3d.Options(depth=depth, width=1 / 16, decoder=decoder), (8, 64, 64)).eval()
    state = {f"module.{name}": tensor for name, tensor in theirs.state_dict().items()}
    state |= {"module.backbone.fc.weight": torch.rand(3, 3)}  # of the public encoder, and of no use here
    torch.save({key: state, "epoch": 1} if key else state, tmp_path / "a.pth")
    card, ours = imported(tmp_path / "a.pth", tmp_path / "m", "resnet3d", window=(8, 64, 64))
    assert (card.options["depth"], card.options["decoder"]) == (depth, decoder)
    windows = torch.rand(1, 1, 8, 64, 64)
    with torch.inference_mode():
        assert torch.equal(ours(windows), theirs.sheet_map(windows))


def test_what_is_no_such_network_lacks_a_tensor_or_is_of_another_depth_is_told_in_one_line(tmp_path):
    theirs = resnet3d.build(resnet3d.Options(depth=18, width=1 / 16), (8, 64, 64))
    state = theirs.state_dict()
    wrong = {
        "timesformer.pth": ("timesformer", state, "expected a TimeSformer"),
        "other.pth": ("resnet3d", {"a.weight": torch.rand(3)}, r"stages of \(0, 0, 0, 0\) blocks"),
        "short.pth": ("resnet3d", {k: v for k, v in state.items() if k != "decoder.logit.bias"}, "missing, the first decoder.logit.bias"),
        "deep.pth": ("resnet3d", state | {"backbone.layer3.2.conv1.weight": torch.rand(1)}, r"stages of \(2, 2, 3, 2\) blocks"),
        "empty.pth": ("resnet3d", {}, "no tensors in it"),
    }  # fmt: skip
    for name, (kind, tensors, said) in wrong.items():
        torch.save(tensors, tmp_path / name)
        with pytest.raises(InputError, match=said) as refused:
            imported(tmp_path / name, tmp_path / name.removesuffix(".pth"), kind)
        assert "\n" not in str(refused.value) and name in str(refused.value)

"""Checkpoints as other programs write them: read by the names of their tensors, and the same maps as the program's own network."""

from pathlib import Path

import pytest
import torch
from dynamic_network_architectures.building_blocks.residual_encoders import ResidualEncoder
from dynamic_network_architectures.building_blocks.unet_decoder import UNetDecoder
from torch import Tensor, nn

from scroll.data.members.card import Card, read_card
from scroll.data.members.others import MemberOfOthers
from scroll.errors import InputError
from stage1_3d.external.checkpoint import write_card
from stage1_3d.external.checkpoints import import_checkpoint
from stage1_3d.external.member import networks_of
from stage1_3d.models import resnet3d
from stage1_3d.models.depth_fusion import DepthFusion


def imported(source: Path, folder: Path, kind: str, **given: object) -> tuple[Card, nn.Module]:
    folder.mkdir()
    card = Card.model_validate({"family": kind, "window": (0, 0, 0)} | given)
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


class OneTarget(nn.Module):
    """A stem and a 2D U-Net by nnU-Net's own parts, which the published network copies, under the names that it gives them."""

    def __init__(self, is_shared: bool) -> None:
        super().__init__()
        self.depth_fusion = DepthFusion(4)
        encoder = ResidualEncoder(
            8, 4, [8, 16, 16, 24], nn.Conv2d, 3, [1, 2, 2, 4], [1, 2, 1, 1], True, nn.InstanceNorm2d, {"affine": True, "eps": 1e-5},
            nonlin=nn.LeakyReLU, nonlin_kwargs={"inplace": True}, return_skips=True,
        )  # fmt: skip
        decoder = UNetDecoder(encoder, 1, 1, deep_supervision=False)
        self.network = nn.Module()
        self.network.shared_encoder, self.network.task_heads = encoder, nn.ModuleDict()
        self.network.task_decoders = nn.ModuleDict()
        if is_shared:
            self.network.shared_decoder, self.network.task_heads["ink"] = decoder, decoder.seg_layers[-1]
        else:
            self.network.task_decoders["ink"] = decoder

    def forward(self, windows: Tensor) -> Tensor:
        decoder = self.network.shared_decoder if len(self.network.task_heads) else self.network.task_decoders["ink"]
        found: Tensor = decoder(self.network.shared_encoder(self.depth_fusion(windows)))
        return found

    def saved(self) -> dict[str, Tensor]:
        """A shared decoder keeps no layers of logits, nor does any keep the encoder a second time."""
        state = {name: tensor for name, tensor in self.state_dict().items() if ".encoder." not in name}
        is_shared = len(self.network.task_heads)
        return {name: tensor for name, tensor in state.items() if not (is_shared and ".seg_layers." in name)}


@pytest.mark.parametrize("is_shared", [True, False])
def test_a_stem_with_a_unet_of_one_target_says_what_its_own_parts_say(tmp_path, is_shared):
    torch.manual_seed(0)
    theirs = OneTarget(is_shared).eval()
    with torch.no_grad():
        for tensor in theirs.parameters():
            tensor.add_(0.1 * torch.randn_like(tensor))
    content = {"ema_model": theirs.saved(), "step": 7, "config": {"model_type": "vesuvius_unet_3d_stem_2d"}}
    torch.save(content, tmp_path / "a.pt")
    card, ours = imported(tmp_path / "a.pt", tmp_path / "m", "stem3d_unet2d")
    assert card.window == (17, 128, 128) and card.returns == "map"
    assert (card.intensity.how, card.intensity.low, card.intensity.high) == ("robust", 1, 99)
    assert card.options["channels"] == [8, 16, 16, 24] and card.options["strides"] == [1, 2, 2, 4]
    assert card.options["blocks"] == [1, 2, 1, 1] and card.options["stem_channels"] == 4
    windows = torch.rand(2, 1, 17, 64, 64)
    with torch.inference_mode():
        assert torch.abs(ours(windows) - theirs(windows)).max() < 1e-5


def test_what_is_no_such_network_lacks_a_tensor_or_is_of_another_depth_is_reported_in_one_line(tmp_path):
    theirs = resnet3d.build(resnet3d.Options(depth=18, width=1 / 16), (8, 64, 64))
    state, shared, own = theirs.state_dict(), OneTarget(True).saved(), OneTarget(False).saved()

    def without(tensors: dict[str, Tensor], part: str) -> dict[str, Tensor]:
        return {name: tensor for name, tensor in tensors.items() if part not in name}

    wrong = {
        "timesformer.pth": ("timesformer", state, "expected a TimeSformer"),
        "other.pth": ("resnet3d", {"a.weight": torch.rand(3)}, r"stages of \(0, 0, 0, 0\) blocks"),
        "short.pth": ("resnet3d", {k: v for k, v in state.items() if k != "decoder.logit.bias"}, "missing, the first decoder.logit.bias"),
        "deep.pth": ("resnet3d", state | {"backbone.layer3.2.conv1.weight": torch.rand(1)}, r"stages of \(2, 2, 3, 2\) blocks"),
        "empty.pth": ("resnet3d", {}, "no tensors in it"),
        "flat.pth": ("stem3d_unet2d", state, r"first tensor backbone\.\S+; expected shared_encoder"),
        "two.pth": ("stem3d_unet2d", shared | {"network.task_heads.air.bias": torch.rand(1)}, "targets air, ink; expected"),
        "shallow.pth": ("stem3d_unet2d", without(own, ".stages.2."), "2 levels of residual blocks and 3 steps up"),
        "headless.pth": ("stem3d_unet2d", without(shared, "ink.weight"), "missing, the first network.decoder.seg_layers.2.weight"),
    }  # fmt: skip
    for name, (kind, tensors, message) in wrong.items():
        torch.save(tensors, tmp_path / name)
        with pytest.raises(InputError, match=message) as refused:
            imported(tmp_path / name, tmp_path / name.removesuffix(".pth"), kind)
        assert "\n" not in str(refused.value) and name in str(refused.value)

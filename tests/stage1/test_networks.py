"""Every 3D network keeps the same promises: shape in is shape out, all of it learns, illegal wishes are refused in words."""

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import torch

from scroll.checkpoint import load_weights, save_weights
from scroll.config import DataSettings, MemberSettings
from scroll.errors import InputError
from stage1_3d.models import NETWORKS
from stage1_3d.network import about_network, build_network, check_member, legal_size, nearest_legal

DEPTH = DataSettings(depth=(0, 64))
SMALL = {
    "cnn3d": MemberSettings(
        network="cnn3d", options={"channels": [2, 3], "dilations": [1, 2], "stride_yx": 4}, patch_size=(5, 8, 12)
    ),
    "unet3d": MemberSettings(
        network="unet3d",
        options={"channels": [2, 4, 4], "strides": [[1, 2, 2], [2, 2, 2], [2, 2, 2]]},
        patch_size=(8, 16, 24),
    ),
    "unetr": MemberSettings(
        network="unetr",
        options={"hidden_size": 24, "num_heads": 3, "mlp_dim": 24, "feature_size": 4},
        patch_size=(16, 32, 32),
    ),
}
ODD = {"cnn3d": (5, 9, 11), "unet3d": (7, 13, 17), "unetr": (15, 33, 17)}


def test_every_network_is_tested_here() -> None:
    assert set(SMALL) == set(NETWORKS)


@pytest.mark.parametrize("name", NETWORKS)
class TestNetwork:
    def test_logits_have_the_shape_of_the_ct_and_every_parameter_learns(self, name: str) -> None:
        member = SMALL[name]
        check_member(member, DEPTH)
        torch.manual_seed(0)
        network = build_network(member)
        ct = torch.randn(1, 1, *member.patch_size)
        logits = network(ct)
        assert logits.shape == ct.shape
        (logits * torch.randn_like(logits)).sum().backward()
        idle = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
        # a bias before a normalisation is taken out again by it; its gradient is rounding
        assert not [n for n in idle if not n.endswith("bias")]
        assert not [n for n, p in network.named_parameters() if p.grad is None]

    def test_an_odd_patch_is_refused_with_the_two_nearest_legal_ones(self, name: str) -> None:
        member = SMALL[name].model_copy(update={"patch_size": ODD[name]})
        module = import_module(NETWORKS[name])
        divisor = module.divisor(module.Options.model_validate(member.options))
        down, up = nearest_legal(member.patch_size, divisor)
        with pytest.raises(InputError) as told:
            check_member(member, DEPTH)
        assert str(down) in str(told.value) and str(up) in str(told.value) and "auto_pad" in str(told.value)
        for size in (down, up):
            check_member(member.model_copy(update={"patch_size": size}), DEPTH)
            assert legal_size(size, divisor) == size

    def test_with_auto_pad_an_odd_patch_keeps_its_shape(self, name: str) -> None:
        member = SMALL[name].model_copy(update={"patch_size": ODD[name], "auto_pad": True})
        check_member(member, DEPTH)
        ct = torch.randn(1, 1, *member.patch_size)
        with torch.no_grad():
            assert build_network(member)(ct).shape == ct.shape

    def test_an_unknown_option_asks_what_was_meant(self, name: str) -> None:
        module = import_module(NETWORKS[name])
        known = next(iter(module.Options.model_fields))
        member = SMALL[name].model_copy(update={"options": {known + "s_": 1}})
        with pytest.raises(InputError, match=f"did you mean '{known}'") as told:
            check_member(member, DEPTH)
        assert "\n" not in str(told.value)

    def test_weights_of_another_architecture_are_refused(self, name: str, tmp_path: Path) -> None:
        member = SMALL[name]
        path = tmp_path / "weights.safetensors"
        save_weights(build_network(member), path, about_network(member))
        for other in NETWORKS:
            if other == name:
                load_weights(build_network(member), path, about_network(member), "train it")
            else:
                with pytest.raises(InputError, match=r"weights of another architecture.*network is .*make stage1"):
                    load_weights(build_network(SMALL[other]), path, about_network(SMALL[other]), "run make stage1")

    def test_the_same_seed_builds_the_same_network(self, name: str) -> None:
        states = []
        for _ in range(2):
            torch.manual_seed(5)
            states.append(build_network(SMALL[name]).state_dict())
        assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


@pytest.mark.parametrize(
    ("typed", "meant"), [("unet3", "unet3d"), ("cnn", "cnn3d"), ("unetrr", "unetr"), ("swin_transformer", None)]
)
def test_an_unknown_network_asks_what_was_meant(typed: str, meant: str | None) -> None:
    with pytest.raises(InputError, match=f"did you mean '{meant}'" if meant else "unet"):
        check_member(SMALL["cnn3d"].model_copy(update={"network": typed}), DEPTH)


def test_the_house_styles_example_reads_as_promised() -> None:
    member = MemberSettings(network="unetr", patch_size=(72, 136, 136))
    with pytest.raises(InputError, match=r"multiples of 16; nearest: \(64, 128, 128\) or \(80, 144, 144\)"):
        check_member(member, DataSettings(depth=(0, 128)))


def test_a_patch_deeper_than_the_window_is_refused() -> None:
    with pytest.raises(InputError, match="deeper than the 4 layers"):
        check_member(SMALL["cnn3d"], DataSettings(depth=(0, 4)))


def test_an_augmentation_that_would_make_labels_untrue_is_refused_before_anything_is_built() -> None:
    member = MemberSettings.model_validate(
        {"network": "cnn3d", "supervision": "band", "augment": {"depth_cut_paste": 0.5}, "patch_size": (16, 96, 96)}
    )
    check_member(member, DataSettings())
    with pytest.raises(InputError, match=r"augment\.depth_cut_paste is 0\.5, but only layers of a flattened sheet"):
        check_member(member, DataSettings(kind="segments"))


@pytest.mark.parametrize(
    ("network", "options", "said"),
    [
        ("cnn3d", {"channels": [2, 2], "dilations": [1]}, "1 dilations for 2 channels"),
        ("cnn3d", {"channels": [2, 0], "dilations": [1, 1]}, "greater than 0"),
        ("cnn3d", {"channels": [2, 2], "dilations": [1, 0]}, "greater than 0"),
        ("unet3d", {"channels": [2, 2, 2], "strides": [[1, 1, 1], [2, 2, 2]]}, "2 strides for 3 channels"),
        ("unet3d", {"channels": [2, 2, 2], "strides": [[1, 1, 1], [0, 2, 2], [2, 2, 2]]}, "greater than 0"),
        ("unet3d", {"channels": [2, 2], "strides": [[1, 1, 1], [2, 2, 2]]}, "at least 3 items"),
        ("unetr", {"hidden_size": 100, "num_heads": 12}, "100.*12"),
    ],
)
def test_options_that_contradict_each_other_are_refused_before_anything_is_built(
    network: str, options: dict[str, object], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        check_member(MemberSettings(network=network, options=options, patch_size=(16, 32, 32)), DEPTH)


@pytest.mark.parametrize("auto_pad", [False, True])
def test_a_patch_that_leaves_one_voxel_to_normalise_is_refused(auto_pad: bool) -> None:
    options = {"channels": [2, 4, 4], "strides": [[1, 1, 1], [2, 2, 2], [4, 4, 4]]}
    member = MemberSettings(network="unet3d", options=options, patch_size=(8, 8, 8), auto_pad=auto_pad)
    with pytest.raises(InputError, match="one voxel"):
        check_member(member, DEPTH)


def test_checking_settings_loads_no_torch() -> None:
    program = (
        "import sys; from scroll.config import DataSettings, MemberSettings; from stage1_3d.network import check_member;"
        "[check_member(MemberSettings(network=n, patch_size=(16, 64, 64)), DataSettings()) for n in ('cnn3d', 'unet3d', 'unetr')];"
        "print(sorted({'torch', 'monai'} & set(sys.modules)))"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "[]"

"""Every 3D network keeps the same promises: shape in is shape out, all of it learns, illegal requests are refused in words."""

import copy
import hashlib
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import torch

from scroll.config.schema import DataSettings, MemberSettings
from scroll.errors import InputError
from scroll.training.checkpoint import load_weights, save_weights
from stage1_3d.models import NETWORKS
from stage1_3d.network import about_network, build_network, check_member, legal_size, nearest_legal

DEPTH = DataSettings(depth=(0, 64))
LEVELS = {"channels": [2, 4, 4], "strides": [[1, 2, 2], [2, 2, 2], [2, 2, 2]]}
LINEAR = {"channels": [4, 8, 16, 32], "dilations": [1, 1, 1, 1], "stride_yx": 1, "norm": "none", "activation": "none"}

TIMESFORMER = {
    "dim": 24, "token_px": 8, "depth": 2, "heads": 2, "dim_head": 8, "attn_dropout": 0, "ff_dropout": 0
}  # fmt: skip
PRIMUS = {"dim": 24, "depth": 2, "heads": 2, "drop_path": 0}
LEVELS_2D = {"channels": [2, 4, 4], "strides": [1, 2, 2], "blocks": [1, 1, 2]}
SEGFORMER = {
    "body": "segformer", "segformer_depths": [1, 1, 1, 1], "segformer_channels": [4, 4, 10, 16], "segformer_decoder": 8
}  # fmt: skip


def member(network: str, patch_size: tuple[int, int, int], **options: object) -> MemberSettings:
    return MemberSettings(network=network, options=options, patch_size=patch_size)


ZOO = {
    "cnn3d": member("cnn3d", (5, 8, 12), channels=[2, 3], dilations=[1, 2], stride_yx=4),
    "cnn3d, linear": member("cnn3d", (5, 7, 9), **LINEAR),
    "unet3d": member("unet3d", (8, 16, 24), **LEVELS),
    "unet3d, deeply supervised": member("unet3d", (8, 16, 24), **LEVELS, deep_supervision=1),
    "resenc_unet": member("resenc_unet", (8, 16, 24), **LEVELS, blocks=[1, 1, 2]),
    "resenc_unet, deeply supervised": member(
        "resenc_unet", (8, 16, 24), **LEVELS, blocks=[1, 1, 1], deep_supervision=1
    ),
    "resenc_unet, weighed by channel": member(
        "resenc_unet", (8, 16, 24), **LEVELS, blocks=[1, 1, 1], squeeze_excitation="channel", squeeze_reduction=1
    ),
    "resenc_unet, weighed by channel and place": member(
        "resenc_unet", (8, 16, 24), **LEVELS, blocks=[1, 2, 1], squeeze_excitation="scse", deep_supervision=1
    ),
    "segresnet": member("segresnet", (8, 12, 16), filters=4, groups=2, blocks_down=[1, 1, 2], blocks_up=[1, 1]),
    "unetr": member("unetr", (16, 32, 32), hidden_size=24, num_heads=3, mlp_dim=24, feature_size=4),
    "unetr, unconvolved": member(
        "unetr", (16, 16, 32), hidden_size=24, num_heads=3, mlp_dim=24, feature_size=4, conv_block=False
    ),
    "swinunetr": member("swinunetr", (32, 32, 64), feature_size=12, window_size=3),
    "swinunetr, first": member(
        "swinunetr", (32, 32, 64), feature_size=12, window_size=3, v2=False, checkpointing=False
    ),
    "primus": member("primus", (16, 32, 32), **PRIMUS),
    "primus, flat tokens": member("primus", (6, 32, 32), **PRIMUS | {"token_vox": [2, 8, 4]}),
    "resnet3d": member("resnet3d", (6, 64, 64), depth=18, width=1 / 16),
    "resnet3d, attending to depth": member(
        "resnet3d", (6, 64, 32), depth=50, width=1 / 32, decoder="3d", input_norm=True
    ),
    "timesformer": member("timesformer", (5, 32, 32), **TIMESFORMER),
    "timesformer, normalised": member("timesformer", (5, 32, 32), **TIMESFORMER, input_norm=True),
    "stem3d_unet2d": member("stem3d_unet2d", (5, 16, 24), stem_channels=2, **LEVELS_2D),
    "stem3d_unet2d, coarse": member(
        "stem3d_unet2d", (5, 16, 24), stem_channels=2, **LEVELS_2D | {"strides": [2, 2, 2]}
    ),
    "stem3d_unet2d, segformer": member("stem3d_unet2d", (5, 32, 64), stem_channels=2, **SEGFORMER),
}
ODD = {
    "cnn3d": (5, 9, 11),
    "unet3d": (7, 13, 17),
    "resenc_unet": (7, 13, 17),
    "segresnet": (7, 9, 17),
    "unetr": (15, 33, 17),
    "swinunetr": (31, 33, 30),
    "primus": (15, 33, 17),
    "resnet3d": (5, 65, 33),
    "timesformer": (5, 33, 34),
    "stem3d_unet2d": (5, 13, 17),
}


def test_every_network_is_tested_here() -> None:
    assert {m.network for m in ZOO.values()} == set(NETWORKS) == set(ODD)


def levels_of(logits: "torch.Tensor | list[torch.Tensor]") -> list[torch.Tensor]:
    return logits if isinstance(logits, list) else [logits]


def oddly_cut(chosen: MemberSettings, auto_pad: bool = False) -> MemberSettings:
    """The same network for a patch that it cannot take."""
    return chosen.model_copy(update={"patch_size": ODD[chosen.network], "auto_pad": auto_pad})


@pytest.fixture(params=list(ZOO))
def one(request: pytest.FixtureRequest) -> MemberSettings:
    return ZOO[request.param]


class TestNetwork:
    def test_logits_have_the_shape_of_the_ct_and_every_parameter_learns(self, one: MemberSettings) -> None:
        check_member(one, DEPTH)
        torch.manual_seed(0)
        network = build_network(one)
        with torch.no_grad():
            for parameter in network.parameters():  # a residual branch may begin at zero, and blocks its own gradient
                parameter.add_(0.05 * torch.randn_like(parameter))
        ct = torch.randn(1, 1, *one.patch_size)
        levels = levels_of(network(ct))
        assert all(logits.shape == ct.shape for logits in levels)
        sum((logits * torch.randn_like(logits)).sum() for logits in levels).backward()
        idle = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
        # a bias before a normalisation is taken out again by it; its gradient is rounding
        assert not [n for n in idle if not n.endswith("bias")]
        assert not [n for n, p in network.named_parameters() if p.grad is None]

    def test_a_list_of_levels_while_training_and_one_tensor_otherwise(self, one: MemberSettings) -> None:
        network, ct = build_network(one), torch.randn(1, 1, *one.patch_size)
        heads = one.options.get("deep_supervision", 0)
        with torch.no_grad():
            trained, plain = network(ct), network.eval()(ct)
        assert isinstance(trained, list) == bool(heads) and len(levels_of(trained)) == 1 + heads
        assert isinstance(plain, torch.Tensor)
        if not any(isinstance(module, torch.nn.modules.batchnorm._BatchNorm) for module in network.modules()):
            torch.testing.assert_close(levels_of(trained)[0], plain)  # finest first


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=pytest.mark.slow if "swin" in n else ()) for n in ZOO],  # bf16 on CPUs is slow in 3D
)
def test_in_bf16_a_network_says_nearly_the_same(name: str) -> None:
    torch.manual_seed(0)
    network, ct = build_network(ZOO[name]).eval(), torch.randn(1, 1, *ZOO[name].patch_size)
    with torch.no_grad():
        exact = network(ct)
        with torch.autocast("cpu", torch.bfloat16):
            rounded = network(ct)
    assert (rounded.float() - exact).abs().mean() < 0.1 * exact.std()


@pytest.mark.parametrize("name", NETWORKS)
class TestSettings:
    def test_an_odd_patch_is_refused_with_the_two_nearest_legal_ones(self, name: str) -> None:
        odd = oddly_cut(ZOO[name])
        module = import_module(NETWORKS[name])
        divisor = module.divisor(module.Options.model_validate(odd.options))
        down, up = nearest_legal(odd.patch_size, divisor)
        with pytest.raises(InputError) as error:
            check_member(odd, DEPTH)
        assert str(down) in str(error.value) and str(up) in str(error.value) and "auto_pad" in str(error.value)
        for size in (down, up):
            assert legal_size(size, divisor) == size
        check_member(odd.model_copy(update={"patch_size": up}), DEPTH)

    def test_with_auto_pad_an_odd_patch_keeps_its_shape(self, name: str) -> None:
        padded = oddly_cut(ZOO[name], auto_pad=True)
        check_member(padded, DEPTH)
        ct = torch.randn(1, 1, *padded.patch_size)
        with torch.no_grad():
            assert build_network(padded)(ct).shape == ct.shape

    def test_an_unknown_option_asks_what_was_meant(self, name: str) -> None:
        module = import_module(NETWORKS[name])
        known = next(iter(module.Options.model_fields))
        mistyped = ZOO[name].model_copy(update={"options": {known + "s_": 1}})
        with pytest.raises(InputError, match=f"did you mean '{known}'") as error:
            check_member(mistyped, DEPTH)
        assert "\n" not in str(error.value)

    def test_weights_of_another_architecture_are_refused(self, name: str, tmp_path: Path) -> None:
        path = tmp_path / "weights.safetensors"
        save_weights(build_network(ZOO[name]), path, about_network(ZOO[name]))
        for other in NETWORKS:
            if other == name:
                load_weights(build_network(ZOO[name]), path, about_network(ZOO[name]), "train it")
            else:
                with pytest.raises(InputError, match=r"weights of another architecture.*network is .*make stage1"):
                    load_weights(build_network(ZOO[other]), path, about_network(ZOO[other]), "run make stage1")

    def test_the_same_seed_builds_the_same_network(self, name: str) -> None:
        states = []
        for _ in range(2):
            torch.manual_seed(5)
            states.append(build_network(ZOO[name]).state_dict())
        assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("unet3", "unet3d"), ("cnn", "cnn3d"), ("unetrr", "unetr"), ("swin_unetr", "swinunetr"), ("transformer", None)],
)
def test_an_unknown_network_asks_what_was_meant(typed: str, meant: str | None) -> None:
    with pytest.raises(InputError, match=f"did you mean '{meant}'" if meant else "unet"):
        check_member(ZOO["cnn3d"].model_copy(update={"network": typed}), DEPTH)


def test_the_house_styles_example_reads_as_promised() -> None:
    too_odd = MemberSettings(network="unetr", patch_size=(72, 136, 136))
    with pytest.raises(InputError, match=r"multiples of 16; nearest: \(64, 128, 128\) or \(80, 144, 144\)"):
        check_member(too_odd, DataSettings(depth=(0, 128)))


def test_a_patch_deeper_than_the_window_is_refused() -> None:
    with pytest.raises(InputError, match="deeper than the 4 layers"):
        check_member(ZOO["cnn3d"], DataSettings(depth=(0, 4)))


def test_an_augmentation_that_would_make_labels_untrue_is_refused_before_anything_is_built() -> None:
    member = MemberSettings.model_validate(
        {"network": "cnn3d", "supervision": "band", "augment": {"depth_cut_paste": 0.5}, "patch_size": (16, 96, 96)}
    )
    check_member(member, DataSettings())
    with pytest.raises(InputError, match=r"augment\.depth_cut_paste is 0\.5, but only layers of a flattened sheet"):
        check_member(member, DataSettings(kind="segments"))


@pytest.mark.parametrize(
    ("network", "options", "message"),
    [
        ("cnn3d", {"channels": [2, 2], "dilations": [1]}, "1 dilations for 2 channels"),
        ("cnn3d", {"channels": [2, 0], "dilations": [1, 1]}, "greater than 0"),
        ("cnn3d", {"channels": [2, 2], "dilations": [1, 0]}, "greater than 0"),
        ("unet3d", {"channels": [2, 2, 2], "strides": [[1, 1, 1], [2, 2, 2]]}, "2 strides for 3 channels"),
        ("unet3d", {"channels": [2, 2, 2], "strides": [[1, 1, 1], [0, 2, 2], [2, 2, 2]]}, "greater than 0"),
        ("unet3d", {"channels": [2, 2], "strides": [[1, 1, 1], [2, 2, 2]]}, "at least 3 items"),
        ("unetr", {"hidden_size": 100, "num_heads": 12}, "100.*12"),
        ("unet3d", {**LEVELS, "deep_supervision": 2}, "deep_supervision 2 with 3 levels; set it to at most 1"),
        ("resenc_unet", {**LEVELS, "blocks": [1, 1]}, "2 blocks for 3 channels"),
        ("resenc_unet", {**LEVELS, "blocks": [1, 1, 1], "deep_supervision": 2}, "at most 1"),
        ("segresnet", {"filters": 12}, "12.*8"),
        ("segresnet", {"blocks_up": [1, 1]}, "2 blocks_up for 4 blocks_down"),
        ("swinunetr", {"feature_size": 40}, "multiple of 12"),
        ("primus", {"dim": 400, "heads": 6}, "400 is no multiple of 36, 6 . heads; set it to 396 or 432"),
        ("primus", {"token_vox": [1, 1, 1]}, "every voxel a token"),
        ("primus", {"token_vox": [8, 8, 6]}, "1, 2, 4, 8, 16 or 32"),
        ("resnet3d", {"depth": 51}, "18, 34, 50"),
        ("timesformer", {"classes": 15}, "15 is no square number; set it to 9 or 16"),
        ("timesformer", {"dim_head": 6}, "multiple of 4"),
        ("stem3d_unet2d", {"channels": [2, 2, 2], "strides": [1, 2]}, "2 strides for 3 channels"),
        ("stem3d_unet2d", {"channels": [2, 2, 2], "strides": [1, 2, 2], "blocks": [1]}, "1 blocks for 3 channels"),
        ("stem3d_unet2d", {"segformer_channels": [32, 64, 161, 256]}, "no multiples of .1, 2, 5, 8."),
    ],
)
def test_options_that_contradict_each_other_are_refused_before_anything_is_built(
    network: str, options: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        check_member(MemberSettings(network=network, options=options, patch_size=(16, 32, 32)), DEPTH)


@pytest.mark.parametrize("auto_pad", [False, True])
def test_a_patch_that_leaves_one_voxel_to_normalise_is_refused(auto_pad: bool) -> None:
    options = {"channels": [2, 4, 4], "strides": [[1, 1, 1], [2, 2, 2], [4, 4, 4]]}
    too_small = MemberSettings(network="unet3d", options=options, patch_size=(8, 8, 8), auto_pad=auto_pad)
    with pytest.raises(InputError, match="one voxel"):
        check_member(too_small, DEPTH)


def test_checking_settings_loads_no_torch() -> None:
    program = (
        "import sys; from scroll.config.schema import DataSettings, MemberSettings; from stage1_3d.network import check_member;"
        "from stage1_3d.models import NETWORKS;"
        "[check_member(MemberSettings(network=n, patch_size=(64, 64, 64)), DataSettings(depth=(0, 64))) for n in NETWORKS];"
        "print(sorted({'torch', 'monai'} & set(sys.modules)))"
    )
    message = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert message.strip() == "[]"


def test_the_linear_network_is_the_winners_and_a_head_of_33_more_weights() -> None:
    network = build_network(ZOO["cnn3d, linear"])
    assert sum(p.numel() for p in network.parameters()) == 18_312 + 33  # 18,312: the first stage of 2023
    ct, other = torch.randn(2, 1, 1, 5, 7, 9, dtype=torch.float64)
    network = network.double()
    with torch.no_grad():
        sums = network(ct + other) + network(torch.zeros_like(ct)), network(ct) + network(other)
    torch.testing.assert_close(*sums)


@pytest.mark.parametrize("name", ["unet3d, deeply supervised", "resenc_unet, deeply supervised"])
class TestDeepSupervision:
    def test_levels_are_padded_and_cut_back_alike(self, name: str) -> None:
        padded = oddly_cut(ZOO[name], auto_pad=True)
        ct = torch.randn(2, 1, *padded.patch_size)
        levels = build_network(padded)(ct)
        assert [logits.shape for logits in levels] == [ct.shape] * 2

    def test_a_coarser_level_is_smooth_between_its_voxels(self, name: str) -> None:
        """Of a level at half the size, a voxel's value is not repeated but goes over into the next one's."""
        options = ZOO[name].options | {"strides": [[1, 1, 1], [2, 2, 2], [2, 2, 2]]}
        with torch.no_grad():
            _, coarse = build_network(ZOO[name].model_copy(update={"options": options}))(torch.randn(1, 1, 8, 16, 24))
        steps = coarse.diff(dim=-1)[..., 1:-1]
        assert (steps.abs() > 1e-6).float().mean() > 0.99

    def test_a_network_that_has_trained_can_be_copied_and_no_head_is_idle(self, name: str) -> None:
        network = build_network(ZOO[name])
        sum(logits.sum() for logits in network(torch.randn(1, 1, 8, 16, 24))).backward()
        again = copy.deepcopy(network)
        assert all(torch.equal(again.state_dict()[key], value) for key, value in network.state_dict().items())
        heads = [p for n, p in network.named_parameters() if p.shape[:1] == (1,) and p.dim() == 5]
        assert len(heads) == 2 and all(p.grad is not None for p in heads)


def test_layers_of_the_residual_encoder_are_saved_under_one_name() -> None:
    network = build_network(ZOO["resenc_unet"])
    assert len(network.state_dict()) == len(list(network.parameters()))


@pytest.mark.parametrize(
    ("name", "sha256_of_names", "size"),
    [
        ("resenc_unet", "ac375c48cd603a9c", 485.3282),
        ("resenc_unet, deeply supervised", "4fcbb98d20dd0149", 385.0383),
        ("stem3d_unet2d", "e883897fef12224f", 322.1876),
        ("stem3d_unet2d, coarse", "e883897fef12224f", 322.1876),
    ],
)
def test_u_nets_with_a_residual_encoder_begin_as_they_always_did(name: str, sha256_of_names: str, size: float) -> None:
    torch.manual_seed(0)
    state = build_network(ZOO[name]).state_dict()
    names = "\n".join(f"{key} {tuple(tensor.shape)}" for key, tensor in state.items())
    assert hashlib.sha256(names.encode()).hexdigest()[:16] == sha256_of_names
    assert sum(float(t.double().abs().sum()) for t in state.values()) == pytest.approx(size, abs=1e-3)

"""Networks that return one map of the sheet: said of every layer alike, learnt, planned, and refused where a map has no meaning."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from scroll.config.schema import DataSettings, MemberSettings, Settings, WindowSettings
from scroll.errors import InputError
from scroll.inference.sliding_window import Corner, Sweep, predict
from scroll.planning.machine import GPUS, Machine
from scroll.training.losses import pool_depth
from stage1_3d.memory.plan import plan_members
from stage1_3d.memory.trace import footprint_of
from stage1_3d.models import MAPS, NETWORKS, timesformer
from stage1_3d.models.depth_fusion import DepthFusion
from stage1_3d.network import build_network, check_member
from stage1_3d.train import loss_of

DEPTH = DataSettings(depth=(0, 64))
GRAND_PRIZE = {  # its names are those of the package
    "dim": 512, "image_size": 64, "patch_size": 16, "num_frames": 26, "num_classes": 16, "channels": 1, "depth": 8, "heads": 6,
    "dim_head": 64, "attn_dropout": 0.1, "ff_dropout": 0.1,
}  # fmt: skip


def member(network: str, patch_size: tuple[int, int, int], **options: object) -> MemberSettings:
    return MemberSettings(network=network, options=options, patch_size=patch_size)


SMALL = {
    "resnet3d": member("resnet3d", (6, 64, 64), depth=18, width=0.125),
    "resnet3d, attending to depth": member("resnet3d", (6, 64, 64), depth=18, width=0.125, decoder="3d"),
    "timesformer": member("timesformer", (6, 64, 64), dim=32, depth=2, heads=2, dim_head=16),
    "stem3d_unet2d": member(
        "stem3d_unet2d", (6, 64, 64), stem_channels=4, channels=[8, 8, 8], strides=[1, 2, 2], blocks=[1, 1, 1]
    ),
    "stem3d_unet2d, segformer": member(
        "stem3d_unet2d", (6, 64, 64), body="segformer", stem_channels=4, segformer_depths=[1, 1, 1, 1],
        segformer_channels=[8, 16, 20, 32], segformer_decoder=16,
    ),
}  # fmt: skip


@pytest.fixture(params=list(SMALL))
def one(request: pytest.FixtureRequest) -> MemberSettings:
    torch.manual_seed(0)
    return SMALL[request.param]


class TestEveryMapNetwork:
    def test_what_is_said_of_the_sheet_is_said_of_every_layer(self, one: MemberSettings) -> None:
        check_member(one, DEPTH)
        network, ct = build_network(one).eval(), torch.randn(2, 1, *one.patch_size)
        with torch.no_grad():
            logits, sheet = network(ct), network.sheet_map(ct)
        assert logits.shape == ct.shape and sheet.shape[:2] == (2, 1)
        assert (logits == logits[:, :, :1]).all() and logits.std() > 0
        size = one.patch_size[1:]
        grown = functional.interpolate(sheet, size=size, mode="bilinear", align_corners=False)
        torch.testing.assert_close(logits[:, :, 0], sheet if sheet.shape[-2:] == size else grown)

    @pytest.mark.parametrize("how", ["max", "mean", "logsumexp", "topk"])
    def test_whatever_the_pooling_over_depth_it_gives_the_map_back(self, one: MemberSettings, how: str) -> None:
        with torch.no_grad():
            logits = build_network(one).eval()(torch.randn(1, 1, *one.patch_size))
        torch.testing.assert_close(pool_depth(logits, how), logits[:, :, 0])

    def test_it_learns_where_a_layer_is_bright(self, one: MemberSettings) -> None:
        network, draw = build_network(one).train(), torch.Generator().manual_seed(0)
        ink = torch.rand(8, 1, 4, 4, generator=draw) < 0.4  # fields of 16 x 16 pixels: what all of them can tell apart
        ink = functional.interpolate(ink.float(), scale_factor=16).bool()  # (8, 1, 64, 64)
        ct = 0.3 * torch.randn(8, 1, *one.patch_size, generator=draw)
        ct[:, :, 2] += 2 * ink
        batch = {"ct": ct, "target": ink[:, 0], "ignore": torch.zeros(8, 64, 64, dtype=torch.bool)}
        optimiser, losses = torch.optim.AdamW(network.parameters(), lr=5e-3), []
        for _ in range(25):
            loss = loss_of(one)(network, batch)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
        assert np.mean(losses[-3:]) < 0.75 * losses[0]
        with torch.no_grad():
            logits = network(ct)[:, :, 0]
        assert logits[ink].mean() > logits[~ink].mean() + 1

    def test_windows_blend_into_a_volume_of_layers_that_are_alike(self, one: MemberSettings) -> None:
        network = build_network(one).eval()
        ct = np.random.default_rng(0).standard_normal((6, 80, 112), np.float32)
        found: list[np.ndarray] = []

        def read(corner: Corner) -> np.ndarray:
            return ct[tuple(slice(c, c + p) for c, p in zip(corner, one.patch_size, strict=True))][None]

        sweep = Sweep(ct.shape, one.patch_size, WindowSettings(tta="none"), (0, 80))
        predict(sweep, read, network, lambda row, rows: found.append(rows), None)
        prob = np.concatenate(found, axis=-2)[0]
        assert prob.shape == ct.shape and prob.std() > 0
        np.testing.assert_allclose(prob, np.broadcast_to(prob[:1], prob.shape), atol=1e-6)

    @pytest.mark.parametrize("is_mixed", [False, True])
    def test_its_memory_is_planned_without_running_it(self, one: MemberSettings, is_mixed: bool) -> None:
        small, large = (footprint_of(one, is_mixed).at(batch).total for batch in (2, 8))
        assert 0 < small < large

    def test_in_scroll_space_and_voxel_by_voxel_it_is_refused(self, one: MemberSettings) -> None:
        for supervision, kind in (("band", "fragments"), ("band", "segments"), ("depth_pool", "cubes")):
            voxelwise, data = (
                one.model_copy(update={"supervision": supervision}),
                DataSettings(kind=kind, depth=(0, 64)),
            )
            with pytest.raises(
                InputError, match=f"of a flattened sheet.*but they are {supervision} and {kind}"
            ) as error:
                check_member(voxelwise, data)
            assert "\n" not in str(error.value)


def test_the_networks_that_return_a_map_are_tested_here() -> None:
    assert {one.network for one in SMALL.values()} == set(MAPS) <= set(NETWORKS)


def test_checking_them_loads_no_library_of_theirs() -> None:
    program = (
        "import sys; from scroll.config.schema import DataSettings, MemberSettings; from stage1_3d.network import check_member;"
        "from stage1_3d.models import MAPS;"
        "[check_member(MemberSettings(network=n, patch_size=(64, 64, 64)), DataSettings(depth=(0, 64))) for n in MAPS];"
        "print(sorted({'torch', 'transformers', 'timesformer_pytorch', 'dynamic_network_architectures'} & set(sys.modules)))"
    )
    message = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert message.strip() == "[]"


@pytest.mark.parametrize(
    ("network", "patch"), [("resnet3d", (8, 32, 32)), ("stem3d_unet2d", (40, 16, 16)), ("timesformer", (8, 64, 32))]
)
def test_a_patch_that_no_divisor_can_refuse_is_refused_before_anything_is_built(
    network: str, patch: tuple[int, int, int]
) -> None:
    with pytest.raises(InputError, match=r"normalising needs two; make|as many pixels in y as in x") as error:
        check_member(member(network, patch), DEPTH)
    assert "\n" not in str(error.value)


def test_the_planner_tries_no_patch_that_the_network_refuses() -> None:
    """Half of (8, 32, 32) has one pixel at the coarsest level: tracing it would fail where nothing is left to normalise."""
    options = SMALL["stem3d_unet2d"].options | {"strides": [2, 2, 4]}
    requested = Settings.model_validate(
        {
            "run_dir": "runs/x",
            "data": {"depth": (-4, 4)},
            "stage1": {"members": {"a": {"network": "stem3d_unet2d", "options": options, "patch_size": (8, 32, 32)}}},
        }
    )
    (plan,) = plan_members(
        requested, Machine(replace(GPUS["t4"], gib=0.2))
    )  # where nothing fits, smaller patches are tried
    assert plan.chosen is None and "does not fit" in plan.why[0]


# ---- timesformer


def test_the_timesformer_says_what_the_package_says_with_the_same_weights() -> None:
    from timesformer_pytorch import TimeSformer

    torch.manual_seed(0)
    ours = build_network(member("timesformer", (26, 64, 64))).eval()
    theirs = TimeSformer(**GRAND_PRIZE).eval()
    theirs.load_state_dict({name.removeprefix("backbone."): tensor for name, tensor in ours.state_dict().items()})
    ct = torch.rand(2, 1, 26, 64, 64)
    with torch.no_grad():
        fields = theirs(ct.permute(0, 2, 1, 3, 4)).reshape(2, 1, 4, 4)
        expected = functional.interpolate(fields, size=(64, 64), mode="bilinear", align_corners=False)
        found = ours(ct)
    torch.testing.assert_close(found, expected[:, :, None].expand_as(found), atol=1e-5, rtol=0)
    assert fields.std() > 0.05


def test_a_normalised_timesformer_has_the_names_of_the_public_one() -> None:
    plain, more = (
        set(
            build_network(
                member("timesformer", (26, 64, 64), dim=8, depth=1, heads=1, dim_head=4, input_norm=norm)
            ).state_dict()
        )
        for norm in (False, True)
    )
    assert {name.partition(".")[0] for name in plain} == {"backbone"}
    wanted = {"cls_token", "to_patch_embedding.weight", "layers.0.0.fn.to_qkv.weight", "to_out.1.bias"}
    assert {f"backbone.{name}" for name in wanted} <= plain
    names = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    assert more - plain == {f"normalization.{name}" for name in names}


def test_without_the_package_one_line_says_how_to_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, timesformer.PACKAGE, None)
    for refuse in (lambda: check_member(SMALL["timesformer"], DEPTH), lambda: build_network(SMALL["timesformer"])):
        with pytest.raises(InputError, match="run pip install timesformer-pytorch") as error:
            refuse()
        assert "\n" not in str(error.value)


def test_another_size_than_it_was_built_for_is_refused() -> None:
    network = build_network(SMALL["timesformer"])
    with pytest.raises(ValueError, match=r"built for 64 x 64 pixels, got \(32, 32\)"):
        network(torch.zeros(1, 1, 6, 32, 32))


# ---- stem3d_unet2d


def test_the_stem_gives_sums_by_attention_then_maxima() -> None:
    torch.manual_seed(0)
    stem, ct = DepthFusion(3), torch.randn(2, 1, 5, 6, 7)
    with torch.no_grad():
        stem.attention_logits.weight.normal_()
        stem.attention_logits.bias.normal_()
        found, seen = stem(ct).numpy(), stem.features(ct).numpy()  # (B, 6, Y, X), (B, 3, Z, Y, X)
    weight, bias = (tensor.detach().numpy().reshape(-1) for tensor in stem.attention_logits.parameters())
    scores = np.exp((seen * weight[:, None, None, None]).sum(1) + bias)  # (B, Z, Y, X)
    share = scores / scores.sum(1, keepdims=True)
    np.testing.assert_allclose(found[:, :3], (seen * share[:, None]).sum(2), atol=1e-5)
    np.testing.assert_array_equal(found[:, 3:], seen.max(2))


def test_the_stems_attention_begins_as_a_plain_mean() -> None:
    stem, ct = DepthFusion(3), torch.randn(1, 1, 5, 6, 7)
    with torch.no_grad():
        torch.testing.assert_close(stem(ct)[:, :3], stem.features(ct).mean(2))


@pytest.mark.parametrize(("name", "coarser"), [("stem3d_unet2d", 1), ("stem3d_unet2d, segformer", 4)])
def test_either_body_reads_a_sheet_and_is_saved_under_one_name(name: str, coarser: int) -> None:
    network = build_network(SMALL[name])
    with torch.no_grad():
        assert network.sheet_map(torch.randn(1, 1, 6, 64, 96)).shape == (1, 1, 64 // coarser, 96 // coarser)
    heads = {key.partition(".")[0] for key in network.state_dict()}
    assert heads == {"depth_fusion", "network"}
    kept = [tensor.data_ptr() for key, tensor in network.state_dict().items() if tensor.numel()]
    assert len(set(kept)) == len(kept)

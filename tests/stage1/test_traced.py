"""What is traced on tensors without values is what a real step on a CPU keeps, and what is planned from it is legal."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.profiler import ProfilerActivity, profile

from scroll.config.reader import load_settings
from scroll.config.schema import MemberSettings
from scroll.planning.footprint import GIB
from scroll.planning.machine import GPUS, Machine
from stage1_3d.memory.plan import legal_member, plan_members
from stage1_3d.memory.trace import counted_pass, drawn_batch, footprint_of, traced_pass
from stage1_3d.models import NETWORKS as ZOO
from stage1_3d.network import build_network, check_member
from stage1_3d.train import loss_of

LEVELS = {"channels": [8, 16, 32], "strides": [[1, 1, 1], [2, 2, 2], [2, 2, 2]]}
NETWORKS = {
    "cnn3d": {"channels": [8, 8], "dilations": [1, 2]},
    "unet3d": {**LEVELS, "deep_supervision": 1},
    "resenc_unet": {**LEVELS, "blocks": [1, 2, 2]},
    "segresnet": {"filters": 8, "blocks_down": [1, 2], "blocks_up": [1]},
    "unetr": {"feature_size": 4, "hidden_size": 24, "mlp_dim": 48, "num_heads": 3},
    "swinunetr": {"feature_size": 12, "window_size": 3},
    "primus": {"dim": 48, "depth": 2, "heads": 2},
    "resnet3d": {"depth": 50, "width": 0.125},
    "timesformer": {"dim": 48, "depth": 2, "heads": 2, "dim_head": 16},
    "stem3d_unet2d": {"stem_channels": 8, "channels": [8, 16, 32], "strides": [1, 2, 2], "blocks": [1, 2, 2]},
}
OTHERS = {
    "resnet3d, attending to depth": {"depth": 18, "width": 0.125, "decoder": "3d", "input_norm": True},
    "stem3d_unet2d, segformer": {"body": "segformer", "segformer_channels": [8, 16, 20, 32]},
}
LOSS = {"bce": 0.5, "dice": 0.5, "topology": 5, "cldice": 0.1}


def member(network: str, **changes: object) -> MemberSettings:
    return MemberSettings.model_validate(
        {
            "network": network.partition(",")[0],
            "options": (NETWORKS | OTHERS)[network],
            "patch_size": (32, 64, 64),
            "supervision": "band",
            **changes,
        }
    )


def peak(moments: list[tuple[int, ...]]) -> int:
    return max(sum(moment) for moment in moments)


def test_every_network_is_traced_here() -> None:
    assert set(NETWORKS) == set(ZOO)


@pytest.mark.parametrize("network", [*NETWORKS, *OTHERS])
def test_a_trace_is_what_a_real_step_makes_tensor_by_tensor(network: str) -> None:
    one = member(network, loss=LOSS)
    real = counted_pass(build_network(one), one, drawn_batch(one, 1), is_mixed=False)
    fake = traced_pass(one, 1, is_mixed=False)
    assert peak(fake.moments) == pytest.approx(peak(real.moments), rel=0.02)
    assert fake.flop == real.flop > 0


@pytest.mark.parametrize(
    ("network", "options"),
    [
        ("unet3d", {"channels": [32, 64, 128], "strides": LEVELS["strides"]}),
        ("unetr", {**NETWORKS["unetr"], "feature_size": 16}),
        ("swinunetr", NETWORKS["swinunetr"]),
        ("primus", NETWORKS["primus"]),
    ],
)
def test_a_trace_is_within_a_tenth_of_what_the_allocator_saw(network: str, options: dict[str, object]) -> None:
    """torch's profiler hears of every allocation, also of those that no tensor shows; narrower convolutions unfold on a CPU."""
    one = member(network, options=options)
    model, batch = build_network(one).train(), drawn_batch(one, 1)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        loss_of(one)(model, batch).backward()
    events = [(e.start_ns(), e.nbytes()) for e in seen.profiler.kineto_results.events() if e.name() == "[memory]"]
    alive = highest = sum(t.nbytes for t in [*model.parameters(), *model.buffers(), *batch.values()])
    for _, size in sorted(events):
        alive += size
        highest = max(highest, alive)
    assert peak(traced_pass(one, 1, is_mixed=False).moments) == pytest.approx(highest, rel=0.1)


@pytest.mark.parametrize(
    ("network", "options", "fp32", "mixed"),
    [
        ("unet3d", {"channels": [32, 64, 128, 256, 320], "strides": [[1, 1, 1], *[[2, 2, 2]] * 4]}, 2.17, 1.10),
        ("segresnet", {}, 2.22, 2.49),
    ],
)
def test_full_networks_take_what_an_independent_trace_found(
    network: str, options: dict[str, object], fp32: float, mixed: float
) -> None:
    """GiB a sample of 64 x 128 x 128 with BCE and Dice, as storages saved for the backward pass."""
    one = member(network, options=options, patch_size=(64, 128, 128))
    assert footprint_of(one, is_mixed=False).per_sample_gib == pytest.approx(fp32, rel=0.03)
    assert footprint_of(one, is_mixed=True).per_sample_gib == pytest.approx(mixed, rel=0.03)


def test_a_footprint_of_two_batches_tells_a_third() -> None:
    one = member("resenc_unet")
    footprint = footprint_of(one, is_mixed=True)
    kept = footprint.optimiser_gib + footprint.average_gib
    assert footprint.at(5).total - kept == pytest.approx(peak(traced_pass(one, 5, True).moments) / GIB, rel=1e-3)


@pytest.mark.parametrize(("network", "least"), [("unet3d", 0.4), ("segresnet", 0.9)])
def test_sixteen_bit_halves_what_is_kept_but_not_under_group_normalisation(network: str, least: float) -> None:
    halved, full = (footprint_of(member(network), mixed).per_sample_gib for mixed in (True, False))
    assert least < halved / full < least + 0.4


@pytest.mark.slow
def test_checkpointing_keeps_less_and_computes_more() -> None:
    on, off = (
        footprint_of(
            member("swinunetr", patch_size=(32, 32, 64), options=NETWORKS["swinunetr"] | {"checkpointing": c}), True
        )
        for c in (True, False)
    )
    assert on.per_sample_gib < off.per_sample_gib and on.work.flop > off.work.flop


def test_passes_that_accumulate_hold_all_gradients_from_the_start() -> None:
    once, twice = (
        traced_pass(member("unet3d", training={"accumulate_steps": steps}), 2, False).moments[0] for steps in (1, 2)
    )
    assert once[1] == 0 and twice[1] == twice[0]


@settings(max_examples=2, deadline=None)
@given(z=st.integers(1, 3), y=st.integers(1, 3), more=st.integers(1, 3))
def test_the_peak_grows_with_the_patch(z: int, y: int, more: int) -> None:
    small, large = (
        footprint_of(member("unet3d", patch_size=(4 * z, 4 * y, 16 * x)), True).at(2).total for x in (1, 1 + more)
    )
    assert small < large


CONFIG = """
run_dir: runs/x
data: {kind: segments}
stage1:
  defaults: {supervision: band, patch_size: [20, 40, 40], training: {train_batch_size: 4}}
  members:
    unet3d: {network: unet3d}
    cnn3d: {network: cnn3d}
"""


def test_what_is_planned_is_legal_on_every_card(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text(CONFIG)
    requested = load_settings(tmp_path / "run.yaml")
    batches = []
    for gib in (1.19, 1.4, 16):
        plans = plan_members(requested, Machine(replace(GPUS["t4"], gib=gib)))
        assert plans[0].changed.get("patch_size") == [24, 40, 40] and "multiples of (8, 8, 8)" in plans[0].why[0]
        batches.append([plan.batch for plan in plans])
        for plan in plans:
            assert plan.chosen is not None
            merged = requested.stage1.members[plan.name].model_copy(update={"patch_size": plan.chosen.patch})
            check_member(merged, requested.data)
    assert batches == sorted(batches) and batches[-1] == [4, 4] and batches[0] < [4, 4]


def test_a_patch_is_made_smaller_where_the_layers_are_too_few(tmp_path: Path) -> None:
    text = CONFIG.replace("kind: segments", "depth: [-11, 11]")
    (tmp_path / "run.yaml").write_text(text)
    requested = load_settings(tmp_path / "run.yaml")
    assert legal_member(requested.stage1.members["unet3d"], requested.data).patch_size == (16, 40, 40)

"""Plans: what fits is worked out by hand, more memory never gives less, and a plan is laid over a configuration and kept."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st

from scroll.config.reader import load_settings, save_run_settings
from scroll.config.schema import MemberSettings
from scroll.errors import InputError, MissingInputError
from scroll.planning.cuda_autocast import cuda_rules
from scroll.planning.footprint import GIB, Footprint, Work, footprint
from scroll.planning.live_memory import LiveMemory
from scroll.planning.machine import GPUS, Machine, gpu_named, precision_on
from scroll.planning.member_plan import Candidate, Case, MemberPlan, plan_member
from scroll.planning.overlay import plan_text
from scroll.planning.step_time import (
    Range,
    gigavoxel_time,
    gigavoxels_in,
    maps_gib,
    time_of,
    topology_time,
    workers_for,
)

CONFIG = """
run_dir: {run_dir}
stage1:
  defaults: {{patch_size: [16, 64, 64], training: {{train_batch_size: 8, accumulate_steps: 1}}}}
  members:
    a: {{network: unet3d}}
    b: {{network: swinunetr, patch_size: [32, 64, 64], options: {{feature_size: 24}}, auto_pad: true}}
"""
WORK = Work(1e12, 1e9)


def gib(*numbers: float) -> tuple[float, ...]:
    return tuple(number * GIB for number in numbers)


def needing(fixed_gib: float, each_gib: float, work: Work = WORK) -> Footprint:
    """A network without parameters whose peak is as said."""
    return Footprint(0, 0.0, 0.0, 0.0, ((gib(0, 0, 0, fixed_gib), gib(0, 0, 0, each_gib)),), work, work)


def planned(gpu_gib: float, each_gib: float, requested: int = 4, accumulate: int = 1, **changes: object) -> MemberPlan:
    member = MemberSettings.model_validate(
        {
            "network": "any",
            "patch_size": (16, 64, 64),
            "training": {"train_batch_size": requested, "accumulate_steps": accumulate, "loader": {"workers": 4}},
            **changes,
        }
    )

    def candidate(patch: tuple[int, int, int], checkpointing: bool | None) -> Candidate:
        share = patch[0] * patch[1] * patch[2] / 16 / 64 / 64
        return Candidate(patch, patch, None, needing(0.5, each_gib * share))

    machine = Machine(replace(GPUS["t4"], gib=gpu_gib))
    return plan_member(Case("a", member, candidate, (16, 32, 32), 3), machine)


class TestMemory:
    def test_the_largest_batch_is_that_of_the_formula(self) -> None:
        # 22.5 / 1.10 - 0.8 = 19.6545 GiB; less 0.5 fixed, 2.17 a sample: 8.82
        assert needing(0.5, 2.17).largest_batch(GPUS["4090"].for_tensors_gib) == 8
        assert GPUS["a100"].for_tensors_gib == pytest.approx(78 / 1.10 - 0.8)
        assert needing(0.5, 13.0).largest_batch(GPUS["t4"].for_tensors_gib) == 0

    def test_a_peak_is_the_highest_moment_and_moves_with_the_batch(self) -> None:
        many, few = (gib(0, 3, 0, 0), gib(0, 0, 0, 1)), (gib(0, 0, 0, 0), gib(0, 0, 0, 2))
        one = Footprint(0, 0.0, 0.0, 0.0, (many, few), WORK, WORK)
        assert one.at(1).total == pytest.approx(4) and one.at(1).gradients == pytest.approx(3)
        assert one.at(5).total == pytest.approx(10) and one.at(5).gradients == 0
        assert one.largest_batch(8.9) == 4 and one.per_sample_gib == pytest.approx(2)

    def test_adam_holds_two_numbers_for_each_weight_and_the_average_one(self) -> None:
        moments = [(4 * 10, 4 * 10, 8 * b, 100 * b) for b in (2, 3)]
        found = footprint(10, "adamw", [(2, [moments[0]]), (3, [moments[1]])], WORK, WORK)
        held = found.at(5)
        assert held.optimiser * GIB == pytest.approx(80) and held.average * GIB == pytest.approx(40)
        assert held.activations * GIB == pytest.approx(500) and held.inputs * GIB == pytest.approx(40)
        assert held.total * GIB == pytest.approx(40 + 40 + 80 + 40 + 540)

    def test_in_a_small_batch_the_optimisers_own_step_is_the_peak(self) -> None:
        found = footprint(1000, "adamw", [(2, [(4000, 0, 2, 2)]), (3, [(4000, 0, 3, 3)])], WORK, WORK)
        assert found.at(1).total * GIB == pytest.approx(4000 * 6 + 1)  # weights, gradients, state twice, average, root

    def test_a_network_that_does_other_things_in_another_batch_is_refused(self) -> None:
        with pytest.raises(InputError, match="depends on the batch"):
            footprint(1, "adamw", [(2, [(0, 0, 0, 1)]), (3, [])], WORK, WORK)

    def test_live_memory_counts_what_is_alive_and_forgets_what_is_gone(self) -> None:
        with LiveMemory() as live:
            kept = torch.zeros(256)
            gone = torch.zeros(1024)
            view = kept.view(16, 16)
            del gone
            product = view @ view
        assert [sum(moment) for moment in live.moments] == [1024, 1024 + 4096, 2048]
        assert product.shape == (16, 16) and live.flop == 2 * 16**3

    def test_attention_in_one_operation_is_counted_as_in_several(self) -> None:
        torch.manual_seed(0)
        query, key, value = (torch.randn(2, 3, n, 8, requires_grad=True) for n in (12, 20, 20))
        with LiveMemory() as fused:
            torch.nn.functional.scaled_dot_product_attention(query, key, value).sum().backward()
        products = 2 * (2 * 3 * 12 * 20 * 8)  # of the scores; as many of the sums of values
        assert fused.flop == 7 * products  # two products forward; four back, and the scores once more
        with LiveMemory() as apart:
            ((query @ key.transpose(-1, -2)).softmax(-1) @ value).sum().backward()
        assert apart.flop == 6 * products

    def test_autocast_by_cudas_rules_normalises_in_32_bit_and_goes_when_left(self) -> None:
        values = torch.ones(2, 4, dtype=torch.bfloat16)
        with cuda_rules(), torch.autocast("cpu", torch.bfloat16):
            assert torch.softmax(values, 1).dtype == torch.float32
            assert torch.nn.functional.group_norm(values, 2).dtype == torch.float32
            assert (values @ values.T).dtype == torch.bfloat16
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.softmax(values, 1).dtype == torch.bfloat16


class TestPlan:
    def test_a_request_that_fits_is_left_alone(self) -> None:
        plan = planned(16, 1.0)
        assert (plan.verdict, plan.batch, plan.accumulate_steps) == ("fits", 4, 1)
        assert plan.changed == {"training": {"precision": "fp16"}}

    def test_what_does_not_fit_in_one_pass_is_gathered_in_several(self) -> None:
        plan = planned(16, 4.0, requested=4, accumulate=2)  # (12.65 - 0.5) / 4: 3 by the trace, 2 trusted
        assert (plan.verdict, plan.largest, plan.batch, plan.accumulate_steps) == ("too large", 3, 2, 4)
        assert plan.held and plan.held.total == pytest.approx(8.5)

    def test_a_smaller_patch_comes_last(self) -> None:
        plan = planned(16, 14.0, requested=2)
        assert plan.chosen and plan.chosen.patch == (16, 32, 32)
        assert plan.changed["patch_size"] == [16, 32, 32]
        assert planned(16, 60.0).chosen is None

    @given(
        small=st.floats(4, 60), more=st.floats(0, 60), each=st.floats(0.1, 20), requested=st.integers(1, 12), passes=st.integers(1, 4)
    )  # fmt: skip
    def test_more_memory_never_gives_a_smaller_patch_or_of_the_same_one_a_smaller_batch(
        self, small: float, more: float, each: float, requested: int, passes: int
    ) -> None:
        less, rich = (planned(size, each, requested, passes) for size in (small, small + more))
        if less.chosen is None:
            return
        assert rich.chosen is not None
        assert (rich.chosen.patch, rich.batch) >= (less.chosen.patch, less.batch)
        assert rich.batch * rich.accumulate_steps == requested * passes
        assert rich.held and rich.held.total <= Machine(replace(GPUS["t4"], gib=small + more)).gpu.for_tensors_gib

    @pytest.mark.parametrize(("requested", "gib", "is_on"), [(False, 80, False), (False, 16, True), (True, 80, True)])
    def test_checkpointing_is_as_requested_unless_the_other_way_holds_more(
        self, requested: bool, gib: float, is_on: bool
    ) -> None:
        member = MemberSettings(network="any", patch_size=(16, 64, 64))
        by_way = {True: needing(0.5, 4.0, Work(1.3e12, 1e9)), False: needing(0.5, 11.0)}

        def candidate(patch: tuple[int, int, int], checkpointing: bool | None) -> Candidate:
            way = requested if checkpointing is None else checkpointing
            return Candidate(patch, patch, way, by_way[way])

        plan = plan_member(Case("a", member, candidate, None, 3), Machine(replace(GPUS["t4"], gib=gib)))
        assert plan.chosen and plan.chosen.checkpointing is is_on and plan.batch == 2
        assert plan.changed.get("options") == ({"checkpointing": is_on} if is_on != requested else None)
        assert any(message.startswith(f"checkpointing {'on' if is_on else 'off'}") for message in plan.why)

    def test_loading_that_was_measured_says_how_many_workers(self) -> None:
        member = MemberSettings(network="any", patch_size=(16, 64, 64))

        def candidate(patch: tuple[int, int, int], checkpointing: bool | None) -> Candidate:
            return Candidate(patch, patch, None, needing(0.5, 1.0, Work(6.5e12, 1e9)))  # 0.2 s at best

        for loading_s, cpus, workers in ((0.5, 12, 3), (0.5, 2, 1), (9.0, 12, 11)):
            plan = plan_member(Case("a", member, candidate, None, 3, loading_s), Machine(GPUS["t4"], cpus))
            assert plan.workers == workers and plan.changed["training"]["loader"] == {"workers": workers}

    def test_no_card_is_asked_for_what_it_has_not(self) -> None:
        assert planned(16, 1.0, training={"precision": "bf16"}).precision == "fp16"
        assert precision_on(GPUS["h100"], "auto") == "bf16"

    def test_cards_are_known_by_name_or_by_memory(self) -> None:
        assert gpu_named("A100") is GPUS["a100"]
        assert gpu_named("a100:40").gib == 40 and gpu_named("a100:40").has_bf16
        assert gpu_named("l4:24").usable_gib == pytest.approx(22.5)
        for wrong in ("l4", "l4:", "l4:much", "l4:0.1"):
            with pytest.raises(InputError, match="--gpu"):
                gpu_named(wrong)


class TestTime:
    def test_a_step_lies_between_the_peaks(self) -> None:
        # T4, fp16: 6.5 TFLOP at half of 65 TFLOP/s: 0.2 s; 64 GB at 0.8 of 320 GB/s: 0.25 s; worst: 6.5 / 9.75 + 64 / 128
        found = time_of(Work(3.25e12, 32e9), 2, GPUS["t4"], "fp16")
        assert found.low == pytest.approx(0.25) and found.high == pytest.approx(6.5 / 9.75 + 0.5)

    def test_a_small_network_waits_for_its_launches(self) -> None:
        found = time_of(Work(1e6, 1e6, 1000), 2, GPUS["h100"], "bf16")
        assert found.low == pytest.approx(5e-3) and found.high == pytest.approx(30e-3, rel=0.01)

    def test_topology_is_counted_on_the_cpu_and_only_where_it_is_asked_for(self) -> None:
        assert topology_time(2**20, 5.0) == Range(0.08, 0.2)
        assert topology_time(2**20, 0.0) == Range(0.0, 0.0)

    def test_workers_keep_up_with_the_card(self) -> None:
        assert workers_for(1.0, 0.3) == 4 and workers_for(0.01, 1.0) == 1

    def test_a_gigavoxel_is_seen_by_every_window_view_and_fold(self) -> None:
        each = gigavoxel_time(Range(1e-9, 2e-9), (0.5, 0.5, 0.5), views=4, folds=3)
        assert each.low == pytest.approx(8 * 4 * 3) and each.high == pytest.approx(2 * each.low)
        assert gigavoxels_in(960, [each]).high == pytest.approx(10)
        assert maps_gib(2**30, 3) == 6


class TestOverlay:
    def test_a_plan_is_laid_over_a_configuration_and_a_later_override_over_the_plan(self, tmp_path: Path) -> None:
        config, plan = _written(tmp_path)
        settings = load_settings(config, [f"@{plan}", "stage1.members.a.training.accumulate_steps=3"])
        training = settings.stage1.members["a"].training
        assert (training.train_batch_size, training.accumulate_steps, training.precision) == (2, 3, "fp16")
        assert settings.stage1.members["b"].options == {"feature_size": 24, "checkpointing": True}
        assert settings.plan["stage1.members.a.training.train_batch_size"] == (8, 2)
        assert load_settings(config).plan == {}

    def test_request_and_plan_are_both_kept_and_give_the_same_run_again(self, tmp_path: Path) -> None:
        config, plan = _written(tmp_path)
        settings = load_settings(config, [f"@{plan}"])
        save_run_settings(settings)
        kept = settings.run_dir
        assert load_settings(kept / "settings.yaml") == settings
        assert load_settings(kept / "wish.yaml") == load_settings(config)
        again = load_settings(kept / "wish.yaml", [f"@{kept / 'plan.yaml'}"])
        assert again == settings
        json.dumps(settings.model_dump(mode="json")["plan"])

    def test_without_a_plan_settings_alone_are_kept(self, tmp_path: Path) -> None:
        config, _ = _written(tmp_path)
        save_run_settings(load_settings(config))
        assert [path.name for path in load_settings(config).run_dir.iterdir()] == ["settings.yaml"]

    def test_a_plan_that_is_none_is_refused_in_one_line(self, tmp_path: Path) -> None:
        config, plan = _written(tmp_path)
        with pytest.raises(MissingInputError, match=r"scripts/plan\.py"):
            load_settings(config, ["@nowhere.yaml"])
        plan.write_text("extends: run.yaml\n")
        with pytest.raises(InputError, match="extends none"):
            load_settings(config, [f"@{plan}"])

    def test_what_is_written_is_what_was_planned_with_its_reasons(self) -> None:
        plan, lost = planned(16, 4.0), replace(planned(16, 60.0), name="b")
        text = plan_text([plan, lost], Machine(GPUS["t4"]), "configs/x.yaml")
        assert yaml.safe_load(text) == {"stage1": {"members": {"a": plan.changed}}}
        assert all(f"# {message}" in text for message in plan.why) and "b: does not fit" in text
        assert yaml.safe_load(plan_text([lost], Machine(GPUS["t4"]), "x")) == {}


def _written(folder: Path) -> tuple[Path, Path]:
    config, plan = folder / "run.yaml", folder / "planned.yaml"
    config.write_text(CONFIG.format(run_dir=folder / "run"))
    changed = {"a": {"training": {"precision": "fp16", "train_batch_size": 2, "accumulate_steps": 4}}}
    changed["b"] = {"options": {"checkpointing": True}}  # type: ignore[dict-item]
    plan.write_text(yaml.safe_dump({"stage1": {"members": changed}}))
    return config, plan

"""What planning or tuning chose, as YAML that a human reads and changes, laid over a configuration with `--set @file`; and all trials."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import yaml

from scroll.planning.machine import Machine
from scroll.planning.member_plan import MemberChanges, MemberPlan
from scroll.planning.step_time import in_hours, in_seconds
from scroll.planning.tuning import Setting, Trial, Tuned

LAY = "# Lay it over the configuration: make stage1 CONFIG=... PLAN=this file, or --set @this file; change what you know better."
COLUMNS = (
    "phase", "batch", "accumulate", "workers", "prefetch", "persistent", "step_s", "patches/s", "waiting", "peak_gib",
    "allocated_gib", "workers_gib", "message",
)  # fmt: skip


def table(trials: Sequence[Trial], chosen: Trial | None = None) -> str:
    """The trials as Markdown, the chosen one marked."""
    rows = [COLUMNS, ("---",) * len(COLUMNS), *(_cells(trial, trial is chosen) for trial in trials)]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _cells(trial: Trial, is_chosen: bool) -> tuple[str, ...]:
    setting = trial.setting
    measured = ("-",) * 3
    if not trial.failure:
        measured = (f"{trial.step_s:.4g}", f"{trial.patches_a_s:.4g}", f"{trial.wait_share:.0%}")
    return (
        trial.phase, str(setting.batch), str(setting.accumulate_steps), str(setting.workers), str(setting.prefetch),
        "yes" if setting.is_persistent else "no", *measured, f"{trial.peak_gib:.2f}",
        "-" if trial.allocated_gib is None else f"{trial.allocated_gib:.2f}", f"{trial.workers_gib:.2f}",
        trial.failure or ("chosen" if is_chosen else ""),
    )  # fmt: skip


class Member(NamedTuple):
    """A member's block: the reasons, and what it changes; None, where it is left as it is, which `left` then says."""

    name: str
    why: Sequence[str]
    changed: MemberChanges | None
    left: str = "left as it is"


def overlay_text(head: Sequence[str], members: Iterable[Member]) -> str:
    """The settings of every member that has some, each below its reasons; `head` are comments."""
    members = list(members)
    lines = [*head, *(["stage1:", "  members:"] if any(one.changed for one in members) else ["{}"])]
    for name, why, changed, left in members:
        lines.append(f"    {name}:" if changed else f"    # {name}: {left}")
        lines += [f"      # {line}" for line in why]
        if changed:
            settings = yaml.safe_dump(changed, sort_keys=False, default_flow_style=None)
            lines += [f"      {line}" for line in settings.rstrip().splitlines()]
    return "\n".join(lines) + "\n"


def plan_text(plans: Sequence[MemberPlan], machine: Machine, config: str) -> str:
    """A plan; a member that does not fit has its reasons alone, and keeps the configuration's settings."""
    gpu = machine.gpu
    head = [
        f"# A plan for {config}, made by scripts/plan.py.",
        f"# For {gpu.name} ({gpu.gib:g} GB), {machine.cpus} CPUs, {machine.ram_gb:g} GB of RAM.",
        LAY,
        "# Memory is traced without cuDNN's workspace; times are ranges from data sheets.",
        "# Try batches for a hundred steps, then workers, then prefetching; after a failure go back to the last good setting.",
    ]
    return overlay_text(head, map(_planned, plans))


def _planned(plan: MemberPlan) -> Member:
    if plan.chosen is None:
        return Member(plan.name, plan.why, None, "does not fit; left as it is")
    times = f"a step {in_seconds(plan.step_s)}, all folds {in_hours(plan.total_s)}, waiting for patches left out"
    return Member(plan.name, [*plan.why, times], plan.changed)


def tuned_text(found: Mapping[str, Tuned], config: str, device: str, steps: int) -> str:
    """What was measured, with all trials below the reasons; a member that does not train is left as it is."""
    head = [f"# Measured for {config} by scripts/tune.py on {device}, {steps} steps a trial.", LAY]
    return overlay_text(head, (_tuned(name, one) for name, one in found.items()))


def _tuned(name: str, tuned: Tuned) -> Member:
    why = [*tuned.why, *table(tuned.trials, tuned.chosen).splitlines()]
    return Member(name, why, None if tuned.chosen is None else changed(tuned.chosen.setting))


def changed(setting: Setting) -> MemberChanges:
    """A setting as it stands below `stage1.members.<name>`."""
    loader = {
        "workers": setting.workers,
        "prefetch_factor": setting.prefetch,
        "persistent_workers": setting.is_persistent,
    }
    return {
        "training": {
            "train_batch_size": setting.batch,
            "accumulate_steps": setting.accumulate_steps,
            "loader": loader,
        }
    }

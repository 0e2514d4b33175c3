"""A plan as YAML that a human reads and changes, and that is laid over a configuration with `--set @plan.yaml`."""

from collections.abc import Sequence

import yaml

from scroll.planning.machine import Machine
from scroll.planning.member_plan import MemberPlan
from scroll.planning.step_time import in_hours, in_seconds


def plan_text(plans: Sequence[MemberPlan], machine: Machine, config: str) -> str:
    """The settings of all members that fit, each below the reasons for it.

    A member that does not fit has its reasons alone, and keeps the configuration's settings.
    """
    gpu = machine.gpu
    lines = [
        f"# A plan for {config}, made by scripts/plan.py.",
        f"# For {gpu.name} ({gpu.gib:g} GB), {machine.cpus} CPUs, {machine.ram_gb:g} GB of RAM.",
        "# Lay it over the configuration: make stage1 CONFIG=... PLAN=this file, or --set @this file; change what you know better.",
        "# Memory is traced without cuDNN's workspace; times are ranges from data sheets.",
        "# Try batches for a hundred steps, then workers, then prefetching; after a failure go back to the last good setting.",
    ]
    planned = any(plan.chosen for plan in plans)
    lines += ["stage1:", "  members:"] if planned else ["{}"]
    for plan in plans:
        lines += _member_lines(plan)
    return "\n".join(lines) + "\n"


def _member_lines(plan: MemberPlan) -> list[str]:
    reasons = [f"      # {said}" for said in plan.why]
    if plan.chosen is None:
        return [f"    # {plan.name}: does not fit; left as it is", *(f"    {line}" for line in reasons)]
    settings = yaml.safe_dump(plan.changed, sort_keys=False, default_flow_style=None).rstrip().splitlines()
    times = (
        f"      # a step {in_seconds(plan.step_s)}, all folds {in_hours(plan.total_s)}, waiting for patches left out"
    )
    return [f"    {plan.name}:", *reasons, times, *(f"      {line}" for line in settings)]

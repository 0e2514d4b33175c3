"""docs/configurations.md: what the shipped configurations take on cards of 16, 24 and 80 GB; made by `scripts/plan.py --document`."""

from collections.abc import Iterator
from pathlib import Path

from scroll.config.reader import load_settings
from scroll.config.schema import Settings
from scroll.planning.machine import BY_SIZE, GPUS, Machine
from scroll.planning.member_plan import MemberPlan
from scroll.planning.step_time import in_hours, in_seconds
from stage1_3d.memory.plan import plan_members

CONFIGS = (
    "baseline", "exp001_3d", "exp002_swin", "exp001_full", "winner", "surface", "ink_9um", "ink_2um", "ink_8um",
)  # fmt: skip
FOLDER = Path(__file__).resolve().parents[2] / "configs"
HEAD = """# What the configurations take

Made by `python scripts/plan.py --document`; never by hand. `python scripts/plan.py CONFIG --gpu NAME` plans any configuration for any card.

Memory is traced: the network, its loss and its backward pass run on tensors without values, and what is alive is counted,
operation by operation. It leaves out cuDNN's workspace; so a batch is trusted up to 70 % of the largest that the trace allows.
A card has for tensors what torch can have of it (14.8, 22.5, 78 GiB), divided by 1.10 for fragmentation, less 0.8 GiB: 12.7,
19.7 and 70.1 GiB. Times are ranges from data sheets (15-50 % of the peak arithmetic, 40-80 % of the memory's speed, 5-30
microseconds to launch an operation), not measurements, and leave waiting for patches out. One more sample costs "GiB a sample",
not the megabytes of its input.

Verdicts on what is requested: **fits**; *tight*: by the trace, with little to spare; **too large**. "Change" is what the plan sets instead.
"""


def document() -> str:
    """The whole page as Markdown."""
    return "\n".join([HEAD, *(line for name in CONFIGS for line in section(name))]) + "\n"


def section(name: str) -> Iterator[str]:
    """One configuration: a table with a row for each member and card."""
    settings = load_settings(FOLDER / f"{name}.yaml")
    yield f"## {name}"
    yield f"`configs/{name}.yaml`, {settings.folds.count} folds.\n"
    yield "| member | patch | card | verdict | requested batch: GiB | GiB a sample | largest batch | change | a step | all folds |"
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for member in settings.stage1.trained:
        yield from rows(settings, member)
    yield ""
    for card in BY_SIZE:
        yield f"- {GPUS[card].gib:g} GB: {_in_short(plan_members(settings, Machine(GPUS[card])))}"
    yield ""


def _in_short(plans: list[MemberPlan]) -> str:
    """What to change on one card, in one sentence."""
    changed = [f"{plan.name} ({_change(plan)})" for plan in plans if _change(plan) != "nothing"]
    if not changed:
        return "all of it as it is."
    kept = [plan.name for plan in plans if _change(plan) == "nothing"]
    return f"change {', '.join(changed)}; {', '.join(kept) or 'nothing'} as it is."


def rows(settings: Settings, member: str) -> list[str]:
    """The rows of one member, one for each card."""
    alone = settings.stage1.model_copy(update={"members": {member: settings.stage1.members[member]}})
    settings = settings.model_copy(update={"stage1": alone})
    lines = []
    for card in BY_SIZE:
        (plan,) = plan_members(settings, Machine(GPUS[card]))
        lines.append(_row(settings, plan, card))
    return lines


def _row(settings: Settings, plan: MemberPlan, card: str) -> str:
    member = settings.stage1.members[plan.name]
    patch = " x ".join(map(str, member.patch_size))
    padded = plan.requested.padded
    if padded != member.patch_size:
        patch += f" (padded to {' x '.join(map(str, padded))})"
    verdict = {"fits": "**fits**", "tight": "*tight*", "too large": "**too large**"}[plan.verdict]
    cells = [
        plan.name, patch, f"{GPUS[card].name}, {GPUS[card].gib:g} GB, {plan.precision}", verdict,
        f"{plan.requested_batch}: {plan.requested_held.total:.1f}", f"{plan.requested.footprint.per_sample_gib:.2f}",
        str(plan.largest), _change(plan),
        *(("-", "-") if plan.chosen is None else (in_seconds(plan.step_s), in_hours(plan.total_s))),
    ]  # fmt: skip
    return "| " + " | ".join(cells) + " |"


def _change(plan: MemberPlan) -> str:
    """What the plan sets other than precision and workers, in words."""
    if plan.chosen is None or plan.changed is None:
        return "a smaller network or a larger card"
    changes = []
    if "patch_size" in plan.changed:
        changes.append(f"patch {' x '.join(map(str, plan.changed['patch_size']))}")
    if "options" in plan.changed:
        changes.append(f"checkpointing {'on' if plan.changed['options']['checkpointing'] else 'off'}")
    if "train_batch_size" in plan.changed["training"]:
        changes.append(f"batch {plan.batch}, {plan.accumulate_steps} passes a step")
    return "; ".join(changes) or "nothing"

"""Which patch, batch and workers suit a machine, what memory they take and how long they run: planned without GPU or data.

    python scripts/plan.py configs/exp001_full.yaml [--gpu t4|p100|4090|a100|h100|NAME:GiB] [--cpus 12] [--ram 170] [--hours 9]
    make stage1 CONFIG=configs/exp001_full.yaml PLAN=runs/exp001_full.plan.yaml

Without --gpu: cards of 16, 24 and 80 GB (T4, RTX 4090, A100), a plan for each. `--document` writes docs/configurations.md.
"""

import argparse
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from scroll.runtime.command_line import number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scroll.config.schema import Settings
    from scroll.planning.machine import Machine
    from scroll.planning.member_plan import MemberPlan

TIMED_PATCHES = 4  # of each member, after one to warm up
DOCUMENT = Path("docs/configurations.md")


def main() -> None:
    """Print the plan for every card and write it as an overlay of the configuration."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, nargs="?", help="YAML of the run, such as configs/exp001_full.yaml")
    parser.add_argument("--gpu", action="append", default=[], metavar="NAME[:GiB]", help="a card; may be repeated")
    parser.add_argument("--cpus", type=int, default=12, help="cores of the machine")
    parser.add_argument("--ram", type=number(-1e6, 1e6), default=170.0, help="GB of RAM of the machine")
    parser.add_argument("--hours", type=number(-1e6, 1e6), default=9.0, help="that a prediction may take")
    parser.add_argument(
        "--gigavoxels", type=number(0, 1e9), help="CT to predict, in 1e9 voxels: say what of it fits in --hours"
    )
    parser.add_argument("--output", type=Path, help="plan to write; default beside run_dir, <run_dir>.plan.yaml")
    parser.add_argument(
        "--document", action="store_true", help=f"write {DOCUMENT} instead, over the shipped configurations"
    )
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a setting")
    arguments = parser.parse_args()
    from scroll.errors import InputError
    from scroll.runtime.files import write_text

    if arguments.document:
        from ensemble.commands.plan_document import document

        write_text(DOCUMENT, document())
        print(f"document: {DOCUMENT}")
        return
    if arguments.config is None:
        raise InputError("no configuration given; try scripts/plan.py configs/baseline.yaml")
    if arguments.cpus < 1 or not (arguments.ram > 0 and arguments.hours > 0):
        raise InputError("--cpus, --ram and --hours: expected at least one core, and more than 0 of the others")
    _plan(arguments)


def _plan(arguments: argparse.Namespace) -> None:
    from scroll.config.reader import load_settings
    from scroll.planning.machine import BY_SIZE, Machine, gpu_named
    from scroll.planning.overlay import plan_text
    from scroll.runtime.files import write_text
    from scroll.runtime.output_folder import PLAN, check_file
    from stage1_3d.memory.plan import plan_members

    cards = [gpu_named(name) for name in arguments.gpu or BY_SIZE]
    settings = load_settings(arguments.config, arguments.set)
    found = measured(settings)
    for line in data_lines(settings, found):
        print(line)
    for card in cards:
        machine = Machine(card, arguments.cpus, arguments.ram, arguments.hours)
        plans = plan_members(settings, machine, found.loading_s)
        print(f"\n{card.name}, {card.gib:g} GB")
        for line in [*member_lines(plans), *prediction_lines(settings, plans, machine, arguments.gigavoxels)]:
            print(line)
        out = plan_path(settings, arguments.output, card.name if len(cards) > 1 else "")
        check_file(out, PLAN)
        write_text(out, plan_text(plans, machine, str(arguments.config)))
        print(f"plan: {out}")


def plan_path(settings: "Settings", output: Path | None, card: str) -> Path:
    """Where a plan goes; with several cards each has a file of its own."""
    path = output or settings.run_dir.with_name(f"{settings.run_dir.name}.plan.yaml")
    return path.with_stem(f"{path.stem}-{card.lower().replace(' ', '-')}") if card else path


def member_lines(plans: "Sequence[MemberPlan]") -> list[str]:
    """For each member its plan in one line, its memory by cause in a second, and the reasons below."""
    from scroll.planning.step_time import in_hours, in_seconds

    lines = []
    for plan in plans:
        held = plan.held or plan.requested_held
        causes = ", ".join(f"{name} {value:.2f}" for name, value in held.__dict__.items())
        if plan.chosen is None:
            lines.append(f"  {plan.name}: does not fit, not with one sample")
        else:
            lines.append(
                f"  {plan.name}: patch {plan.chosen.patch}, batch {plan.batch} x {plan.accumulate_steps} (largest {plan.largest}), "
                f"{plan.precision}; a step {in_seconds(plan.step_s)}, all folds {in_hours(plan.total_s)}"
            )
        lines += [f"    GiB at the peak: {held.total:.2f} = {causes}", *(f"    {line}" for line in plan.why)]
    return lines


@dataclass(frozen=True)
class Measured:
    """What the data says where it is there.

    Attributes:
        loading_s: that one process takes to cut a training patch, by member.
        voxels: that are predicted out of fold; none where the kind of data does not say it at once.
    """

    loading_s: dict[str, float] = field(default_factory=dict)
    voxels: float | None = None


def measured(settings: "Settings") -> Measured:
    """A few training patches of each member, cut and timed; nothing where there is no data here."""
    import torch

    from scroll.data.folds import make_folds
    from scroll.data.kinds import kind_of
    from scroll.errors import InputError
    from scroll.training.dataloader import with_augmentation_on
    from stage1_3d.kinds import training_data
    from stage1_3d.memory.plan import legal_member

    if not any((settings.data.root / name).is_dir() for name in ("train", "train_images")):
        return Measured()
    members = {name: legal_member(member, settings.data) for name, member in settings.stage1.trained.items()}
    settings = settings.model_copy(update={"stage1": settings.stage1.model_copy(update={"members": members})})
    try:
        data = training_data(settings)
        fold = make_folds(data.items, settings.folds)[0]
        loading_s = {}
        for (
            name,
            member,
        ) in members.items():  # as it will be beside the card that is planned for, which need not be here
            patches = data.patches(name, fold, settings.seed, True)
            where: Literal["cpu", "device"] = "cpu" if member.training.augment_on == "cpu" else "device"
            loading_s[name] = _seconds_a_patch(with_augmentation_on(patches, where, torch.device("cuda")))
    except InputError as error:
        print(f"data: left aside, loading not measured: {error}")
        return Measured()
    if not kind_of(settings.data).is_flattened:
        return Measured(loading_s)
    depth = settings.data.depth[1] - settings.data.depth[0]
    return Measured(loading_s, float(sum(sheet.mask.size for sheet in data.items) * depth))


def _seconds_a_patch(patches: Any) -> float:
    from time import perf_counter

    _ = patches[0]
    began = perf_counter()
    for n in range(1, 1 + TIMED_PATCHES):
        _ = patches[n]
    return (perf_counter() - began) / TIMED_PATCHES


def data_lines(settings: "Settings", found: Measured) -> list[str]:
    """Loading speed, and what out-of-fold predictions take on disk."""
    from scroll.planning.step_time import maps_gib

    members = len(settings.stage1.members)
    voxels, of_what = (1e9, "for 1e9 voxels of CT") if found.voxels is None else (found.voxels, "for all of the data")
    disk = f"disk: out-of-fold predictions take up to {maps_gib(voxels, members):.3g} GiB {of_what} ({members} members, float16)"
    if not found.loading_s:
        return [f"no data here ({settings.data.root}): loading not measured", disk]
    times = ", ".join(f"{name} {seconds:.3f} s" for name, seconds in found.loading_s.items())
    return [f"loading: one process cuts a patch in {times}", disk]


def prediction_lines(
    settings: "Settings", plans: "Sequence[MemberPlan]", machine: "Machine", gigavoxels: float | None
) -> list[str]:
    """How much CT is predicted in the hours, and which members and views are kept for a given amount."""
    from ensemble.time_budget.plan import VIEWS, MemberCost
    from ensemble.time_budget.plan import plan as kept_in
    from scroll.errors import InputError
    from scroll.planning.step_time import gigavoxel_time, gigavoxels_in, in_short

    window = settings.stage1.window
    fitting = [plan for plan in plans if plan.chosen is not None]
    if not fitting:
        return ["  prediction: no member fits"]
    overlaps, views, shifts = window.overlap_along(3), VIEWS[window.tta], len(window.depth_shifts)
    once = {plan.name: gigavoxel_time(plan.per_voxel_s, overlaps, shifts, settings.folds.count) for plan in fitting}
    most = gigavoxels_in(machine.hours * 3600, [one * views for one in once.values()])
    lines = [
        f"  prediction: {machine.hours:g} h hold {in_short(most.low)}-{in_short(most.high)} e9 voxels of CT, by {len(fitting)} members x "
        f"{settings.folds.count} folds x {views} views{f' x {shifts} depth windows' if shifts > 1 else ''}; reading and blending left out"
    ]
    if gigavoxels:
        costs = [MemberCost(name, one.high * gigavoxels, views, 1.0) for name, one in once.items()]
        try:
            lines += [f"    {line}" for line in kept_in(costs, 0.0, machine.hours * 3600).lines(machine.hours * 3600)]
        except InputError as error:
            lines.append(f"    {error}")
    return lines

"""From what a member's step takes and a machine to the settings that suit both; one line of reason for each."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import prod
from typing import TypedDict

from scroll.config.schema import MemberSettings
from scroll.geometry import Size
from scroll.planning.footprint import Footprint, Held
from scroll.planning.machine import Machine, precision_on
from scroll.planning.step_time import NOTHING, Range, in_seconds, time_of, topology_time, workers_for, workers_that_fit

TRUSTED = 0.7  # of the traced largest batch: cuDNN's workspace and the first steps' peaks are not traced


class TrainingChanges(TypedDict, total=False):
    """What a plan, or tuning, sets below `training`."""

    precision: str
    train_batch_size: int
    accumulate_steps: int
    validation_batch_size: int
    loader: dict[str, int | bool]


class MemberChanges(TypedDict, total=False):
    """What a plan, or tuning, sets below `stage1.members.<name>`."""

    patch_size: list[int]
    options: dict[str, bool | None]
    training: TrainingChanges


@dataclass(frozen=True)
class Candidate:
    """One way to train a member: its settings, as far as they decide the memory of a sample, and what a step of it takes.

    Attributes:
        padded: size that the network computes on; larger than `patch` where it pads inside.
        checkpointing: none where the network has no such option.
    """

    patch: Size
    padded: Size
    checkpointing: bool | None
    footprint: Footprint

    def batch_for(self, requested: int, gathered: int, for_tensors_gib: float) -> int:
        """Samples a pass: the most that the card is trusted with, that divide what a step gathers; 0: not one fits."""
        largest = self.footprint.largest_batch(for_tensors_gib)
        if largest == 0:
            return 0
        trusted = min(requested, max(1, int(TRUSTED * largest)))
        return max(batch for batch in range(1, trusted + 1) if gathered % batch == 0)


CandidateOf = Callable[[Size, bool | None], Candidate]


@dataclass(frozen=True)
class MemberPlan:
    """What is planned for a member on a machine.

    Attributes:
        requested: as the configuration has it.
        chosen: none where nothing fits.
        batch, accumulate_steps: of it; their product is that of what is requested.
        largest: batch that the trace allows for the requested candidate itself, an upper bound.
        requested_held: what it holds at its peak.
        held: what the plan holds.
        step_s: of an optimiser step, waiting for patches left out.
        total_s: of all steps and validations of all folds.
        per_voxel_s: to look once at a voxel of CT by one network of one fold.
        why: one line for each choice.
        changed: the settings that are planned, below `stage1.members.<name>`.
    """

    name: str
    requested: Candidate
    chosen: Candidate | None
    precision: str
    requested_batch: int
    largest: int
    requested_held: Held
    why: tuple[str, ...]
    batch: int = 0
    accumulate_steps: int = 0
    workers: int = 0
    held: Held | None = None
    step_s: Range = NOTHING
    total_s: Range = NOTHING
    per_voxel_s: Range = NOTHING
    changed: MemberChanges | None = None

    @property
    def verdict(self) -> str:
        """On what is requested: "fits", "tight" (by the trace, with little to spare), or "too large"."""
        if self.largest < self.requested_batch:
            return "too large"
        return "fits" if self.requested_batch <= max(1, int(TRUSTED * self.largest)) else "tight"


@dataclass(frozen=True)
class Case:
    """A member that a plan is made for.

    Attributes:
        candidate: traces the member with a patch and checkpointing (none: as requested).
        smaller: the next smaller legal patch, if there is one.
        folds: how many times it is trained.
        loading_s: seconds that one process takes for a patch; none: not measured.
    """

    name: str
    member: MemberSettings
    candidate: CandidateOf
    smaller: Size | None
    folds: int
    loading_s: float | None = None

    @property
    def gathered(self) -> int:
        """Samples that an optimiser step learns from."""
        return self.member.training.train_batch_size * self.member.training.accumulate_steps


def plan_member(case: Case, machine: Machine) -> MemberPlan:
    """What is requested where it fits; else less in one pass and more passes, then checkpointing, and a smaller patch last of all."""
    member, training = case.member, case.member.training
    requested = case.candidate(member.patch_size, None)
    chosen, batch = _chosen(case, requested, machine.gpu.for_tensors_gib)
    why = _why_memory(case.candidate, chosen, batch, member, machine)
    unfit = MemberPlan(
        name=case.name,
        requested=requested,
        chosen=None,
        precision=precision_on(machine.gpu, training.precision),
        requested_batch=training.train_batch_size,
        largest=requested.footprint.largest_batch(machine.gpu.for_tensors_gib),
        requested_held=requested.footprint.at(training.train_batch_size),
        why=tuple(why),
    )
    if chosen is None:
        return unfit
    return _timed(case, machine, replace(unfit, chosen=chosen, batch=batch, held=chosen.footprint.at(batch)), chosen)


def _timed(case: Case, machine: Machine, plan: MemberPlan, chosen: Candidate) -> MemberPlan:
    """The plan with its times and workers, and with the settings that follow."""
    member, training = case.member, case.member.training
    label = chosen.patch if member.supervision == "band" else chosen.patch[1:]
    critical_s = topology_time(prod(label), member.loss.topology)
    on_card = time_of(chosen.footprint.work, plan.batch, machine.gpu, plan.precision) * (1 / plan.batch)
    sample_s, why = on_card + critical_s, list(plan.why)
    if member.loss.topology:
        seconds = in_seconds(critical_s * case.gathered)
        why.append(f"the topology term takes {seconds} of a step on one CPU core, whatever the card")
    workers, why_workers = _workers(training.loader.workers, sample_s, machine, case.loading_s)
    validations = training.steps // training.validate_every * training.validation_patches
    looked_s = time_of(chosen.footprint.forward, 1, machine.gpu, plan.precision)
    step_s, passes = sample_s * case.gathered, case.gathered // plan.batch
    return replace(
        plan,
        accumulate_steps=passes,
        workers=workers,
        step_s=step_s,
        total_s=(step_s * training.steps + looked_s * validations) * case.folds,
        per_voxel_s=looked_s * (1 / prod(chosen.patch)),
        why=(*why, _why_precision(training.precision, plan.precision, machine), why_workers),
        changed=_changed(member, plan.requested, chosen, (plan.batch, passes), plan.precision, workers),
    )


def _chosen(case: Case, requested: Candidate, room_gib: float) -> tuple[Candidate | None, int]:
    """What is trained, and its batch: as requested, or the other way round where more samples fit so."""
    patches = [case.member.patch_size, *([case.smaller] if case.smaller else [])]
    for patch in patches:
        best: tuple[Candidate | None, int] = (None, 0)
        for checkpointing in (None,) if requested.checkpointing is None else (None, not requested.checkpointing):
            one = case.candidate(patch, checkpointing)
            batch = one.batch_for(case.member.training.train_batch_size, case.gathered, room_gib)
            if batch > best[1]:
                best = one, batch
        if best[0] is not None:
            return best
    return None, 0


def _workers(requested: int, sample_s: Range, machine: Machine, loading_s: float | None) -> tuple[int, str]:
    most = workers_that_fit(machine.ram_gb, machine.cpus)
    bound = f"{machine.cpus} CPUs and {machine.ram_gb:g} GB of RAM carry {most}"
    if loading_s is None:
        workers = min(requested, most)
        return workers, f"{workers} loading workers, as requested or as {bound}: no data here, loading not measured"
    needed = workers_for(loading_s, sample_s.low)
    workers = min(needed, most)
    message = (
        f"{workers} loading workers: a patch takes {loading_s:.3g} s to cut and {sample_s.low:.3g} s to learn at best"
    )
    return workers, message if needed <= most else f"{message}: {needed} would keep up, {bound}; the card will wait"


def _why_memory(
    candidate: CandidateOf, chosen: Candidate | None, batch: int, member: MemberSettings, machine: Machine
) -> list[str]:
    requested = candidate(member.patch_size, None)
    largest = requested.footprint.largest_batch(machine.gpu.for_tensors_gib)
    requested_batch, room = member.training.train_batch_size, machine.gpu.for_tensors_gib
    needed = requested.footprint.at(requested_batch).total
    fits = "fits" if requested_batch <= largest else "does not fit"
    why = [
        f"batch {requested_batch} holds {needed:.1f} GiB at its peak and {fits} the {room:.1f} GiB that {machine.gpu.name} has for "
        f"tensors; the trace allows {largest} (trust {int(TRUSTED * largest) or min(1, largest)})"
    ]
    if requested.padded != requested.patch:
        more, padded = prod(requested.padded) / prod(requested.patch), _said(requested.padded)
        why.append(
            f"patch {_said(requested.patch)} is padded inside to {padded} and costs {more:.2f} times its voxels; where the data is that "
            f"deep, {padded} itself costs the same and shows CT in place of repeated edges"
        )
    if chosen is None:
        return [*why, "not even one sample of the next smaller patch fits: take a smaller network, or a larger card"]
    if chosen.patch != requested.patch:
        why.append(f"patch {_said(chosen.patch)}: not one sample of {_said(requested.patch)} fits")
    if batch != requested_batch:
        passes = requested_batch * member.training.accumulate_steps // batch
        is_tight = requested_batch <= largest and chosen.patch == requested.patch
        tight = "what is requested would fit with little to spare; " if is_tight else ""
        why.append(
            f"batch {batch}, {passes} passes a step: {tight}as many samples as requested, Dice over each pass by itself"
        )
    if chosen.checkpointing is not None:
        why.append(
            _why_checkpointing(chosen, requested, candidate(chosen.patch, not chosen.checkpointing), requested_batch)
        )
    return why


def _why_checkpointing(chosen: Candidate, requested: Candidate, other: Candidate, requested_batch: int) -> str:
    """On or off, and what the other would have taken."""
    now, before = ("on", "off") if chosen.checkpointing else ("off", "on")
    more = other.footprint.work.flop / chosen.footprint.work.flop - 1
    computes = f"computes {abs(more):.0%} {'more' if more > 0 else 'less'}"
    holds = (
        f"{before}, batch {requested_batch} holds {other.footprint.at(requested_batch).total:.1f} GiB and {computes}"
    )
    why = ", as requested" if chosen.checkpointing == requested.checkpointing else ": so that more samples fit"
    return f"checkpointing {now}{why}; {holds}"


def _why_precision(requested: str, precision: str, machine: Machine) -> str:
    name = machine.gpu.name
    if precision == "fp32":
        return "fp32, as requested: 16 bit would take less memory"
    slow = "" if machine.gpu.has_tensor_cores else f"; {name} has no tensor cores: it saves memory, little time"
    if requested == "bf16" and precision == "fp16":
        return f"fp16: {name} does not compute in bf16, which was requested{slow}"
    return f"{precision}: {'as requested' if requested == precision else f'what auto is on {name}'}{slow}"


def _changed(
    member: MemberSettings,
    requested: Candidate,
    chosen: Candidate,
    passes: tuple[int, int],
    precision: str,
    workers: int,
) -> MemberChanges:
    """The settings that a plan sets; precision always, because it was planned for, the rest where it differs from what is requested."""
    batch, accumulate = passes
    training: TrainingChanges = {"precision": precision}
    changed: MemberChanges = {}
    if chosen.patch != member.patch_size:
        changed["patch_size"] = list(chosen.patch)
    if chosen.checkpointing != requested.checkpointing:
        changed["options"] = {"checkpointing": chosen.checkpointing}
    if batch != member.training.train_batch_size:
        training["train_batch_size"], training["accumulate_steps"] = batch, accumulate
    if member.training.validation_batch_size > max(batch, 1) * 2:
        training["validation_batch_size"] = batch
    if workers != member.training.loader.workers:
        training["loader"] = {"workers": workers}
    changed["training"] = training
    return changed


def _said(size: Size) -> str:
    return " x ".join(map(str, size))

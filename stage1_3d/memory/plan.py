"""Every member of a configuration planned for a machine; each network is traced once for each way it is tried."""

from dataclasses import replace
from functools import cache

from scroll.config.schema import DataSettings, MemberSettings, Settings
from scroll.data.kinds import kind_of
from scroll.errors import InputError
from scroll.planning.footprint import Footprint
from scroll.planning.machine import Machine, precision_on
from scroll.planning.member_plan import Candidate, Case, MemberChanges, MemberPlan, Size, plan_member
from stage1_3d.network import about_network, check_patch, divisor_of, legal_size, nearest_legal

_TRACED: dict[str, Footprint] = {}


def plan_members(settings: Settings, machine: Machine, loading_s: dict[str, float] | None = None) -> list[MemberPlan]:
    """A plan for each member, in the order of the configuration; `loading_s`: seconds for a patch, by member, where measured.

    A patch that the member's network cannot take is planned as the next legal one.

    Raises:
        InputError: unknown network or option.
    """
    return [
        planned(name, member, settings, machine, (loading_s or {}).get(name))
        for name, member in settings.stage1.trained.items()
    ]


def planned(
    name: str, member: MemberSettings, settings: Settings, machine: Machine, loading_s: float | None
) -> MemberPlan:
    """One member, see `plan_members`."""
    legal = legal_member(member, settings.data)
    is_mixed = precision_on(machine.gpu, member.training.precision) != "fp32"

    @cache
    def candidate(patch: Size, checkpointing: bool | None) -> Candidate:
        return candidate_of(legal, patch, checkpointing, is_mixed)

    plan = plan_member(Case(name, legal, candidate, _smaller(legal), settings.folds.count, loading_s), machine)
    if legal.patch_size == member.patch_size:
        return plan
    down, up = nearest_legal(member.patch_size, divisor_of(member))
    reason = (
        f"patch {legal.patch_size}: '{member.network}' needs multiples of {divisor_of(member)}, which {member.patch_size} is not; "
        f"nearest are {down} and {up}"
    )
    changed: MemberChanges = {"patch_size": list(legal.patch_size), **(plan.changed or {})}
    return replace(plan, why=(reason, *plan.why), changed=changed if plan.chosen else None)


def legal_member(member: MemberSettings, data: DataSettings) -> MemberSettings:
    """The member with a patch that its network takes: its own, or the next larger one, or smaller where the data is too shallow."""
    divisor = divisor_of(member)
    if member.auto_pad or legal_size(member.patch_size, divisor) == member.patch_size:
        return member
    down, up = nearest_legal(member.patch_size, divisor)
    is_deep_enough = not kind_of(data).is_flattened or up[0] <= data.depth[1] - data.depth[0]
    return member.model_copy(update={"patch_size": up if is_deep_enough else down})


def candidate_of(member: MemberSettings, patch: Size, checkpointing: bool | None, is_mixed: bool) -> Candidate:
    """The member with this patch, traced; `checkpointing` none: as the member has it."""
    options = about_network(member)["options"]
    has_option = "checkpointing" in options
    if has_option and checkpointing is not None:
        options = options | {"checkpointing": checkpointing}
    tried = member.model_copy(update={"patch_size": patch, "options": options})
    return Candidate(
        patch, legal_size(patch, divisor_of(tried)), options.get("checkpointing"), _traced(tried, is_mixed)
    )


def _traced(member: MemberSettings, is_mixed: bool) -> Footprint:
    """Two members that differ in seed or steps alone are traced once."""
    from scroll.runtime.receipt import key_of

    training = member.training
    key = key_of([
        member.network, member.options, member.patch_size, member.auto_pad, member.supervision, member.pool,
        member.loss.model_dump(), bool(member.augment.mixup), training.optimiser, training.accumulate_steps > 1, is_mixed,
    ])  # fmt: skip
    if key not in _TRACED:
        from stage1_3d.memory.trace import footprint_of

        _TRACED[key] = footprint_of(member, is_mixed)
    return _TRACED[key]


def _smaller(member: MemberSettings) -> Size | None:
    """The next smaller legal patch that the network takes; none where there is none."""
    divisor = divisor_of(member)
    size = member.patch_size
    below, _ = nearest_legal(size, divisor)
    if below == size:
        z, y, x = (s - d if s - d >= d else s for s, d in zip(size, divisor, strict=True))
        below = (z, y, x) if divisor[0] > 1 else (size[0], y, x)
    try:
        check_patch(member, below)
    except InputError:
        return None
    return below if below != size else None

"""A part of a plan from where it stands to its end: the shards of level 0, then the coarser levels from them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from scroll.errors import InputError
from scroll.runtime.progress import progress
from scroll.shards.engines import Engine
from scroll.shards.grid import Shard, part_of, shards_of
from scroll.shards.ledger import PLAN, PYRAMID, Ledger, Outcome
from scroll.shards.plan import Plan, read_plan, write_plan
from scroll.shards.work import Job

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Driver:
    """Number `number` of so many independent drivers of one plan, counted from 0; their shards never overlap."""

    number: int = 0
    of: int = 1

    @property
    def name(self) -> str:
        """As locks are called."""
        return f"part-{self.number}-of-{self.of}"


def run_part(plan: Plan, job: Job, engine: Engine, part: Driver, tell: Tell = print) -> list[Outcome]:
    """Do what is missing of a part of the plan; returns the outcomes of shards that could not be done.

    Once all parts have done their shards, whoever finishes last makes the coarser levels.

    Raises:
        InputError: another process drives this part, or something came up that no shard would survive, such as a full disk.
    """
    plan.check()
    claim(job.ledger, plan)
    ledger = Ledger(job.ledger, job.key)
    with ledger.driving(part.name):
        _refuse_other_cuts(ledger, part)
        left = _left(ledger, job, plan.part(part.number, part.of), tell)
        failed = _consume(engine, job, left, f"predict, {part.name}", tell)
    return failed or _coarser_levels(plan, job, engine, ledger, tell)


def _left(ledger: Ledger, job: Job, shards: list[Shard], tell: Tell) -> list[Shard]:
    """Those that are to be done; says how many of them were, and have lost files since."""
    left, lost = ledger.left(shards, job.output.files)
    if lost:
        tell(f"{lost} shards are noted as done, but files of them are gone or cut off: made again")
    return left


def claim(ledger: Path, plan: Plan) -> None:
    """Leave the plan in the ledger's folder; of several parts the last to write wins: they all made the same.

    Raises:
        InputError: the ledger is that of another plan.
    """
    if not (ledger / PLAN).exists():
        write_plan(ledger / PLAN, plan)
    elif read_plan(ledger / PLAN).key != plan.key:
        raise InputError(
            f"{ledger / PLAN}: was begun with another volume, other networks or settings; give another --output, or delete this one "
            "and its ledger"
        )


def _refuse_other_cuts(ledger: Ledger, part: Driver) -> None:
    """Parts of one plan are disjoint only as long as all drivers count the same number of parts."""
    others = [name for name in ledger.driven() if name != PYRAMID and not name.endswith(f"-of-{part.of}")]
    if others:
        raise InputError(
            f"{ledger.folder}: {others[0]} is being worked on; parts of {part.of} would overlap with it: use its --num-parts"
        )


def _coarser_levels(plan: Plan, job: Job, engine: Engine, ledger: Ledger, tell: Tell) -> list[Outcome]:
    if plan.how.levels == 1:
        return []
    missing = set(plan.indices) - ledger.done(0)
    if missing or ledger.is_driven(PYRAMID):
        tell(f"coarser levels: left to the part that finishes last ({len(missing)} shards are missing)")
        return []
    with ledger.driving(PYRAMID, patience_s=float("inf")):  # had another one just begun, nothing is left afterwards
        for level in range(1, plan.how.levels):
            left = _left(ledger, job, coarser(plan, level), tell)
            failed = _consume(engine, replace(job, part=PYRAMID), left, f"level {level}", tell)
            if failed:
                return failed
    return []


def coarser(plan: Plan, level: int) -> list[Shard]:
    """The shards of a coarser level that something of the plan reaches into, in the order they are gone through."""
    shape = [-(-length // 2**level) for length in plan.how.shape]
    needed = {tuple(number >> level for number in index) for index in plan.indices}
    shards = shards_of(shape, plan.how.shard_vox, level)
    return part_of((shard for shard in shards if shard.index in needed), 0, 1)


def _consume(engine: Engine, job: Job, shards: list[Shard], label: str, tell: Tell) -> list[Outcome]:
    """Have the shards done, with progress; keeps the failed ones in the ledger, and returns them."""
    ledger, failed, retries = Ledger(job.ledger, job.key), [], 0
    if not shards:
        return []
    with progress(label, len(shards), "shard") as advance:
        for outcome in engine.run(job, shards):
            if outcome.is_fatal:
                raise InputError(
                    f"shard {outcome.shard.name}: {outcome.error}; what is done is kept: mend it, and run the same command again"
                )
            retries += outcome.retries
            if outcome.error is not None:
                ledger.record(outcome)
                failed.append(outcome)
                tell(f"shard {outcome.shard.name} of level {outcome.shard.level} failed: {outcome.error}")
            advance(1, f"{len(failed)} failed, {retries} retries")
    return failed

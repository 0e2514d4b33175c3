"""How far a job is, read from its ledger while it runs or after it died."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from scroll.errors import MissingInputError
from scroll.runtime.progress import pace
from scroll.shards.drive import coarser
from scroll.shards.ledger import PLAN, Ledger, Note, WorkerNote
from scroll.shards.plan import Plan, read_plan

RECENT_S = 3600.0  # over which the rate is taken


@dataclass(frozen=True)
class Level:
    """One level of the output: shards in the plan, done and failed ones, and when they were done (seconds since 1970)."""

    number: int
    planned: int
    done: int
    failed: tuple[Note, ...]
    times: tuple[float, ...]

    def pace(self) -> str:
        """Rate and time left in words, from the shards of the last hour of work."""
        recent = [at for at in self.times if at >= max(self.times) - RECENT_S] if self.times else []
        if len(recent) < 2:
            return ""
        return pace(len(recent) - 1, self.planned - self.done, max(recent) - min(recent), "shard")


@dataclass(frozen=True)
class Status:
    """The whole job."""

    plan: Plan
    levels: tuple[Level, ...]
    workers: tuple[WorkerNote, ...]
    driven: tuple[str, ...]

    @property
    def is_complete(self) -> bool:
        """Whether every shard of every level is written."""
        return all(level.done == level.planned for level in self.levels)

    def lines(self, damaged: int = 0, now: float | None = None) -> Iterator[str]:
        """What `scroll_status.py` prints; `damaged` shards are noted as done and are not as they were written."""
        now = time.time() if now is None else now
        state = f"running: {', '.join(self.driven)}" if self.driven else "nobody is working on it"
        if damaged:
            yield f"not complete: {damaged} damaged shards; run the same prediction again, which makes them again"
        yield "complete" if self.is_complete and not damaged else state
        for level in self.levels:
            share = level.done / level.planned if level.planned else 1.0
            line = f"level {level.number}: {level.done} of {level.planned} shards ({share:.0%})"
            yield ", ".join(filter(None, [line, f"{len(level.failed)} failed" if level.failed else "", level.pace()]))
            for failure in level.failed:
                yield f"  failed {'-'.join(map(str, failure['shard']['index']))}: {failure.get('error')}"
        for one in self.workers:
            share = one["busy_s"] / max(1e-9, one["at"] - one["began"])
            gpu = f", {one['gpu']}, {one.get('memory_gib', '?')} GiB" if "gpu" in one else ""
            yield (
                f"{one['worker']}: {one['shards']} shards, {one['retries']} retries, busy {min(1.0, share):.0%}{gpu}, "
                f"heard of {max(0.0, now - one['at']):.0f} s ago"
            )


def read_status(folder: Path) -> Status:
    """The state of the job whose ledger is in `folder`.

    Raises:
        MissingInputError: no job was ever started there.
        InputError: its plan is damaged.
    """
    if not (folder / PLAN).exists():
        raise MissingInputError(f"{folder / PLAN}: not there; start the prediction first, or give its --ledger")
    plan = read_plan(folder / PLAN)
    ledger = Ledger(folder, plan.key)
    levels = []
    for number in range(plan.how.levels):
        planned = set(plan.indices) if number == 0 else {shard.index for shard in coarser(plan, number)}
        lines = [line for line in ledger.lines("done", number) if tuple(line["shard"]["index"]) in planned]
        failed = tuple(ledger.lines("failed", number))
        levels.append(Level(number, len(planned), len(lines), failed, tuple(line["at"] for line in lines)))
    return Status(plan, tuple(levels), tuple(ledger.workers()), tuple(ledger.driven()))

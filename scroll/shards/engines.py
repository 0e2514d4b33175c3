"""Who does the work: workers that are handed one shard after the other, and replaced where they die."""

from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from scroll.errors import WorkerDiedError
from scroll.shards.grid import Shard
from scroll.shards.ledger import Outcome
from scroll.shards.work import Job, Worker

WANT = "most often for want of memory: use fewer workers or smaller shards"
Hand = Any  # a pool's own name for one of its workers


class Pool(Protocol):
    """Workers of one kind: processes here, or actors of a cluster. A worker has one shard at a time."""

    def start(self) -> Hand:
        """A new worker."""

    def give(self, hand: Hand, shard: Shard) -> None:
        """A shard to a worker that has none."""

    def wait(self) -> list[tuple[Hand, Outcome | str]]:
        """The workers that have finished since, at least one; of one that died, how."""

    def stop(self) -> None:
        """End all workers at once; what they were at is lost and will be done again."""


class Engine(Protocol):
    """A way to have shards done."""

    def run(self, job: Job, shards: Sequence[Shard]) -> Iterator[Outcome]:
        """Outcomes as they come, in no order: one for every shard, unless one is fatal."""


def in_this_process(job: Job, shards: Sequence[Shard]) -> Iterator[Outcome]:
    """One after the other, without another process."""
    worker = Worker(job, "here")
    return map(worker.do, shards)


def hand_out(make: Callable[[], Pool], shards: Sequence[Shard], workers: int, tries: int) -> Iterator[Outcome]:
    """Have a pool do the shards. One whose worker dies goes to another worker, `tries` times in all.

    Raises:
        WorkerDiedError: workers die one after the other, whatever shard they have.
        ValueError: fewer than one worker, who would do nothing and say nothing.
    """
    if workers < 1:
        raise ValueError(f"need 1 worker or more, got {workers}")
    waiting, deaths, in_a_row = deque(shards), Counter[Shard](), 0
    at_work: dict[Hand, Shard] = {}
    outcome: Outcome | None
    if not waiting:
        return
    pool = make()

    def next_for(hand: Hand | None) -> None:
        if waiting:
            hand = pool.start() if hand is None else hand
            at_work[hand] = waiting.popleft()
            pool.give(hand, at_work[hand])

    try:
        for _ in range(min(workers, len(shards))):
            next_for(None)
        while at_work:
            for hand, answer in pool.wait():
                shard = at_work.pop(hand, None)
                if shard is None:  # died while it had nothing to do
                    continue
                if isinstance(answer, Outcome):
                    in_a_row, outcome = 0, answer
                    next_for(hand)
                else:
                    in_a_row, outcome = in_a_row + 1, None
                    deaths[shard] += 1
                    if in_a_row > tries * workers + tries:
                        raise WorkerDiedError(f"{in_a_row} workers died one after the other ({answer}), {WANT}")
                    if deaths[shard] < tries:
                        waiting.appendleft(shard)
                    else:
                        why = f"its worker died {tries} times ({answer}), {WANT}"
                        outcome = Outcome(shard, "", retries=tries - 1, error=why)
                    next_for(None)
                if outcome is not None:
                    yield outcome
    finally:
        pool.stop()

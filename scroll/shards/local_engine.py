"""Workers as processes of this machine, one for each graphics card or as many as asked for."""

import os
import pickle
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import connection
from typing import Any

from scroll.errors import WorkerDiedError
from scroll.runtime.children import family
from scroll.runtime.environment import environment
from scroll.runtime.processes import usable_cores
from scroll.shards.engines import Hand, hand_out, in_this_process
from scroll.shards.grid import Shard
from scroll.shards.ledger import Ledger, Outcome
from scroll.shards.work import Job, Worker, reason


@dataclass(frozen=True)
class LocalEngine:
    """`workers` processes; each sees one of `devices` alone (as CUDA_VISIBLE_DEVICES says it). One works right here.

    With two processes to a card, one reads and writes while the other computes.
    """

    workers: int = 1
    devices: tuple[str, ...] = ()

    def run(self, job: Job, shards: Sequence[Shard]) -> Iterator[Outcome]:
        """As `Engine.run`."""
        if self.workers == 1:
            return in_this_process(job, shards)
        return hand_out(lambda: _Processes(job, self.devices, self._threads()), shards, self.workers, job.tries)

    def _threads(self) -> str:
        """Cores are shared out, unless the caller's environment says otherwise."""
        cores = usable_cores() // self.workers
        return os.environ.get("OMP_NUM_THREADS", str(max(1, cores)))


class _Processes:
    """Spawned processes, each at the end of a pipe of its own: one that is killed takes no lock and no queue with it."""

    def __init__(self, job: Job, devices: tuple[str, ...], threads: str) -> None:
        self.job = pickle.dumps(job)
        self.devices, self.threads = devices, threads
        self._started = 0
        self._at_work: dict[
            tuple[int, str | None], tuple[Any, Any]
        ] = {}  # number, card -> process, our end of its pipe

    def start(self) -> Hand:
        context, number = family(), self._started
        self._started += 1
        ours, theirs = context.Pipe()
        settings, card = {"OMP_NUM_THREADS": self.threads}, None
        if self.devices:
            busy = [used for _, used in self._at_work]
            card = min(self.devices, key=busy.count)  # a dead one's is free again; several may share one
            settings["CUDA_VISIBLE_DEVICES"] = card
        process: Any = context.Process(target=_serve, args=(theirs, self.job, f"worker{number}"), daemon=True)
        with environment(**settings):  # read when the child starts, before anything asks for a card
            process.start()
        theirs.close()  # ours alone is left here: the pipe ends with the child
        hand = (number, card)
        self._at_work[hand] = (process, ours)
        return hand

    def give(self, hand: Hand, shard: Shard) -> None:
        with suppress(OSError):  # it died meanwhile: `wait` will say so
            self._at_work[hand][1].send(shard)

    def wait(self) -> list[tuple[Hand, Outcome | str]]:
        by_end: dict[Any, Hand] = {ends: hand for hand, (_, ends) in self._at_work.items()}
        found: list[tuple[Hand, Outcome | str]] = []
        ready: list[Any] = connection.wait(list(by_end))
        for ends in ready:
            hand = by_end[ends]
            try:
                answer = ends.recv()
            except (EOFError, OSError):
                answer = ""
            if not isinstance(answer, Outcome):
                process = self._at_work.pop(hand)[0]
                process.join()
                answer = answer or f"exit code {process.exitcode}"
            found.append((hand, answer))
        return found

    def stop(self) -> None:
        for process, ends in self._at_work.values():
            process.kill()
            process.join()
            ends.close()
        self._at_work = {}


def _serve(ends: Any, job_bytes: bytes, name: str) -> None:
    """Do the shards that come through the pipe until it closes."""
    job: Job = pickle.loads(job_bytes)
    with Ledger(job.ledger, job.key).working(job.part):
        worker = Worker(job, name)
        while True:
            try:
                shard = ends.recv()
                ends.send(worker.do(shard))
            except WorkerDiedError as error:
                ends.send(reason(error))  # in place of an outcome: its last words
                return
            except (EOFError, OSError):
                return

"""Workers as actors of a Ray cluster: one started here for the while, or one that is there already."""

import os
import pickle
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from scroll.errors import InputError
from scroll.shards.engines import Hand, hand_out
from scroll.shards.grid import Shard
from scroll.shards.ledger import Ledger, Outcome
from scroll.shards.work import Job, Worker, reason

ANSWER_S = 10.0


@dataclass(frozen=True)
class RayEngine:
    """`workers` actors (None: one for each graphics card of the cluster, or else one), which share its cards out.

    `address` joins a cluster ("auto", or host:port); None starts one on this machine and ends it afterwards. Output,
    volume and ledger have to be reachable from every machine of the cluster, and the code to be installed there, or to
    lie on a shared disk.
    """

    workers: int | None = None
    address: str | None = None

    def run(self, job: Job, shards: Sequence[Shard]) -> Iterator[Outcome]:
        """As `Engine.run`.

        Raises:
            InputError: Ray is not installed, or there is no cluster at `address`.
        """
        ray = _ray()
        was_there = ray.is_initialized()
        if not was_there:
            self._join(ray)
        try:
            there = ray.cluster_resources()
            cards, cores = int(there.get("GPU", 0)), max(1, int(there.get("CPU", 1)))
            workers = min(self.workers or max(1, cards), cores)  # one for whom there is no core would wait for ever
            yield from hand_out(lambda: _Actors(ray, job, min(1.0, cards / workers)), shards, workers, job.tries)
        finally:
            if not was_there:
                ray.shutdown()

    def _join(self, ray: Any) -> None:
        here: dict[str, object] = {} if self.address else {"num_cpus": self.workers or 1, "include_dashboard": False}
        inherited = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        inherited["OMP_NUM_THREADS"] = os.environ.get("OMP_NUM_THREADS", "1")
        try:
            _knock(self.address)
            address = self.address or "local"
            ray.init(address=address, runtime_env={"env_vars": inherited}, log_to_driver=False, **here)
        except OSError as error:  # ConnectionError is one
            raise InputError(
                f"--ray-address {self.address}: no cluster answers there ({error}); start one with 'ray start --head'"
            ) from None


def _knock(address: str | None) -> None:
    """Ray itself tries for minutes to reach a place where nobody is."""
    host, colon, port = (address or "").removeprefix("ray://").rpartition(":")
    if colon and port.isdecimal():
        socket.create_connection((host, int(port)), timeout=ANSWER_S).close()


def _ray() -> Any:
    try:
        return import_module("ray")
    except ImportError:
        raise InputError(
            "--engine ray: the package ray is not installed; run pip install 'scroll-ensemble[dist]'"
        ) from None


class _Actors:
    """Actors with one call each under way; one that dies, with its machine or alone, is replaced."""

    def __init__(self, ray: Any, job: Job, gpus: float) -> None:
        self.ray, self.job = ray, ray.put(pickle.dumps(job))
        self._class = ray.remote(num_cpus=1, num_gpus=gpus, max_restarts=0)(_Actor)
        self._actors: list[Any] = []
        self._calls: dict[Any, tuple[int, Shard]] = {}  # what will be answered -> number of the actor, what it is at

    def start(self) -> Hand:
        self._actors.append(self._class.remote(self.job, str(Path.cwd()), f"actor-{len(self._actors)}"))
        return len(self._actors) - 1

    def give(self, hand: Hand, shard: Shard) -> None:
        self._calls[self._actors[hand].do.remote(shard)] = (hand, shard)

    def wait(self) -> list[tuple[Hand, Outcome | str]]:
        answered, _ = self.ray.wait(list(self._calls), num_returns=1)
        found: list[tuple[Hand, Outcome | str]] = []
        for call in answered:
            hand, shard = self._calls.pop(call)
            try:
                found.append((hand, self.ray.get(call)))
            except self.ray.exceptions.RayTaskError as error:  # it lives, but can do no more: its card is lost
                self.ray.kill(self._actors[hand])  # what it holds is free for the next
                found.append((hand, reason(error.cause)))
            except self.ray.exceptions.RayActorError as error:
                why = reason(error)
                never_began = "creation task" in str(error)  # such as code that is not installed on that machine
                found.append((hand, Outcome(shard, "", error=why, is_fatal=True) if never_began else why))
        return found

    def stop(self) -> None:
        for actor in self._actors:
            self.ray.kill(actor)
        self._actors, self._calls = [], {}


class _Actor:
    """A worker that Ray runs."""

    def __init__(self, job_bytes: bytes, folder: str, name: str) -> None:
        with suppress(
            OSError
        ):  # a cluster's actors begin where it was started; where nobody shares this folder, paths are whole
            os.chdir(folder)
        job: Job = pickle.loads(job_bytes)
        self._held = ExitStack()  # for as long as the actor lives
        self._held.enter_context(Ledger(job.ledger, job.key).working(job.part))
        self._worker = Worker(job, name)

    def do(self, shard: Shard) -> Outcome:
        return self._worker.do(shard)

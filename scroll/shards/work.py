"""One shard from CT to disk: predicted in memory, written once, noted in the ledger; tried again where something fails."""

import errno
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from scroll.errors import WorkerDiedError
from scroll.runtime.manifest import FileSum
from scroll.shards.grid import Index, Shard
from scroll.shards.ledger import Ledger, Outcome

BoxPredictor = Callable[[Index, Index], "NDArray[np.float32] | None"]
Recipe = Callable[[], BoxPredictor]


class Output(Protocol):
    """Where shards go: a `ShardOutput`, or what behaves like one; it travels to the workers."""

    def write(self, corner: Index, block: NDArray[np.uint8]) -> Mapping[str, FileSum]:
        """One whole shard of level 0; the files that hold it."""

    def write_coarser(self, level: int, corner: Index) -> Mapping[str, FileSum]:
        """One shard of a coarser level, from the finer one; the files that hold it."""

    def files(self, level: int) -> Mapping[Index, Mapping[str, int]]:
        """The files of each shard of a level, and their sizes in bytes."""


@dataclass(frozen=True)
class Job:
    """What every worker is given; travels to other processes and machines.

    Attributes:
        recipe: builds the predictor in the worker. The predictor takes corner and size of a box of voxels and gives its
            probabilities, (1, Z, Y, X) float32 from 0 to 1; None where nothing is to be seen, and nothing is written.
        part: the name of the driver's part, for the ledger.
        tries: how often a shard is tried, and how many workers may die of it.
        wait_s: before the second try; twice as long before each further one.
    """

    ledger: Path
    key: str
    output: Output
    recipe: Recipe
    part: str = "part-0-of-1"
    tries: int = 3
    wait_s: float = 1.0


class Worker:
    """Does one shard after the other; the predictor is built at the first that needs it, and kept."""

    def __init__(self, job: Job, name: str) -> None:
        self.job = job
        self.ledger = Ledger(job.ledger, job.key)
        self.name = f"{job.part}-{name}-{platform.node()}-{os.getpid()}"
        self._predictor: BoxPredictor | None = None
        self._began, self._busy_s, self._shards, self._retries = time.time(), 0.0, 0, 0

    def do(self, shard: Shard) -> Outcome:
        """Do a shard that is not done yet; errors are returned, not raised.

        Raises:
            WorkerDiedError: the graphics card answers this process no more; another process may do the shard.
        """
        if self.ledger.is_done(shard):
            return Outcome(shard, self.name)
        if shard.level == 0 and self._predictor is None:
            try:
                self._predictor = self.job.recipe()
            except Exception as error:  # noqa: BLE001 - whatever it is, the next shard would meet it too
                return Outcome(shard, self.name, error=reason(error), is_fatal=True)
        began = time.monotonic()
        outcome = self._tried(shard)
        self._busy_s += time.monotonic() - began
        self._shards += outcome.error is None
        self._retries += outcome.retries
        if not outcome.is_fatal:
            self._report()
        return outcome

    def _tried(self, shard: Shard) -> Outcome:
        for number in range(self.job.tries):
            try:
                outcome = replace(self._once(shard), retries=number)
                self.ledger.record(outcome)
                return outcome
            except Exception as error:  # one shard must not end the others
                if is_card_lost():  # or this worker would fail every shard left, one a moment
                    raise WorkerDiedError(
                        f"shard {shard.name}: the graphics card answers no more ({reason(error)}); run the same command again, and if "
                        "it comes back look at the card with nvidia-smi"
                    ) from error
                outcome = Outcome(shard, self.name, {}, number, error=reason(error), is_fatal=is_full(error))
                if outcome.is_fatal:
                    break
            if number + 1 < self.job.tries:
                time.sleep(self.job.wait_s * 2**number)
        return outcome

    def _once(self, shard: Shard) -> Outcome:
        began = time.monotonic()
        if shard.level:
            files = self.job.output.write_coarser(shard.level, shard.corner)
            return Outcome(shard, self.name, {"write": time.monotonic() - began}, files=files)
        prob = self._predictor(shard.corner, shard.size) if self._predictor else None
        predicted, files = time.monotonic(), dict[str, FileSum]()
        if prob is not None:
            if prob.shape != (1, *shard.size):
                raise ValueError(f"expected probabilities (1, *{shard.size}), got {prob.shape}")
            files = dict(self.job.output.write(shard.corner, as_uint8(prob[0])))
        seconds = {"predict": predicted - began, "write": time.monotonic() - predicted}
        return Outcome(shard, self.name, seconds, is_empty=prob is None, files=files)

    def _report(self) -> None:
        about = {"began": self._began, "at": time.time(), "busy_s": self._busy_s, "shards": self._shards}
        self.ledger.note_worker(self.name, about | {"retries": self._retries, "part": self.job.part} | _gpu())


def as_uint8(prob: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Probabilities 0 to 1 as 0 to 255, rounded to nearest.

    >>> as_uint8(np.array([0.0, 0.5, 1.0], np.float32)).tolist()
    [0, 128, 255]
    """
    scaled = prob * np.float32(255)
    return np.rint(scaled, out=scaled).astype(np.uint8)


def reason(error: BaseException) -> str:
    """One line that says what happened."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:500]


def is_full(error: BaseException | None) -> bool:
    """Whether a full disk, or one that takes nothing any more, is behind an error: then no other shard fares better."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            return True
        error = error.__cause__ or error.__context__
    return False


def is_card_lost() -> bool:
    """Whether this process has used a graphics card that now refuses everything, as after an illegal access: only a new process helps."""
    torch = _torch_on_card()
    try:
        if torch is not None:
            torch.cuda.synchronize()
    except RuntimeError:
        return True
    return False


def _torch_on_card() -> Any:
    """PyTorch, where this process has used a graphics card; else None."""
    torch = sys.modules.get("torch")
    return torch if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized() else None


def _gpu() -> dict[str, object]:
    """Name and peak memory of the graphics card, where this process has used one."""
    torch = _torch_on_card()
    if torch is None:
        return {}
    return {"gpu": torch.cuda.get_device_name(), "memory_gib": round(torch.cuda.max_memory_reserved() / 2**30, 2)}

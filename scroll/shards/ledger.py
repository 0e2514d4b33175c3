"""What of a plan is done: one small file for each shard, written after the shard itself; and who may work on it now."""

import fcntl
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, NotRequired, TypedDict, TypeGuard

from scroll.errors import InputError
from scroll.runtime.bounded import plain_file
from scroll.runtime.files import read_json, remove, write_json, write_sealed
from scroll.runtime.json_fields import MayLack, is_like
from scroll.runtime.manifest import FileSum
from scroll.runtime.run_lock import FileLock, who_we_are
from scroll.shards.grid import Index, Shard

PLAN = "plan.json"
PATIENCE_S = 60.0  # for the workers of a killed run to notice
PYRAMID = "pyramid"
SUM = (int, int)  # size and checksum of a file
LINE = {
    "shard": {"index": (int, int, int)}, "seconds": {str: float}, "retries": int, "at": float,
    "error": MayLack(str, or_null=True), "is_empty": MayLack(bool),
}  # fmt: skip
WORKER = {
    "worker": str, "began": float, "at": float, "busy_s": float, "shards": int, "retries": int,
    "gpu": MayLack(str), "memory_gib": MayLack(float),
}  # fmt: skip


class NotedShard(TypedDict):
    """Which shard a note is of."""

    index: Index
    level: int


class Note(TypedDict):
    """What is noted of a shard (`LINE`); `files` is a number in ledgers of before."""

    shard: NotedShard
    seconds: dict[str, float]
    retries: int
    at: float
    key: NotRequired[str]
    worker: NotRequired[str]
    error: NotRequired[str | None]
    is_empty: NotRequired[bool]
    files: NotRequired[int | Mapping[str, FileSum]]


class WorkerNote(TypedDict):
    """What a worker tells of itself (`WORKER`)."""

    worker: str
    began: float
    at: float
    busy_s: float
    shards: int
    retries: int
    key: NotRequired[str]
    gpu: NotRequired[str]
    memory_gib: NotRequired[float]


@dataclass(frozen=True)
class Outcome:
    """What became of a shard.

    Attributes:
        seconds: how long each part of the work took.
        files: size and checksum of those that hold it, by name; what is all 0 takes none.
        error: why it is not done; None where it is.
        is_fatal: no other shard would fare better, such as on a full disk.
    """

    shard: Shard
    worker: str
    seconds: dict[str, float] = field(default_factory=dict)
    retries: int = 0
    is_empty: bool = False
    files: Mapping[str, FileSum] = field(default_factory=dict)
    error: str | None = None
    is_fatal: bool = False


class Ledger:
    """The folder beside an output: plan.json, done/ and failed/ with a file for each shard, workers/ with one for each worker.

    All processes of a job see the same folder; on several machines it is on a disk they share. Lines of another key
    count for nothing.
    """

    def __init__(self, folder: Path, key: str) -> None:
        self.folder, self.key = folder, key

    def _line(self, kind: str, shard: Shard) -> Path:
        return self._place(kind, shard.level, shard.index)

    def _place(self, kind: str, level: int, index: Index) -> Path:
        z, y, x = index  # a folder for each z: a million names in one make every look slow
        return self.folder / kind / str(level) / str(z) / f"{y}-{x}.json"

    def is_done(self, shard: Shard) -> bool:
        """Whether the shard was written, with this key."""
        return self._current("done", shard) is not None

    def _current(self, kind: str, shard: Shard) -> Note | None:
        """What is noted of a shard with this key."""
        line = _read(self._line(kind, shard))
        return line if _is_whole(line) and line.get("key") == self.key else None

    def record(self, outcome: Outcome) -> None:
        """Note a shard that is written, or why it could not be; the note is there whole or not at all."""
        shard = outcome.shard
        line = {"key": self.key, **asdict(outcome), "at": time.time()}
        write_sealed(self._line("done" if outcome.error is None else "failed", shard), line)
        if outcome.error is None:
            remove(self._line("failed", shard))

    def lines(self, kind: str, level: int) -> Iterator[Note]:
        """The notes of one level, "done" or "failed", each with its shard, worker, seconds, retries and time."""
        for path in (self.folder / kind / str(level)).glob("*/*.json"):
            line = _read(path)
            if _is_whole(line) and line.get("key") == self.key:
                yield line

    def notes(self, level: int) -> Iterator[tuple[Index, int | Mapping[str, FileSum]]]:
        """The shards of a level that are written, and the files that are noted of each: how many, in ledgers of before."""
        for line in self.lines("done", level):
            yield _index(line), line.get("files", 0)

    def strike_out(self, level: int, index: Index) -> None:
        """Note of a shard no longer that it is written."""
        remove(self._place("done", level, index))

    def done(self, level: int) -> set[Index]:
        """The numbers of the shards of a level that are written."""
        return {_index(line) for line in self.lines("done", level)}

    def left(
        self, shards: Sequence[Shard], files: Callable[[int], Mapping[Index, Mapping[str, int]]]
    ) -> tuple[list[Shard], int]:
        """Those of the shards that are to be done, in order, and how many of them were done but have files lost, cut off or emptied since.

        What is noted of the latter is struck out. `files` tells the files of each shard of a level and their sizes; it is
        asked after the notes are read, so that a writer is not overtaken.
        """
        notes = {shard: self._current("done", shard) for shard in shards}
        there = {level: files(level) for level in {shard.level for shard, note in notes.items() if note}}
        lost = {
            shard
            for shard, note in notes.items()
            if note and not as_noted(note.get("files", 0), there[shard.level].get(shard.index, {}))
        }
        for shard in lost:
            self.strike_out(shard.level, shard.index)
        return [shard for shard in shards if notes[shard] is None or shard in lost], len(lost)

    def note_worker(self, name: str, about: Mapping[str, object]) -> None:
        """What a worker says of itself, in place of what it said before."""
        write_json(self.folder / "workers" / f"{name}.json", {"key": self.key, "worker": name, **about})

    def workers(self) -> list[WorkerNote]:
        """What every worker said last."""
        found = (_read(path) for path in sorted((self.folder / "workers").glob("*.json")))
        return [about for about in found if _is_of_worker(about) and about.get("key") == self.key]

    @contextmanager
    def driving(self, what: str, patience_s: float = 1.0) -> Iterator[None]:
        """Be the only driver of `what` (a part's name) for a while; waits for the workers of one that was killed to end.
        Another driver is waited for up to `patience_s` seconds.

        The lock is the kernel's and goes with the process, however it ends. A shared disk has to honour flock.

        Raises:
            InputError: another process drives it, the line says which; or workers of one that was killed do not end.
        """
        driver = self.folder / "locks" / f"{what}.driver"
        with self._lock(driver.name, fcntl.LOCK_EX, patience_s) as is_ours:
            if not is_ours:
                raise InputError(
                    f"{self.folder}: {FileLock(driver).holder()} is working on {what}; two would write the same: wait for it or end it"
                )
            driver.write_text(json.dumps(who_we_are()) + "\n", encoding="utf-8")
            with self._lock(f"{what}.workers", fcntl.LOCK_EX, PATIENCE_S) as is_alone:
                if not is_alone:
                    raise InputError(
                        f"{self.folder}: workers of an earlier run are still writing {what} after {PATIENCE_S:.0f} s: end them first"
                    )
            yield

    @contextmanager
    def working(self, what: str) -> Iterator[None]:
        """Be one of the workers of a driver."""
        with self._lock(f"{what}.workers", fcntl.LOCK_SH, PATIENCE_S):
            yield

    def is_driven(self, what: str) -> bool:
        """Whether a driver is alive, on this machine or on one that shares the disk."""
        if not (self.folder / "locks" / f"{what}.driver").exists():
            return False
        with self._lock(f"{what}.driver", fcntl.LOCK_EX) as is_free:
            return not is_free

    def driven(self) -> list[str]:
        """The parts that have a living driver."""
        names = sorted(path.stem for path in (self.folder / "locks").glob("*.driver"))
        return [name for name in names if self.is_driven(name)]

    @contextmanager
    def _lock(self, name: str, how: int, patience_s: float = 0.0) -> Iterator[bool]:
        path = self.folder / "locks" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        until = time.monotonic() + patience_s
        with plain_file(path).open("a") as file:
            while not (is_ours := _try_lock(file, how)) and time.monotonic() < until:
                time.sleep(0.05)
            yield is_ours


def _try_lock(file: IO[str], how: int) -> bool:
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise InputError(
            f"{file.name}: its disk locks no files ({error.strerror}), so two workers could write one shard; expected one that honours "
            "flock: give --ledger a folder on another disk that all workers share"
        ) from error
    return True


def as_noted(noted: int | Mapping[str, FileSum], there: Mapping[str, int]) -> bool:
    """Whether files, as sizes by name, are those that are noted of a shard; ledgers of before know only how many there were."""
    if isinstance(noted, int):
        return len(there) >= noted
    return all(there.get(name) == size for name, (size, _) in noted.items())


def _read(path: Path) -> object:
    """A note; None where there is none, or where it is no JSON (the shard is then done again)."""
    try:
        return read_json(path)
    except (FileNotFoundError, ValueError):
        return None


def _is_whole(line: object) -> TypeGuard[Note]:
    """Whether a note holds what is read from it; a damaged one counts for nothing, and its shard is done again."""
    return is_like(line, LINE | {"files": MayLack(int)}) or is_like(line, LINE | {"files": {str: SUM}})


def _is_of_worker(about: object) -> TypeGuard[WorkerNote]:
    """Whether a worker's note holds what is read from it; a damaged one counts for nothing until the worker writes the next."""
    return is_like(about, WORKER)


def _index(line: Note) -> Index:
    z, y, x = line["shard"]["index"]
    return z, y, x

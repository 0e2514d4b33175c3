"""Bytes that were fetched over a network, kept on disk up to a bound: what was used longest ago goes first.

Several processes share one folder. A file is written aside and renamed, and bears a checksum, so that what a killed process or
a full disk leaves is fetched again, never believed. While one process fetches something, another that asks for it waits.
(The package diskcache was looked at: its bound is a soft one, and it checks nothing of what it reads back.)
"""

import asyncio
import errno
import fcntl
import hashlib
import os
import struct
import sys
import time
import zlib
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple

HEADER = struct.Struct("<4s?IQ")  # mark, whether the server has something there, checksum and length of what follows
MARK = b"SEC1"
ACCOUNT = struct.Struct("<QQQd")  # see `_Account`
STRIPES = 256  # lock files; two names rarely share one, and then one waits for the other
LOOK_S = 0.01  # between two looks at a lock that another holds
EVICTED_TO = 0.9  # of the bound, so that the folder is not searched through for every file
TOUCHED_S = 60.0  # a use is written down no more often
REPORT_EVERY_S = 15.0  # between two lines on how much was fetched
PAUSE_S = 60.0
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)  # of disks that lock no files
MIB = 2**20

Fetch = Callable[[], Awaitable[bytes | None]]


class _Account(NamedTuple):
    """Of the whole folder: bytes kept; bytes fetched since the last line about them and before it; when that line was printed."""

    kept: int
    fetched: int
    reported: int
    reported_at_s: float


@dataclass(frozen=True)
class DiskCache:
    """Bytes by name in files below `folder`, of at most `limit_bytes` altogether; it travels to other processes.

    What alone is larger than the bound is fetched and not kept. Where the disk is full, nothing more is kept either.
    """

    folder: Path
    limit_bytes: int

    async def get(self, name: str, fetch: Fetch) -> bytes | None:
        """The bytes of that name, from the disk where they are whole there, else fetched; None: the server has nothing there."""
        path = self._path(name)
        found = _read(path)
        if found is not None:
            return found[0]
        with await self._locked(path):
            found = _read(path)  # another may have fetched it meanwhile
            if found is not None:
                return found[0]
            content = await fetch()
            self._keep(path, content)
        return content

    @property
    def kept_bytes(self) -> int:
        """How much is kept, as the account says."""
        with self._account() as account:
            return _read_account(account).kept

    def _path(self, name: str) -> Path:
        digest = hashlib.sha256(name.encode()).hexdigest()[:40]
        return self.folder / digest[:2] / digest[2:]

    async def _locked(self, path: Path) -> IO[bytes]:
        """The lock of a file's stripe, ours until it is closed."""
        place = self.folder / "locks" / path.parent.name
        place.parent.mkdir(parents=True, exist_ok=True)
        lock = place.open("ab")
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                await asyncio.sleep(LOOK_S)
            except OSError as error:
                if error.errno in NO_LOCKS:
                    return lock
                lock.close()
                raise
            else:
                return lock

    def _keep(self, path: Path, content: bytes | None) -> None:
        body = content or b""
        size = HEADER.size + len(body)
        with self._account() as account:
            before = _read_account(account)
            kept = before.kept
            if kept + size > self.limit_bytes >= size:
                kept = _evict(self.folder, min(int(self.limit_bytes * EVICTED_TO), self.limit_bytes - size))
            is_kept = kept + size <= self.limit_bytes and _write(path, content is not None, body)
            after = before._replace(kept=kept + size * is_kept, fetched=before.fetched + len(body))
            account.seek(0)
            account.write(ACCOUNT.pack(*self._reported(after)))

    def _reported(self, account: _Account) -> _Account:
        """Say how much was fetched, by one of all processes, every few seconds."""
        now = time.time()
        passed_s = now - account.reported_at_s
        if not 0 <= passed_s < PAUSE_S:  # nothing was fetched for long: the rate begins again
            return account._replace(fetched=0, reported=account.reported + account.fetched, reported_at_s=now)
        if passed_s < REPORT_EVERY_S:
            return account
        rate = account.fetched / MIB / passed_s
        print(
            f"fetched over the network: {(account.reported + account.fetched) / MIB:,.0f} MiB so far, {rate:.1f} MiB/s; "
            f"{account.kept / MIB:,.0f} of at most {self.limit_bytes / MIB:,.0f} MiB kept in {self.folder}",
            file=sys.stderr,
        )
        return account._replace(fetched=0, reported=account.reported + account.fetched, reported_at_s=now)

    @contextmanager
    def _account(self) -> Iterator[IO[bytes]]:
        """The file that says how much is kept, ours meanwhile."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "account"
        with open(
            path, "r+b", opener=lambda name, flags: os.open(name, flags | os.O_CREAT, 0o666), buffering=0
        ) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX)
            except OSError as error:
                if error.errno not in NO_LOCKS:
                    raise
            yield file


def _read_account(file: IO[bytes]) -> _Account:
    """As it is written; of one that is not there yet, or was torn, what is kept is counted."""
    content = file.read()
    if len(content) == ACCOUNT.size:
        return _Account(*ACCOUNT.unpack(content))
    return _Account(sum(size for size, _, _ in _files(Path(file.name).parent)), 0, 0, 0.0)


def _read(path: Path) -> tuple[bytes | None] | None:
    """What a file holds, as a tuple of one; None where it is not there or not whole."""
    try:
        with path.open("rb") as file:
            content = file.read()
            used_s = os.fstat(file.fileno()).st_mtime
    except OSError:
        return None
    if len(content) < HEADER.size:
        return None
    mark, is_there, checksum, length = HEADER.unpack_from(content)
    body = content[HEADER.size :]
    if mark != MARK or length != len(body) or zlib.crc32(body) != checksum:
        return None
    if time.time() - used_s > TOUCHED_S:
        with suppress(OSError):
            os.utime(path)
    return (body if is_there else None,)


def _write(path: Path, is_there: bool, body: bytes) -> bool:
    """Whether it could be written; written aside, so that no reader sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        aside.write_bytes(HEADER.pack(MARK, is_there, zlib.crc32(body), len(body)) + body)
        aside.replace(path)
    except OSError:
        aside.unlink(missing_ok=True)
        return False
    return True


def _files(folder: Path) -> Iterator[tuple[int, float, str]]:
    """Size, time of the last use, and path of every file that is kept, and of what killed processes left."""
    for below in folder.glob("[0-9a-f][0-9a-f]"):
        with suppress(OSError), os.scandir(below) as entries:
            for entry in entries:
                with suppress(OSError):
                    stat = entry.stat()
                    yield stat.st_size, stat.st_mtime, entry.path


def _evict(folder: Path, requested_bytes: int) -> int:
    """Delete what was used longest ago until no more than that is left; returns how much is."""
    files = sorted(_files(folder), key=lambda file: file[1])
    left = sum(size for size, _, _ in files)
    for size, _, path in files:
        if left <= requested_bytes:
            break
        with suppress(OSError):
            Path(path).unlink()
        left -= size
    return left

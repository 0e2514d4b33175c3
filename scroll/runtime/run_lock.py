"""One writer at a time in a folder: a lock of the kernel, with a text that says who holds it."""

import errno
import fcntl
import json
import os
import platform
import shlex
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any

from scroll.errors import InputError
from scroll.runtime.bounded import plain_file
from scroll.runtime.links import refuse_dead_link
from scroll.runtime.output_folder import MARK, Kind, check_folder, read_mark

MARK_BYTES = 1024  # of what a lock says; holders of one share write the same length
PULSE_S = 5.0  # how often a holder touches its lock
WATCH_S = 20.0  # a lock of another machine that is not touched for so long is taken over
OLD_S = 600.0  # one that was not touched for so long is not even watched
PATIENCE_S = 1.0  # for a holder that is just ending
DYING_S = 30.0  # for the children of a killed holder to end
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)  # of disks that lock no files


class FileLock:
    """A lock on `path`, made where it is not there; it goes with the process, however that ends."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: Any = None

    @property
    def is_held(self) -> bool:
        """Whether it is ours."""
        return self._file is not None

    def take(self, is_shared: bool = False) -> bool:
        """Take it if it is free; true if it is ours now, or where the disk locks no files and no living holder is named."""
        if self._file is not None:
            return True
        self.path.parent.mkdir(parents=True, exist_ok=True)
        path = plain_file(refuse_dead_link(self.path))
        file = open(path, "r+b", opener=lambda name, flags: os.open(name, flags | os.O_CREAT, 0o666), buffering=0)  # noqa: SIM115
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if is_shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return False
        except OSError as error:
            if error.errno not in NO_LOCKS or _is_alive(read_mark(self.path)):
                file.close()
                if error.errno in NO_LOCKS:
                    return False
                raise
        if not self.path.exists() or os.fstat(file.fileno()).st_ino != self.path.stat().st_ino:
            file.close()  # its holder deleted it a moment ago
            return False
        self._file = file
        return True

    def write(self, content: Mapping[str, str]) -> None:
        """Say who holds it. At no moment does the file say nothing: texts are filled up with spaces, and written over one another whole."""
        if read_mark(self.path) == content:
            return
        text = json.dumps(dict(content)).encode()
        length = max(MARK_BYTES, os.fstat(self._file.fileno()).st_size)
        os.pwrite(self._file.fileno(), text.ljust(length - 1) + b"\n", 0)

    def touch(self) -> None:
        """Show that its holder lives."""
        os.utime(self._file.fileno())

    def release(self) -> None:
        """Give it back; no error where it is not held."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def give_up(self) -> None:
        """Delete its file and give it back; no error where it is not held."""
        if self._file is not None:
            self.path.unlink(missing_ok=True)
            self.release()

    def holder(self) -> str:
        """Who holds it, in words."""
        mark = read_mark(self.path)
        if "process" not in mark:
            return "another process"
        return f"process {mark['process']} on {mark.get('host')} since {mark.get('since')} ({mark.get('command')})"


def who_we_are() -> dict[str, str]:
    """What a lock says of its holder; addresses are left out of the command, for they may be signed."""
    program = "/".join(Path(sys.argv[0]).parts[-2:])
    words = ["<address>" if "://" in word else word for word in sys.argv[1:]]
    return {
        "host": platform.node() or "here",
        "process": str(os.getpid()),
        "started": _started(os.getpid()),
        "since": time.strftime("%Y-%m-%d %H:%M:%S"),
        "command": shlex.join([program, *words])[:200],
    }


@contextmanager
def writing(
    folder: Path, kind: Kind, keep_off: Iterable[Path] = (), part: str = "", is_training: bool = False
) -> Iterator[None]:
    """Be the only writer of a folder for a while; it is made, marked as ours, and refused where it is somebody else's.

    `part` names a share of the work: several shares of one whole write side by side. Of the processes of one `is_training`
    the first one holds the lock for all. Readers need none.

    Raises:
        InputError: the folder is not ours to write to, or another process writes to it; the line says who.
    """
    if is_training and int(os.environ.get("WORLD_SIZE", "1") or 1) > 1 and os.environ.get("RANK", "0") != "0":
        yield
        return
    check_folder(folder, kind, keep_off)
    new = [path for path in (folder, *folder.parents) if not path.exists()]
    with ExitStack() as stack:
        stack.callback(_remove_empty, new)
        place = folder.resolve()  # "." has no name
        beside = place.with_name(f".{place.name}.lock")
        lock = _taken(beside if kind.is_replaced else folder / MARK, folder, is_shared=bool(part))
        stack.callback(FileLock.give_up if kind.is_replaced else FileLock.release, lock)
        if part:
            _refuse_other_shares(folder, part)
            own = _taken(folder / f"{MARK}.{part}", folder, is_shared=False)
            stack.callback(own.give_up)
        about = {"kind": kind.name}
        lock.write(about | who_we_are())
        if not part and not kind.is_replaced:
            stack.callback(_leave, lock, about)
        stack.enter_context(_pulse(lock))
        yield


def _leave(lock: FileLock, about: Mapping[str, str]) -> None:
    """Leave the mark alone in the folder, and not even that where nothing was written."""
    if [path.name for path in lock.path.parent.iterdir()] == [lock.path.name]:
        lock.give_up()
    else:
        lock.write(about)


def _remove_empty(folders: Iterable[Path]) -> None:
    """Remove folders that were made for nothing, from the innermost on."""
    for folder in folders:
        try:
            folder.rmdir()
        except OSError:  # something was written, or it was never made
            return


def _taken(path: Path, folder: Path, is_shared: bool) -> FileLock:
    lock = FileLock(path)
    is_ours = lock.take(is_shared)
    began = time.monotonic()
    while not is_ours:
        mark = read_mark(path)
        is_dying = mark.get("host") == platform.node() and not _is_alive(mark)
        if time.monotonic() - began > (DYING_S if is_dying else PATIENCE_S):
            raise InputError(_refusal(folder, lock, is_dying))
        time.sleep(0.1)
        is_ours = lock.take(is_shared)
    if not is_shared and _lives_elsewhere(path):
        lock.release()
        raise InputError(_refusal(folder, lock, is_dying=False))
    return lock


def _refusal(folder: Path, lock: FileLock, is_dying: bool) -> str:
    if is_dying:
        return f"{folder}: {lock.holder()} is gone, but what it started still writes here: end that, then run the same command again"
    return (
        f"{folder}: {lock.holder()} writes here; wait until it has ended, or stop it, then run the same command again"
    )


def _lives_elsewhere(path: Path) -> bool:
    """Whether the lock names a holder on another machine that still touches it: some disks lock files for one machine only."""
    mark = read_mark(path)
    if not mark.get("process", "").isdecimal() or mark.get("host", "") in ("", platform.node() or "here"):
        return False
    touched = path.stat().st_mtime_ns
    until = time.monotonic() + (WATCH_S if time.time() - touched / 1e9 < OLD_S else 0)
    while time.monotonic() < until:
        time.sleep(PULSE_S / 10)
        if path.stat().st_mtime_ns != touched:
            return True
    return False


def _refuse_other_shares(folder: Path, part: str) -> None:
    """Shares of different wholes overlap."""
    whole = part.rpartition("-of-")[2]
    for path in folder.glob(f"{MARK}.*"):
        if path.name.rpartition("-of-")[2] == whole:
            continue
        other = FileLock(path)
        if not other.take():
            raise InputError(
                f"{folder}: {other.holder()} writes another share here, of {path.name.rpartition('-of-')[2]}; wait for it"
            )
        other.give_up()


def _is_alive(mark: Mapping[str, str]) -> bool:
    """Whether the process that a lock names runs on this machine, and is not another one of its number."""
    if mark.get("host") != (platform.node() or "here") or not mark.get("process", "").isdecimal():
        return False
    number = int(mark["process"])
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return mark.get("started", "") == _started(number)


def _started(process: int) -> str:
    """When a process was started, in ticks since the machine was; empty where the system does not say."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


@contextmanager
def _pulse(lock: FileLock) -> Iterator[None]:
    """Touch the lock every few seconds meanwhile."""
    is_over = Event()

    def beat() -> None:
        while not is_over.wait(PULSE_S):
            try:
                lock.touch()
            except OSError:  # the disk is away for a moment; the lock itself is not
                continue

    thread = Thread(target=beat, name="pulse of the lock", daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()

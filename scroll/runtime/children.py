"""Processes of this machine that end with the one that started them, however that ends, and that leave Ctrl-C to it.

Where Linux is, its kernel kills a child as soon as its parent is gone (prctl PR_SET_PDEATHSIG); elsewhere, and under a fork
server, a thread of the child waits for the end of its parent. A fork server is a process that has imported what all of them need
and forks for each: it has one thread and knows no GPU, and ends with the last process that may ask it.
"""

import atexit
import ctypes
import io
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import (
    active_children,
    connection,
    current_process,
    forkserver,
    parent_process,
    popen_spawn_posix,
    reduction,
    spawn,
    util,
)
from multiprocessing.context import (
    ForkContext,
    ForkProcess,
    ForkServerContext,
    ForkServerProcess,
    SpawnContext,
    SpawnProcess,
    set_spawning_popen,
)
from multiprocessing.process import BaseProcess
from multiprocessing.resource_tracker import getfd
from typing import Any, Literal

from scroll.errors import WorkerDiedError
from scroll.runtime.environment import environment

PARENT = "SCROLL_ENDS_WITH"  # environment variable of a command that another one started: that one's process number
STOPPING = (signal.SIGINT, signal.SIGTERM)
PR_SET_PDEATHSIG = 1
# bytes of a folder in which a socket's name is no longer than it may be
LONGEST_PLACE = 107 - len("/pymp-12345678/listener-12345678")
SHORT_PLACES = ("/tmp", "/var/tmp", "/dev/shm")
LOOK_S = 1.0  # between two looks at the parent, where no kernel says that it ended


def _killed_by_the_kernel() -> bool:
    """Ask for this process to be killed when its parent ends; False where only Linux could do that."""
    return sys.platform == "linux" and ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL) == 0


def end_with_parent() -> None:
    """For a process of `multiprocessing`: end with its parent, and leave Ctrl-C and SIGTERM to that."""
    for number in STOPPING:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
    parent = parent_process()
    if parent is None:
        return
    if parent.pid == os.getppid() and _killed_by_the_kernel():
        if os.getppid() != parent.pid:  # it ended before the kernel was asked
            os._exit(1)
        return
    threading.Thread(target=_end_at, args=(parent.sentinel,), daemon=True).start()


def _end_at(sentinel: int) -> None:
    connection.wait([sentinel])
    os._exit(1)


def command_environment() -> dict[str, str]:
    """This process's environment, for a command of ours that it starts and that is to end with it."""
    return {**os.environ, PARENT: str(os.getpid())}


def run_module(name: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run `python -m <name>` of a program that is not ours, such as pip, with nothing to read; what it says comes back.

    Where this process is stopped, it ends with all that it has started; where this one is killed, Linux ends it.
    """
    how = ["-m", name]
    if sys.platform == "linux":
        how = [
            "-c",
            f"{_end_with_this_one()}; import runpy; runpy.run_module({name!r}, run_name='__main__', alter_sys=True)",
        ]
    command, pipe = [sys.executable, *how, *arguments], subprocess.PIPE
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True, start_new_session=True
    ) as process:
        try:
            output, trouble = process.communicate()
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    return subprocess.CompletedProcess(process.args, process.returncode, output, trouble)


def end_with_command() -> None:
    """For a command: end with the command, or with the launcher of several processes (torchrun), that started it."""
    given = os.environ.pop(PARENT, None)  # popped: what this one starts in turn has another parent
    if given is None and "TORCHELASTIC_RUN_ID" not in os.environ:
        return
    parent = int(given) if given is not None and given.isdecimal() else os.getppid()
    if _killed_by_the_kernel():
        if os.getppid() != parent:
            os._exit(1)
        return
    threading.Thread(target=_end_after, args=(parent,), daemon=True).start()


def _end_after(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(LOOK_S)
    os._exit(1)


class _Spawned(popen_spawn_posix.Popen):
    """As Python's own, but for what `_launch` says."""

    _fds: list[int]

    def _launch(self, process_obj: BaseProcess) -> None:
        """Start the child and send it what it is to do.

        Python's own keeps the end that the child reads from open meanwhile, and so waits for ever once a child that has
        died leaves more than a pipe holds; and its child can be stopped by a Ctrl-C before it leaves those to its parent.
        """
        tracker_fd: Any = getfd()
        self._fds.append(tracker_fd)
        content = io.BytesIO()
        set_spawning_popen(self)
        try:
            reduction.dump(spawn.get_preparation_data(process_obj.name), content)
            reduction.dump(process_obj, content)
        finally:
            set_spawning_popen(None)
        self.sentinel, child_w = os.pipe()
        child_r, parent_w = os.pipe()
        self.finalizer = util.Finalize(self, _close, (self.sentinel, parent_w))
        try:
            self._fds += [child_r, child_w]
            self.pid = _spawned(_command(tracker_fd, child_r), self._fds)
        finally:
            os.close(child_r)
            os.close(child_w)
        try:
            with open(parent_w, "wb", closefd=False) as pipe:
                pipe.write(content.getbuffer())
        except BrokenPipeError:
            self.wait()
            raise WorkerDiedError(
                f"a process died while it started (exit code {self.returncode}), most often for want of memory: "
                "ask for fewer processes; the same command goes on"
            ) from None


def _close(*ends: int) -> None:
    for end in ends:
        os.close(end)


def _command(tracker_fd: int, pipe: int) -> list[str]:
    command: list[str] = [os.fsdecode(part) for part in spawn.get_command_line(tracker_fd=tracker_fd, pipe_handle=pipe)]
    if sys.platform == "linux":  # at once, before it imports anything: that takes seconds
        at = command.index("-c") + 1
        command[at] = f"{_end_with_this_one()}; {command[at]}"
    return command


def _end_with_this_one() -> str:
    """What a Python that this process starts runs first, so that Linux ends it with this process."""
    return (
        f"import ctypes, os; ctypes.CDLL(None).prctl({PR_SET_PDEATHSIG}, {int(signal.SIGKILL)}); "
        f"os.getppid() == {os.getpid()} or os._exit(1)"
    )


def _spawned(command: list[str], kept_open: list[int]) -> int:
    with _stopping_held_back():
        pid: int = util.spawnv_passfds(os.fsencode(spawn.get_executable()), command, kept_open)
    return pid


@contextmanager
def _stopping_held_back() -> Iterator[None]:
    """Ctrl-C and SIGTERM wait: in this process until the block ends, in one that is started within it until that allows them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _EndsWithParent(BaseProcess):
    def run(self) -> None:
        """What it was made for."""
        end_with_parent()
        super().run()

    def terminate(self) -> None:
        """SIGTERM is left to the parent, so only SIGKILL ends one."""
        self.kill()


class _Fork(_EndsWithParent, ForkProcess):
    pass


class _ForkServer(_EndsWithParent, ForkServerProcess):
    """Its server may be older than what this process has by now: environment and outputs go along.

    Only what a library reads as it is imported, such as a number of threads, stays as it was when the server began.
    """

    environment: dict[str, str]
    outputs: dict[int, Any]

    @staticmethod
    def _Popen(process_obj: Any) -> Any:
        sought = os.pathsep.join(
            sys.path
        )  # where a server looks for what it imports: until Python 3.13 it is not given that
        with _stopping_held_back(), environment(PYTHONPATH=sought):
            forkserver.ensure_running()
        return ForkServerProcess._Popen(process_obj)

    def __getstate__(self) -> dict[str, Any]:
        outputs = {number: reduction.DupFd(number) for number in (1, 2) if _is_open(number)}
        return {**self.__dict__, "environment": {**os.environ}, "outputs": outputs}

    def run(self) -> None:
        """What it was made for."""
        os.environ.clear()
        os.environ.update(self.environment)
        for number, output in self.outputs.items():
            os.dup2(output.detach(), number)
        super().run()


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


class _Spawn(_EndsWithParent, SpawnProcess):
    @staticmethod
    def _Popen(process_obj: BaseProcess) -> Any:
        return _Spawned(process_obj)


class _ForkFamily(ForkContext):
    Process = _Fork


class _ForkServerFamily(ForkServerContext):
    Process = _ForkServer


class _SpawnFamily(SpawnContext):
    Process = _Spawn


_FAMILIES = {"spawn": _SpawnFamily(), "fork": _ForkFamily(), "forkserver": _ForkServerFamily()}


def family(
    start_method: Literal["auto", "spawn", "fork", "forkserver"] = "spawn", preloaded: Iterable[str] = ()
) -> Any:
    """What `multiprocessing.get_context` gives, of processes that end with this one.

    They end with the thread that starts them too, as the kernel counts: start them from one that lives as long.
    auto: forkserver on Linux; elsewhere spawn, for libraries of macOS may not be used after a fork. A fork server imports the
    modules `preloaded` once for all its processes; once it runs, it is too late to name others.
    """
    _keep_sockets_short()
    if start_method == "auto":
        start_method = "forkserver" if sys.platform == "linux" else "spawn"
    if start_method == "forkserver":
        forkserver.set_forkserver_preload([name for name in preloaded if name != "__main__"])
    return _FAMILIES[start_method]


def _keep_sockets_short() -> None:
    """Where TMPDIR is deep down, let the sockets by which processes hand each other files lie elsewhere: their names must be short.

    Python raises an error there, or, in a loading process, waits for ever.
    """
    config: dict[str, Any] = current_process()._config  # type: ignore[attr-defined]
    if "tempdir" in config or len(os.fsencode(tempfile.gettempdir())) <= LONGEST_PLACE:
        return
    place = next((one for one in SHORT_PLACES if os.access(one, os.W_OK)), None)
    if place is not None:
        folder = tempfile.mkdtemp(prefix="pymp-", dir=place)
        util.Finalize(None, shutil.rmtree, args=(folder, True), exitpriority=-100)
        config["tempdir"] = folder  # of this process, and of all that it starts


@atexit.register  # before that of multiprocessing, which sends them the SIGTERM they ignore, and waits for ever
def end_children() -> None:
    """Kill those that nobody waits for: torch leaves its loading processes to Python's end where an exception holds them."""
    left = [process for process in active_children() if process.daemon]
    if left:
        with suppress(ValueError):  # not the main thread
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # their end is no news; torch's handler would raise it
    for process in left:
        process.kill()
        process.join()

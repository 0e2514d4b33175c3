"""A Python that has imported what the commands need, and forks for each of them: a fresh process without the seconds of its imports.

python fork_server.py SOCKET MODULE ...

It serves until its standard input ends. Who connects sends a line, a JSON object, with three open files, and gets a line with the
number of the process and, when that has ended, one with its exit code. What a command imports itself, and what it leaves on disk,
is as ever; the tests about starting a command (its imports, its first line, `--help`) start a Python of their own.
"""

import atexit
import json
import os
import runpy
import select
import shutil
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Mapping, Sequence
from importlib import import_module
from multiprocessing import spawn
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
MOST_BYTES = 1 << 17
ENDS_WITH = "SCROLL_ENDS_WITH"  # as `scroll.runtime.children` names it
_kept_alive: list[object] = []  # what is declared to torch goes with the module that declares it


def main() -> None:
    """Import the modules, then fork for all who ask."""
    place, names = sys.argv[1], sys.argv[2:]
    sys.path[0] = str(REPOSITORY)
    import_module("scroll.runtime.torchvision_schemas").import_torchvision()
    for name in names:
        import_module(name)
    if not any(name.startswith("scroll.") for name in names):  # a clone has its own
        _kept_alive.extend(sys.modules.pop(name) for name in [*sys.modules] if name.partition(".")[0] == "scroll")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those who wait for the commands
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"{place}.new")
        listening.listen(64)
        Path(f"{place}.new").rename(place)
        while sys.stdin not in select.select([listening, sys.stdin], [], [])[0]:
            asking, _ = listening.accept()
            if not os.fork():
                listening.close()
                answer(asking)
            asking.close()
    shutil.rmtree(Path(place).parent)


def answer(asking: socket.socket) -> None:
    """Start the command, and wait for it in the place of the one who asks; ends this process."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    text, files, _, _ = socket.recv_fds(asking, MOST_BYTES, 3)
    while not text.endswith(b"\n"):
        more = asking.recv(MOST_BYTES)
        text += more or b"\n"
    process = os.fork()
    if not process:
        asking.close()
        serve(json.loads(text), files)
    asking.sendall(f"{process}\n".encode())
    threading.Thread(
        target=lambda: asking.recv(1) or os._exit(1), daemon=True
    ).start()  # who asks is gone, as a parent would be
    asking.sendall(f"{os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])}\n".encode())
    os._exit(0)


def serve(asked: Mapping[str, Any], files: Sequence[int]) -> None:
    """Be the command: its arguments, folder, variables, files and interpreter; ends this process."""
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    sys.stdin, sys.stdout = open(0, closefd=False), open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115
    os.chdir(asked["cwd"])
    for name in {*os.environ} - {*asked["environment"]}:
        del os.environ[name]
    os.environ.update(asked["environment"])
    if ENDS_WITH in os.environ:
        os.environ[ENDS_WITH] = str(os.getppid())
    sys.executable = asked["python"]
    code: object = 0
    try:
        run(asked["command"])
    except SystemExit as end:
        code = end.code
        if isinstance(code, str):
            print(code, file=sys.stderr)
    except BaseException:  # noqa: BLE001  (as an interpreter would)
        traceback.print_exc()
        code = 1
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


def run(command: list[str]) -> None:
    """`-m module ...`, `-c program ...` or `script.py ...`, which finds modules where an interpreter would."""
    paths = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    if command[0] == "-m":
        sys.path[:1], sys.argv = [str(Path.cwd()), *paths], command[1:]
        runpy.run_module(command[1], run_name="__main__", alter_sys=True)
    elif command[0] == "-c":
        sys.path[:1], sys.argv = ["", *paths], ["-c", *command[2:]]
        exec(command[1], {"__name__": "__main__"})
    else:
        sys.path[:1], sys.argv = [str(Path(command[0]).resolve().parent), *paths], command
        runpy.run_path(command[0], run_name="__main__")


if __name__ == "__main__":
    spawn.set_executable(sys.executable)  # whatever a command takes for its interpreter
    main()

"""Commands as a user runs them, each a process of its own."""

import json
import os
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": "", "CUDA_VISIBLE_DEVICES": ""}


@cache
def fork_server() -> subprocess.Popen[str]:
    """The process that this one's steps are forked from."""
    command = [sys.executable, str(REPOSITORY / "tests" / "fork_server.py")]
    return subprocess.Popen(command, env=ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def step(*arguments: object, cwd: Path = REPOSITORY) -> subprocess.CompletedProcess[str]:
    """Run one command in a process of its own, as a user would, but for the seconds in which it would import."""
    command, server = [str(part) for part in arguments], fork_server()
    assert server.stdin and server.stdout
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        asked = {"command": command, "cwd": str(cwd), "out": str(out), "err": str(err)}
        server.stdin.write(json.dumps(asked) + "\n")
        server.stdin.flush()
        code = int(server.stdout.readline())
        return subprocess.CompletedProcess(command, code, out.read_text(), err.read_text())


def started(*arguments: object, cwd: Path = REPOSITORY) -> subprocess.CompletedProcess[str]:
    """The same from the start of Python on, for tests of what a command imports and where it finds itself."""
    command = [sys.executable, *(str(part) for part in arguments)]
    return subprocess.run(command, cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True, check=False)

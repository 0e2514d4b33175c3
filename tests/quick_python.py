"""What stands in the place of `python`: the same command from a process that has imported the libraries.

The interpreter itself does what is no script, module or program. Whoever copies this file fills in where both are.
"""

import json
import os
import signal
import socket
import sys

PYTHON, PLACE = "{python}", "{place}"


def main() -> int:
    """Run the command; its exit code."""
    command = sys.argv[1:]
    if not command or not (command[0] in ("-m", "-c") or command[0].endswith(".py")):
        os.execv(PYTHON, [PYTHON, *command])
    asked = {"command": command, "cwd": os.getcwd(), "environment": dict(os.environ), "python": sys.argv[0]}  # noqa: PTH109  (pathlib takes longer)
    with socket.socket(socket.AF_UNIX) as server, server.makefile() as answers:
        server.connect(PLACE)
        request = json.dumps(asked).encode() + b"\n"
        server.sendall(request[socket.send_fds(server, [request], [0, 1, 2]) :])
        process = int(answers.readline())
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda number, _: os.kill(process, number))
        code = int(answers.readline() or "1")
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    return code


sys.exit(main())

"""Commands as a user runs them, each a process of its own."""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": "", "CUDA_VISIBLE_DEVICES": ""}
LIBRARIES = (
    "torch", "numba", "accelerate", "pydantic", "zarr", "scipy.ndimage", "scipy.optimize", "scipy.spatial", "sklearn.metrics",
    "transformers.models.segformer.modeling_segformer", "monai.networks.nets.dynunet", "skimage.io", "skimage.morphology",
    "tensorboard.summary.writer.event_file_writer", "torch.utils.tensorboard", "jinja2", "matplotlib.figure", "tifffile",
    "dynamic_network_architectures.architectures.unet",
)  # fmt: skip
OURS = (
    "stage1_3d.fragments.data", "stage1_3d.segments.data", "scroll.training.loop", "stage2_2d.ink.train", "ensemble.ink.steps",
    "ensemble.ink.fit", "scroll.report.page", "scroll.phantom.dataset", "scroll.phantom.scroll_dataset", "stage1_3d.models.unet3d",
)  # fmt: skip


def on_one_core() -> None:
    """Keep this one of several processes of the tests, and all that it starts, on a core of its own: commands take their number of
    processes from that, and each of those would import all anew."""
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker is not None and hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[int(worker.removeprefix("gw")) % len(cores)]})


@cache
def fork_server(modules: tuple[str, ...]) -> Path:
    """Where a process listens that has imported these modules; it ends with this one."""
    place = Path(tempfile.mkdtemp(prefix="fork-server-")) / "socket"
    command = [sys.executable, str(REPOSITORY / "tests" / "fork_server.py"), str(place), *modules]
    server = subprocess.Popen(command, env=ENVIRONMENT, stdin=subprocess.PIPE)
    while not place.exists():
        assert server.poll() is None
        time.sleep(0.05)
    _servers.append(server)  # its standard input stays open as long
    return place


_servers: list[subprocess.Popen[bytes]] = []


def quick_python(path: Path, modules: tuple[str, ...] = (*LIBRARIES, *OURS)) -> Path:
    """Write a `python` for a command line, whose processes begin as those of `step` do."""
    text = (REPOSITORY / "tests" / "quick_python.py").read_text(encoding="utf-8")
    for name, value in (("python", sys.executable), ("place", str(fork_server(modules)))):
        text = text.replace(f"{{{name}}}", value)
    path.write_text(f"#!{sys.executable} -IS\n{text}", encoding="utf-8")
    path.chmod(0o755)
    return path


def step(
    *arguments: object, cwd: Path = REPOSITORY, environment: Mapping[str, str] = ENVIRONMENT
) -> subprocess.CompletedProcess[str]:
    """Run one command in a process of its own, as a user would, but for the seconds in which it would import."""
    command = [str(part) for part in arguments]
    asked = {"command": command, "cwd": str(cwd), "environment": {**environment}, "python": sys.executable}
    with (
        tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err, Path(os.devnull).open() as nothing,
        socket.socket(socket.AF_UNIX) as server, server.makefile() as answers,
    ):  # fmt: skip
        server.connect(str(fork_server((*LIBRARIES, *OURS))))
        request = json.dumps(asked).encode() + b"\n"
        sent = socket.send_fds(server, [request], [file.fileno() for file in (nothing, out, err)])
        server.sendall(request[sent:])
        _, code = answers.readline(), int(answers.readline())
        texts = [file.seek(0) or file.read() for file in (out, err)]
        return subprocess.CompletedProcess(command, code, *texts)


def started(*arguments: object, cwd: Path = REPOSITORY) -> subprocess.CompletedProcess[str]:
    """The same from the start of Python on, for tests of what a command imports and where it finds itself."""
    command = [sys.executable, *(str(part) for part in arguments)]
    return subprocess.run(command, cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True, check=False)

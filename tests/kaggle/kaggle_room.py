"""A Kaggle notebook on this machine: no network, read-only inputs, a Python that has what a stock notebook has and no more."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
SITE = Path(str(distribution("numpy").locate_file("")))
RUNNER = """
import errno, json, os, shutil, socket, sys, sysconfig
from pathlib import Path

def take_compiled(repository, installed):
    # of the modules that the cell installed: both processes would compile for half a minute what is compiled here already
    for compiled in repository.glob("[se]*/**/__pycache__/*.nb[ci]"):
        source = compiled.parents[1] / (compiled.name.partition(".")[0] + ".py")
        module = installed / source.relative_to(repository)
        if source.exists() and module.exists() and module.read_bytes() == source.read_bytes():
            module.with_name("__pycache__").mkdir(exist_ok=True)
            shutil.copy2(compiled, module.with_name("__pycache__"))
            os.utime(module, ns=(source.stat().st_atime_ns, source.stat().st_mtime_ns))

cells, report, readonly = json.load(open(sys.argv[1])), sys.argv[2], sys.argv[3]
try:
    socket.create_connection(("192.0.2.1", 80), timeout=5)
except OSError as error:
    assert error.errno == errno.ENETUNREACH, error
else:
    raise SystemExit("there is a network")
try:
    open(readonly + "/written", "w")
except OSError as error:
    assert error.errno == errno.EROFS, error
else:
    raise SystemExit("the input can be written to")
namespace = {"__name__": "__main__"}
for number, cell in enumerate(cells):
    exec(compile(cell, f"cell {number}", "exec"), namespace)
    if "--no-index" in cell:
        take_compiled(Path(sys.argv[4]), Path(sysconfig.get_path("purelib")))
import ensemble, monai, scroll, torch, zarr
files = {module.__name__: module.__file__ for module in (ensemble, monai, scroll, torch, zarr)}
json.dump(files, open(report, "w"))
"""


def need_namespaces() -> None:
    """Skip where this user may not cut a process off."""
    done = subprocess.run(["unshare", "--mount", "--net", "true"], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("unshare is not allowed here: no namespace without a network")


def repacked(package: str, folder: Path) -> Path:
    """The wheel of a package as it is installed here."""
    about = distribution(package)
    wheel = (about.read_text("WHEEL") or "").splitlines()
    tag = next(line.partition(": ")[2] for line in wheel if line.startswith("Tag: "))
    name = f"{about.metadata['Name'].replace('-', '_')}-{about.version}"
    path = folder / f"{name}-{tag}.whl"
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        kept = [file for file in _own_files(about) if not file.endswith(("RECORD", "INSTALLER", "REQUESTED"))]
        for file in kept:
            archive.write(SITE / file, file)
        record = next(file for file in _own_files(about) if file.endswith(".dist-info/RECORD"))
        archive.writestr(record, "".join(f"{file},,\n" for file in [*kept, record]))
    return path


def _own_files(about: Distribution) -> list[str]:
    files = [str(file) for file in about.files or []]
    return [file for file in files if not file.startswith("..") and "__pycache__" not in file]


def stock_python(folder: Path, without: list[str]) -> Path:
    """A fresh environment that sees all packages of this one but ours and those `without`."""
    hidden = {file.split("/")[0] for name in without for file in _own_files(distribution(name))}
    shadow = folder / "stock"
    shadow.mkdir(parents=True)
    for entry in SITE.iterdir():
        if entry.name not in hidden and not entry.name.startswith(("scroll_ensemble", "__editable__")):
            (shadow / entry.name).symlink_to(entry)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
    site = next((folder / "venv" / "lib").glob("python*")) / "site-packages"
    (site / "stock.pth").write_text(f"{shadow}\n")
    return folder / "venv" / "bin" / "python"


def code_cells(notebook: Path) -> list[str]:
    """Sources of the code cells, in order."""
    return [
        "".join(cell["source"]) for cell in json.loads(notebook.read_text())["cells"] if cell["cell_type"] == "code"
    ]


def execute(
    python: Path, notebook: Path, room: Path, gpus: str
) -> tuple[subprocess.CompletedProcess[str], dict[str, str]]:
    """Run the cells one after the other with /kaggle at `room` and room/input read-only; the result, and where modules lay."""
    cells = [
        cell.replace("/kaggle/", f"{room}/").replace("/tmp/scroll-ensemble", f"{room}/scratch")
        for cell in code_cells(notebook)
    ]
    (room / "cells.json").write_text(json.dumps(cells))
    (room / "runner.py").write_text(RUNNER)
    (room / "working").mkdir()
    inputs = room / "input"
    script = f'mount --bind "{inputs}" "{inputs}" && mount -o remount,ro,bind "{inputs}" && exec "$@"'
    command = ["unshare", "--mount", "--net", "sh", "-c", script, "sh", python, room / "runner.py", room / "cells.json"]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "PYTHON"))}
    environment = kept | {"PIP_CONFIG_FILE": os.devnull, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": gpus}
    command += [room / "modules.json", inputs, REPOSITORY]
    done = subprocess.run(command, cwd=room / "working", env=environment, capture_output=True, text=True, check=False)
    modules = json.loads((room / "modules.json").read_text()) if (room / "modules.json").exists() else {}
    return done, modules


def mount(source: Path, to: Path, names: list[str]) -> None:
    """Copy what a data set holds to where it is mounted."""
    for name in names:
        to.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if (source / name).is_dir() else shutil.copy2)(source / name, to / name)

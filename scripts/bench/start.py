"""What comes before the first step: processor seconds of fresh Pythons, with all processes that they start, until they end."""

import argparse
import ctypes
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from scripts.bench.timing import Times, beside
from scroll.errors import InputError

PR_SET_CHILD_SUBREAPER = 36  # processes whose parent is gone come to this one, so that their seconds are counted too
BUILT = """
import torch
from scroll.config.schema import MemberSettings
from stage1_3d.network import build_network
levels = {{"channels": [8, 16, 32], "strides": [[1, 2, 2], [2, 2, 2], [2, 2, 2]]}}
options = {{"unet3d": levels, "swinunetr": {{"feature_size": 12}}}}["{network}"]
build_network(MemberSettings(network="{network}", options=options, patch_size=(32, 32, 64)))
"""
LOADED = """
if __name__ == "__main__":
    from pathlib import Path
    from scripts.bench.training import ink_patches, unet_member
    from scroll.config.schema import DataSettings, TrainingSettings
    from scroll.data.fragments import Fragment
    from scroll.training.dataloader import training_batches
    folder = Path("{folder}")
    data = DataSettings(root=folder, depth=(-32, 32), cache_dir=folder / "cache")
    patches = ink_patches(Fragment("1", next((folder / "train").iterdir()), data), unet_member())
    loader = {{"workers": {workers}, "start_method": "{method}"}}
    settings = TrainingSettings.model_validate({{"loader": loader, "train_batch_size": 1}})
    for _ in range({trainings}):
        assert len(list(training_batches(patches, [[n] for n in range({patches})], settings))) == {patches}
"""
TRAININGS = 2


def run(arguments: argparse.Namespace) -> None:
    """Time networks that are built and loading processes that are started, in turns, and print both tables.

    Raises:
        InputError: this is not Linux.
    """
    if sys.platform != "linux":
        raise InputError("bench.py start: processes that outlive their parent are counted on Linux alone; run it there")
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    from scripts.bench.training import phantom_fragment

    with tempfile.TemporaryDirectory() as folder:
        phantom_fragment(Path(folder))
        for programs in (_networks(), _loading(folder, arguments.start_workers)):
            print(_table(programs, Path(folder), arguments.start_runs))


def _networks() -> dict[str, str]:
    """Name -> program; the first is the yardstick."""
    return {
        "torch imported": "import torch",
        "unet3d built": BUILT.format(network="unet3d"),
        "swinunetr built": BUILT.format(network="swinunetr"),
        "unet3d built, MONAI with all it finds": "import monai" + BUILT.format(network="unet3d"),
    }


def _loading(folder: str, count: int) -> dict[str, str]:
    """Name -> program; the first is the yardstick."""
    ways = {f"{count} patches in each of {TRAININGS} trainings, no loading process": (0, "spawn")}
    ways |= {f"the same from {count} processes, {method}": (count, method) for method in ("spawn", "forkserver")}
    return {
        name: LOADED.format(folder=folder, workers=workers, patches=count, method=method, trainings=TRAININGS)
        for name, (workers, method) in ways.items()
    }


def _table(programs: dict[str, str], folder: Path, runs: int) -> str:
    times = {name: Times() for name in programs}
    for _ in range(runs):
        for name, program in programs.items():
            _count(times[name], program, folder)
    yardstick = next(iter(programs))
    base = times[yardstick].median

    def extra(one: Times) -> str:
        return f"{one.median - base:+.2f} CPU s"

    return beside(times, yardstick, extra)


def _count(times: Times, program: str, folder: Path) -> None:
    path = folder / "program.py"
    path.write_text(program)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    before = _seconds()
    with times.one():
        subprocess.run([sys.executable, str(path)], env=environment, check=True)
        while True:
            try:
                os.wait()
            except ChildProcessError:
                break
    times.cpu[-1] = _seconds() - before


def _seconds() -> float:
    """Of the processor, by all processes that this one waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime

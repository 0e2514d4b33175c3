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
TORCH = "torch imported"
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

    networks = {
        TORCH: "import torch",
        **{f"{name} built": BUILT.format(network=name) for name in ("unet3d", "swinunetr")},
        "unet3d built, MONAI with all it finds": "import monai" + BUILT.format(network="unet3d"),
    }
    with tempfile.TemporaryDirectory() as folder:
        phantom_fragment(Path(folder))
        count = arguments.start_workers
        ways = {f"{count} patches in each of {TRAININGS} trainings, no loading process": (0, "spawn")}
        ways |= {f"the same from {count} processes, {method}": (count, method) for method in ("spawn", "forkserver")}
        loading = {
            name: LOADED.format(folder=folder, workers=workers, patches=count, method=method, trainings=TRAININGS)
            for name, (workers, method) in ways.items()
        }
        for programs in (networks, loading):
            times = {name: Times() for name in programs}
            for _ in range(arguments.start_runs):
                for name, program in programs.items():
                    _count(times[name], program, Path(folder))
            base = times[next(iter(programs))]
            print(beside(times, next(iter(programs)), lambda one, base=base: f"{one.median - base.median:+.2f} CPU s"))


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

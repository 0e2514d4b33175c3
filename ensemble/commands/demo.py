"""The whole pipeline on a phantom, one step after the other; each step leaves alone what is already done.

python scripts/demo.py [configs/demo.yaml] [--set a.b=c] [--phantom '--train 8 --test 2']
"""

import argparse
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from scroll.errors import InputError
from scroll.runtime.children import command_environment
from scroll.runtime.command_line import STOPPED, TERMINATED

if TYPE_CHECKING:
    from scroll.config.schema import DataSettings

ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    """Draw the phantom, run the pipeline on it, and say where the results are."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, nargs="?", default=Path("configs/demo.yaml"))
    parser.add_argument(
        "--preset",
        choices=("easy", "default", "hard", "zero"),
        help="how visible the phantom's ink is; left out: default on fragments, easy in scrolls",
    )
    parser.add_argument(
        "--phantom", default="", metavar="OPTIONS", help="options of make_phantom.py in the place of the demo's own"
    )
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a setting")
    arguments = parser.parse_args()
    from ensemble.check import load_run_settings
    from scroll.data.kinds import kind_of
    from scroll.training.loggers import check_trackers

    settings = load_run_settings(arguments.config, arguments.set)
    check_trackers(settings)
    config = [str(arguments.config), *(part for pair in arguments.set for part in ("--set", pair))]
    drawn = [*(["--preset", arguments.preset] if arguments.preset else []), *shlex.split(arguments.phantom)]
    root, output = settings.data.root, settings.folder.prediction
    kind = kind_of(settings.data)
    began = time.monotonic()
    for name, command in (
        ("phantom", ["-m", "ensemble.commands", "make-phantom", *phantom_of(settings.data).split(), "--out", str(root), *drawn]),
        ("stage one", ["-m", "stage1_3d.train", *config]),
        ("stage two", ["-m", "stage2_2d.train", *config]),
        *([("end-to-end training", ["-m", "ensemble.end_to_end.train", *config])] if settings.end_to_end is not None else []),
        ("ensemble", ["-m", "ensemble.calibrate", *config]),
        ("prediction", ["-m", "ensemble.predict", *config, "--input", str(root / kind.test), "--output", str(output),
                        "--submission", str(settings.run_dir / kind.submission), "--truth", str(root / "heldout")]),
    ):  # fmt: skip
        run_step(name, command)
    print(f"done in {(time.monotonic() - began) / 60:.1f} minutes")


FINE = "--zarr --size 109 1536 1536 --letter-height-px 90 --train 3 --test 1"  # a scan whose voxels are pooled as they are read
PHANTOM = {  # by kind of data, the phantom that is drawn
    "fragments": "fragments --seed 2026 --size 65 1536 1536 --train 4 --test 1",
    "cubes": "cubes --mixed --seed 59 --size 128 --train 32 --test 12",
    "segments": "scrolls --seed 2026 --size 256 --letter-height-px 80 --train 2 --test 1",
}


def phantom_of(data: "DataSettings") -> str:
    """Options of make_phantom.py for a demo on such data."""
    return PHANTOM[data.kind] if data.pool == 1 else f"fragments --seed 2026 --voxel-um {data.voxel_um:g} {FINE}"


def run_step(name: str, command: list[str]) -> None:
    """Run one of the project's commands in a process of its own, from whatever directory.

    Raises:
        InputError: it failed; it has said why.
    """
    print(f"\n== {name}: python {' '.join(command)}", flush=True)
    began = time.monotonic()
    paths = os.pathsep.join(
        [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    )  # a bare clone, from any directory
    status = subprocess.run(
        [sys.executable, *command], env={**command_environment(), "PYTHONPATH": paths}, check=False
    ).returncode
    if status in (STOPPED, TERMINATED) or status < 0:
        raise KeyboardInterrupt
    if status:
        raise InputError(
            f"step '{name}' failed with exit code {status}; its message is above; mend that and run the same command again"
        )
    print(f"== {name}: {time.monotonic() - began:.0f} s", flush=True)

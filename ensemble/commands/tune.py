"""Which batch, workers and prefetching suit this machine: short stretches of each member's own training, measured in three phases.

    python scripts/tune.py configs/exp001_full.yaml [--member unet3d] [--steps 20] [--max-batch 8] [--workers 0 1 2 4 6]
    make stage1 CONFIG=configs/exp001_full.yaml PLAN=runs/exp001_full.tuned.yaml

What does not fit is tried once and left again for the last good setting. Nothing in run_dir is touched; the working copy of the
data that training needs is made where it is not there yet. To begin from a plan: --set @runs/exp001_full.plan.yaml
"""

import argparse
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from scroll.runtime.command_line import number
from scroll.runtime.processes import usable_cores

if TYPE_CHECKING:
    from scroll.config.schema import MemberSettings, Settings
    from scroll.planning.measured_step import Memory
    from scroll.planning.tuning import Setting, Trial, Tuned

FREE_SHARE = 0.1  # of all RAM that is to stay free


def main() -> None:
    """Tune each member and write what was found as an overlay of the configuration."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, help="YAML of the run, such as configs/exp001_full.yaml")
    parser.add_argument("--member", action="append", default=[], metavar="NAME", help="only this one; may be repeated")
    parser.add_argument(
        "--steps", type=int, default=20, help="that are counted of each trial, after those that warm up"
    )
    parser.add_argument("--max-batch", type=int, default=8, help="largest batch that is tried")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2, 4, 6], help="counts that are tried")
    parser.add_argument(
        "--gpu-limit-gib",
        type=number(-1e6, 1e6),
        metavar="X",
        help="of the card that may be used; without one, of this process",
    )
    parser.add_argument(
        "--noise", type=number(-1e6, 1e6), default=0.03, help="share by which a trial must be faster to be faster"
    )
    parser.add_argument("--output", type=Path, help="overlay to write; default beside run_dir, <run_dir>.tuned.yaml")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a setting")
    arguments = parser.parse_args()
    _check(arguments)
    _tune(arguments)


def _check(arguments: argparse.Namespace) -> None:
    from scroll.errors import InputError

    if arguments.steps < 1 or arguments.max_batch < 1 or min(arguments.workers) < 0:
        raise InputError(
            "--steps, --max-batch and --workers: expected at least 1 step, batches from 1 and workers from 0"
        )
    if not 0 <= arguments.noise < 1 or (arguments.gpu_limit_gib is not None and arguments.gpu_limit_gib <= 0):
        raise InputError("--noise and --gpu-limit-gib: expected a share from 0 to below 1, and GiB above 0")


def _tune(arguments: argparse.Namespace) -> None:
    import torch

    from scroll.errors import InputError
    from scroll.planning.measured_step import memory
    from scroll.planning.overlay import table, tuned_text
    from scroll.runtime.files import write_text
    from scroll.runtime.output_folder import TUNED, check_file
    from stage1_3d.network import load_checked_settings

    settings = load_checked_settings(arguments.config, arguments.set)
    unknown = [name for name in arguments.member if name not in settings.stage1.trained]
    if unknown:
        raise InputError(f"--member {unknown[0]}: no such member; there are {', '.join(settings.stage1.trained)}")
    output = arguments.output or settings.run_dir.with_name(f"{settings.run_dir.name}.tuned.yaml")
    check_file(output, TUNED)
    room = memory(arguments.gpu_limit_gib)
    found = {}
    for name in arguments.member or settings.stage1.trained:
        with tempfile.TemporaryDirectory(prefix="tune-") as scratch:
            found[name] = tune_member(settings, name, arguments, room, Path(scratch))
        print(f"\n{name}, all trials\n{table(found[name].trials, found[name].chosen)}")
        print("\n".join(f"  {line}" for line in found[name].why))
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "a CPU"
    write_text(output, tuned_text(found, str(arguments.config), device, arguments.steps))
    print(f"\ntuned: {output}")


def tune_member(
    settings: "Settings", name: str, arguments: argparse.Namespace, room: "Memory", scratch: Path
) -> "Tuned":
    """Go through the phases with one member on the first fold; all that is written goes below `scratch`."""
    from scroll.data.folds import make_folds
    from scroll.planning.measured_step import run_trial
    from scroll.planning.overlay import table
    from scroll.planning.tuning import Bounds, tune
    from stage1_3d.kinds import training_data
    from stage1_3d.train import member_task

    own = _only(settings, name, scratch)
    member = own.stage1.members[name]
    data = training_data(own)
    fold = make_folds(data.items, own.folds)[0]

    def measure(phase: str, setting: "Setting") -> "Trial":
        trial = run_trial(
            phase, lambda: member_task(own, name, data, fold), member.training, setting, arguments.steps, room.limit_gib
        )
        print(table([trial]).splitlines()[-1], flush=True)
        return trial

    cores = usable_cores()
    for count in (count for count in arguments.workers if count > cores):
        print(f"{count} workers: not tried, there are {cores} cores")
    bounds = Bounds(
        max_batch=arguments.max_batch,
        workers=tuple(arguments.workers),
        cores=cores,
        limit_gib=room.limit_gib,
        least_free_gib=min(FREE_SHARE * room.total_ram_gib, 0.5 * room.free_ram_gib),
        noise=arguments.noise,
    )
    print(f"\n{name}, as it is measured\n{table([])}")
    return tune(requested_of(member), bounds, measure)


def requested_of(member: "MemberSettings") -> "Setting":
    """What the configuration asks for."""
    from scroll.planning.tuning import Setting

    training, loader = member.training, member.training.loader
    return Setting(
        training.train_batch_size,
        training.accumulate_steps,
        loader.workers,
        loader.prefetch_factor,
        loader.persistent_workers,
    )


def _only(settings: "Settings", name: str, scratch: Path) -> "Settings":
    """The settings with this member alone, one validation patch, and a run folder of its own."""
    member = settings.stage1.members[name]
    training = member.training.model_copy(update={"validation_patches": 1})
    members = {name: member.model_copy(update={"training": training})}
    stage1 = settings.stage1.model_copy(update={"members": members})
    return settings.model_copy(update={"run_dir": scratch / "run", "stage1": stage1, "trackers": ()})

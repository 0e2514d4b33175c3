"""Predict a whole scroll with a trained run, in shard-sized pieces; killed anywhere, the same command goes on.

    python scripts/predict_scroll.py configs/surface.yaml --input scroll.zarr --output prob.zarr --plan-only
    python scripts/predict_scroll.py configs/surface.yaml --input scroll.zarr --output prob.zarr
    srun -n 64 python scripts/predict_scroll.py configs/surface.yaml --input s3://bucket/scroll.zarr --output prob.zarr

Exit code 3 where shards failed: they are named, the rest is done, and the same command tries them again.
"""

import argparse
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ensemble.whole_scroll.plan import ScrollRequest
    from scroll.config.schema import Settings
    from scroll.shards.engines import Engine
    from scroll.shards.plan import Plan
    from scroll.volumes.sharded.output import ShardOutput

FAILED = 3


def main() -> int:
    """Plan, predict, and say what failed."""
    arguments = read_arguments()
    from ensemble.check import load_run_settings
    from ensemble.whole_scroll.members import message_on_left_out
    from ensemble.whole_scroll.plan import make_plan, recipe_of
    from scroll.runtime.output_folder import LEDGER, SCROLL_PLAN, check_file, check_folder
    from scroll.shards.drive import Driver, run_part
    from scroll.shards.plan import write_plan
    from scroll.shards.status import read_status
    from scroll.shards.work import Job

    check_arguments(arguments)
    settings = load_run_settings(arguments.config, arguments.set)
    request, ledger = request_of(arguments, settings), ledger_folder(arguments)
    check_folder(ledger, LEDGER, [settings.run_dir, Path(arguments.output)])
    if left_out := message_on_left_out(settings):
        print(left_out)
    if arguments.plan_only:
        plan = make_plan(settings, request, is_measured=True)
        print("\n".join(plan.lines()))
        path = ledger.with_name(ledger.name.removesuffix(".ledger") + ".plan.json")
        check_file(path, SCROLL_PLAN)
        write_plan(path, plan)
        print(f"plan: {path}")
        return 0
    part = Driver(*part_of_environment(arguments))
    engine = engine_of(arguments, part.of)
    if part.of > 1:  # a batch script without srun is one of so many too, and nobody does the rest
        print(f"part {part.number} of {part.of}; the others are for other processes")
    plan = current_plan(settings, request, ledger)
    output = output_of(plan, arguments.output, ledger)
    job = Job(ledger, plan.key, output, recipe_of(settings, plan), part.name)
    failed = run_part(plan, job, engine, part)
    print("\n".join(read_status(ledger).lines()))
    return FAILED if failed else 0


def read_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("config", type=Path, help="YAML of the trained run")
    add("--input", required=True, help="path or address of the volume")
    add("--output", required=True, help="OME-Zarr to write, on disk or s3://")
    add("--level", type=int, help="level of the volume's pyramid to predict (default: data.level)")
    add(
        "--surface",
        type=Path,
        action="append",
        default=[],
        help="only shards that this surface passes through; may be repeated",
    )
    add("--mask", type=Path, help="only shards where this volume, of any voxel size, is not 0")
    add("--grey", type=float, nargs=2, metavar=("MEDIAN", "SPREAD"), help="grey scale (default: measured)")
    add(
        "--plan-only",
        action="store_true",
        help="print shards, bytes and hours, write the plan beside the output, and stop",
    )
    add("--engine", choices=("local", "ray"), default="local")
    add("--workers", type=int, help="processes or actors (default: one a graphics card)")
    add("--ray-address", help="join this cluster (auto, or host:port) instead of starting one")
    add("--num-parts", type=int, help="independent runs that share the work (default: WORLD_SIZE or SLURM_NTASKS)")
    add("--part-id", type=int, help="which of them this is, from 0 (default: RANK or SLURM_PROCID)")
    add("--shard", type=int, default=512, help="edge of a shard in voxels: the piece of work, and a file of the output")
    add("--chunk", type=int, default=128, help="edge of a chunk in voxels: what a reader decodes at once")
    add("--levels", type=int, default=1, help="levels of the output's pyramid")
    add(
        "--zarr",
        choices=("0.5", "0.4"),
        default="0.5",
        help="OME-Zarr version; 0.4 has a file a chunk, for Volume Cartographer",
    )
    add("--ledger", type=Path, help="folder for plan and ledger (default: OUTPUT.ledger)")
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="override a setting")
    return parser.parse_args()


def check_arguments(arguments: argparse.Namespace) -> None:
    """Refuse what would otherwise do nothing, or something else, without a word.

    Raises:
        InputError: no worker, a part without its number, or a cluster's address without its engine.
    """
    from scroll.errors import InputError

    if arguments.workers is not None and arguments.workers < 1:
        raise InputError(f"--workers {arguments.workers}: expected 1 or more; or leave it out for one a graphics card")
    if (arguments.num_parts is None) != (arguments.part_id is None):
        raise InputError(
            "--num-parts and --part-id: expected both or neither, such as --num-parts 64 --part-id 17; torchrun and srun need neither"
        )
    if arguments.ray_address is not None and arguments.engine != "ray":
        raise InputError(f"--ray-address {arguments.ray_address}: only --engine ray joins a cluster; add it")


def request_of(arguments: argparse.Namespace, settings: "Settings") -> "ScrollRequest":
    """What the command line asks for."""
    from ensemble.whole_scroll.plan import ScrollRequest

    level = settings.data.level if arguments.level is None else arguments.level
    grey_scale = None if arguments.grey is None else (arguments.grey[0], arguments.grey[1])
    request = ScrollRequest(
        arguments.input, level, arguments.shard, arguments.chunk, arguments.zarr, arguments.levels,
        tuple(arguments.surface), arguments.mask, grey_scale,
    )  # fmt: skip
    request.check()
    return request


def ledger_folder(arguments: argparse.Namespace) -> Path:
    """Beside the output, unless given otherwise.

    Raises:
        InputError: the output is remote and no folder was given.
    """
    from scroll.errors import InputError
    from scroll.volumes.url import Url, path_or_url

    if arguments.ledger is not None:
        return Path(arguments.ledger)
    place = path_or_url(arguments.output)
    if isinstance(place, Url):
        raise InputError(f"--output {place}: is remote; give --ledger, a folder on a disk that all workers share")
    return place.with_name(f"{place.name}.ledger")


def current_plan(settings: "Settings", request: "ScrollRequest", ledger: Path) -> "Plan":
    """The plan that the ledger was begun with, or a new one.

    Raises:
        InputError: it was begun with other networks, settings or shards.
    """
    from ensemble.whole_scroll.plan import key_of_request, make_plan
    from scroll.shards.drive import claim
    from scroll.shards.ledger import PLAN
    from scroll.shards.plan import read_plan

    if not (ledger / PLAN).exists():
        claim(ledger, make_plan(settings, request))
    plan = read_plan(ledger / PLAN)
    claim(ledger, replace(plan, key=key_of_request(settings, request)))
    return plan


def output_of(plan: "Plan", path: str, ledger: Path) -> "ShardOutput":
    """The output, made where it is not there yet.

    Raises:
        InputError: the ledger knows of shards that were written, and the output is gone: nobody would write them again.
    """
    from scroll.errors import InputError, MissingInputError
    from scroll.shards.ledger import Ledger
    from scroll.volumes.sharded.output import create_output, open_output

    # the ledger first: another part may begin now, and makes the output before its first line
    if next(Ledger(ledger, plan.key).lines("done", 0), None) is not None:
        try:
            open_output(path)
        except MissingInputError:
            raise InputError(
                f"{path}: not there, but {ledger} says that shards of it are written; expected both or neither: put the output back, "
                "or delete that ledger to predict it all again"
            ) from None
    return create_output(path, plan.how, plan.key, plan.about.get("begin_um", ()))


def part_of_environment(arguments: argparse.Namespace) -> tuple[int, int]:
    """(part, parts): as given, or as torchrun or SLURM say.

    Raises:
        InputError: one of their two variables is missing, or is no number.
    """
    from scroll.errors import InputError

    if arguments.num_parts is not None:
        return arguments.part_id, arguments.num_parts
    for rank, world in (("RANK", "WORLD_SIZE"), ("SLURM_PROCID", "SLURM_NTASKS")):
        if rank not in os.environ:
            continue  # salloc's shell knows a number of tasks, and is none of them
        given = os.environ[rank], os.environ.get(world, "")
        if not all(number.isdecimal() for number in given):
            raise InputError(
                f"the environment says {rank}={given[0]} and {world}={given[1]}; expected two numbers: unset both, or give --num-parts and "
                "--part-id"
            )
        return int(given[0]), int(given[1])
    return 0, 1


def engine_of(arguments: argparse.Namespace, parts: int) -> "Engine":
    """Where the work is done; one of several `parts` that torchrun or SLURM started beside each other takes one graphics card."""
    if arguments.engine == "ray":
        from scroll.shards.ray_engine import RayEngine

        return RayEngine(arguments.workers, arguments.ray_address)
    import torch

    from scroll.shards.local_engine import LocalEngine

    cards = torch.cuda.device_count()  # asks no driver, as is_available does: it would never look at the variable again
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    devices = tuple(visible.split(",")) if visible and cards else tuple(map(str, range(cards)))
    beside = os.environ.get("LOCAL_RANK", os.environ.get("SLURM_LOCALID"))
    if beside is not None and arguments.num_parts is None and parts > 1 and devices:
        devices = (devices[int(beside) % len(devices)],)
        os.environ["CUDA_VISIBLE_DEVICES"] = devices[0]
    return LocalEngine(arguments.workers or max(1, len(devices)), devices)

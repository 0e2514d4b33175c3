"""Every member of a configuration on this machine's GPU: a training step in several ways, and prediction, within a time.

python scripts/bench_gpu.py [configs/exp001_full.yaml] [--minutes 12] [--steps 60] [--precision bf16] [--ways ...]
                            [--member unet3d] [--out results.json]

Ways: `plain` is augmented in the loading processes; `device` on the GPU; `compiled`, `channels last` and `no topology` are `device`
with that changed; `prediction` is windows of what `plain` trained, read from memory. What comes after the time is not begun.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scroll.config.schema import Settings

Row = dict[str, object]
Changes = dict[str, object]
COLUMNS = (
    "member", "way", "precision", "batch", "step_s", "wait_share", "augment_s", "tflop_a_s", "peak_share", "allocated_gib", "planned_gib",
    "reserved_gib", "megavoxel_a_s", "megavoxel_a_s_compiled", "message",
)  # fmt: skip
ON_DEVICE: Changes = {"augment_on": "device"}
WAYS: Mapping[str, Changes] = {
    "plain": {"augment_on": "cpu"},
    "device": ON_DEVICE,
    "compiled": {**ON_DEVICE, "compile": True},
    "channels last": {**ON_DEVICE, "channels_last": True},
    "no topology": ON_DEVICE,
}
WITHOUT_TOPOLOGY, PREDICTION = "no topology", "prediction"
WINDOWS_YX = 4  # of the predicted volume: so many windows beside each other along y and x, one along z


def main() -> None:
    """Train each member in each way and precision, on a phantom made for it, predict, and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, nargs="?", default=Path("configs/exp001_full.yaml"))
    parser.add_argument("--minutes", type=float, default=12.0, help="after which nothing more is begun (%(default)s)")
    parser.add_argument(
        "--steps", type=int, default=60, help="of each training, the first 20 do not count (%(default)s)"
    )
    precisions = ("fp32", "bf16", "fp16")
    parser.add_argument(
        "--precision", nargs="+", choices=precisions, help="default: bf16 where the card has it, else fp16"
    )
    parser.add_argument(
        "--ways", nargs="+", choices=(*WAYS, PREDICTION), default=[*WAYS, PREDICTION], help="default: all"
    )
    parser.add_argument("--member", action="append", default=[], help="only this one; may be repeated")
    parser.add_argument("--out", type=Path, help="also write the rows to this JSON file")
    parser.add_argument("--cpu", action="store_true", help="run without a GPU all the same, to try the script")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a setting")
    arguments = parser.parse_args()
    import torch

    from scroll.errors import InputError
    from scroll.runtime.files import write_json
    from scroll.runtime.output_folder import TIMES, check_file

    if arguments.out:
        check_file(arguments.out, TIMES)
    if not (torch.cuda.is_available() or arguments.cpu):
        raise InputError("no GPU is visible to torch: install a CUDA build of it, or try the script with --cpu")
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    about = {"device": device, "torch": torch.__version__, "config": str(arguments.config)}
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for row in bench(arguments, Path(folder), device):
            rows.append(row)
            print(table([row]).splitlines()[-1], flush=True)
            if arguments.out:  # what is measured is not lost with a machine that is taken away
                write_json(arguments.out, {**about, "rows": rows})
    print(f"\n{device}, torch {torch.__version__}, {arguments.config}, {arguments.steps} steps\n{table(rows)}")


def bench(arguments: argparse.Namespace, folder: Path, device: str) -> Iterator[Row]:
    """A row for every way, member and precision, the plain ones first; those that the time does not reach say so."""
    until = time.monotonic() + 60 * arguments.minutes
    settings = _with_phantom(arguments, folder)
    names = arguments.member or list(settings.stage1.trained)
    for way, precision, name in product(arguments.ways, arguments.precision or [_precision()], names):
        row: Row = {"member": name, "way": way, "precision": precision}
        if time.monotonic() > until:
            yield {**row, "message": "not begun: no time left"}
            continue
        run = settings.model_copy(update={"run_dir": folder / "runs" / precision})
        if way == PREDICTION:
            yield {**row, **predicted(run, name, precision)}
            continue
        run = run.model_copy(
            update={"run_dir": folder / "runs" / precision / ("" if way == "plain" else way.replace(" ", "-"))}
        )
        how = {**WAYS[way], "precision": precision, "steps": arguments.steps}
        found = bench_member(_without_topology(run, name) if way == WITHOUT_TOPOLOGY else run, name, how)
        yield {**row, **found, **_beside_the_card(run, name, device, precision, found)}


def _with_phantom(arguments: argparse.Namespace, folder: Path) -> "Settings":
    """The configuration on a phantom of its kind."""
    from ensemble.commands.demo import phantom_of, run_step
    from scroll.data.kinds import kind_of
    from stage1_3d.network import load_checked_settings

    own = [f"data.root={folder / 'data'}", f"data.cache_dir={folder / 'cache'}"]
    settings = load_checked_settings(arguments.config, [*arguments.set, *own])
    if kind_of(settings.data).has_one_volume_of_many:
        # the phantom's volumes are too small for bands of rows with a buffer between
        settings = load_checked_settings(arguments.config, [*arguments.set, *own, "folds.by=volume", "folds.count=2"])
    made = [
        "-m",
        "ensemble.commands",
        "make-phantom",
        *phantom_of(settings.data).split(),
        "--out",
        str(folder / "data"),
    ]
    run_step("phantom", made)
    return settings


def _precision() -> str:
    import torch

    if not torch.cuda.is_available():
        return "fp32"
    return "bf16" if torch.cuda.get_device_capability() >= (8, 0) else "fp16"


def _without_topology(settings: "Settings", name: str) -> "Settings":
    member = settings.stage1.members[name]
    return _with_member(settings, name, {"loss": member.loss.model_copy(update={"topology": 0.0})})


def _beside_the_card(settings: "Settings", name: str, device: str, precision: str, found: Row) -> Row:
    """Share of the card's peak where the card is known, and what the plan says that the step holds, in GiB."""
    from scroll.planning.machine import GPUS
    from stage1_3d.memory.plan import candidate_of, legal_member

    more: Row = {}
    card = next((gpu for gpu in GPUS.values() if gpu.name in device), None)
    speed = found.get("tflop_a_s")
    if card is not None and isinstance(speed, float) and card.tflop_s[precision]:
        more["peak_share"] = round(speed / card.tflop_s[precision], 4)
    batch = found["batch"]
    member = legal_member(settings.stage1.members[name], settings.data)
    traced = candidate_of(member, member.patch_size, None, precision != "fp32")
    if isinstance(batch, int):
        more["planned_gib"] = round(traced.footprint.at(batch).total, 3)
    return more


def predicted(settings: "Settings", name: str, precision: str) -> Row:
    """Windows of the member that `plain` trained, a million voxels a second of wall clock; where there is none, why."""
    if not (settings.folder.fold(name, 0) / "weights.safetensors").exists():
        return {"message": "the plain way was not trained"}
    changed = _with(settings, name, {"precision": precision, "steps": 1})
    return {
        "megavoxel_a_s": _megavoxel_a_s(changed, name),
        "megavoxel_a_s_compiled": _megavoxel_a_s(with_compiled_windows(changed), name),
    }


def with_compiled_windows(settings: "Settings") -> "Settings":
    """The same settings, stage one's networks compiled where they predict."""
    window = settings.stage1.window.model_copy(update={"compile": True})
    return settings.model_copy(update={"stage1": settings.stage1.model_copy(update={"window": window})})


def _megavoxel_a_s(settings: "Settings", name: str) -> float:
    """Of a scan in bytes, read, sent, looked at and blended; the second of two sweeps, for the first compiles and allocates."""
    from functools import partial

    import numpy as np

    from scroll.data.intensity import Intensity
    from scroll.inference.grey_values import sent
    from scroll.inference.sliding_window import Prediction, Sweep
    from stage1_3d.external.member import window_of
    from stage1_3d.predict import load_forward

    window = window_of(settings, name)
    shape = (window[0], WINDOWS_YX * window[1], WINDOWS_YX * window[2])
    volume = np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8)
    forward = load_forward(settings, name, [0])

    def read(corner: tuple[int, ...]) -> "np.typing.NDArray[np.uint8]":
        return volume[tuple(slice(c, c + p) for c, p in zip(corner, window, strict=True))][None]

    sweep = Sweep(shape, window, settings.stage1.window, (0, shape[1]))
    prediction = Prediction(sweep, read, lambda: forward, shape, partial(sent, how=Intensity.by_z_score((127.0, 64.0))))
    for _ in range(2):
        began = time.perf_counter()
        prediction.run(lambda row, rows: None, 0)
        took_s = time.perf_counter() - began
    return round(volume.size / took_s / 1e6, 3)


def bench_member(settings: "Settings", name: str, how: Changes) -> Row:
    """Train one member on one fold with `how` for its training; where the GPU's memory is too small, again with half the batch."""
    import torch

    from scroll.data.folds import make_folds
    from stage1_3d.kinds import training_data
    from stage1_3d.train import train_member

    batch = settings.stage1.members[name].training.train_batch_size
    message = ""
    while True:
        changed = _with(settings, name, {"train_batch_size": batch, **how})
        data = training_data(changed)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        try:
            train_member(changed, name, data, make_folds(data.items, changed.folds)[0])
        except torch.OutOfMemoryError:
            message = f"batch {batch} does not fit"
            if batch == 1:
                return {"batch": batch, "message": message}
            batch //= 2
            continue
        folder = changed.folder.fold(name, 0)
        return {"batch": batch, **last_breakdown(folder), "message": message}


def _with(settings: "Settings", name: str, training: Changes) -> "Settings":
    """The same settings with one member's training changed; validated and saved only at the end."""
    steps = training["steps"]
    rhythm = {"validate_every": steps, "checkpoint_every": steps, "validation_patches": 1}
    own = settings.stage1.members[name].training
    return _with_member(settings, name, {"training": own.model_copy(update={**training, **rhythm})})


def _with_member(settings: "Settings", name: str, changes: Changes) -> "Settings":
    """The same settings with one member changed."""
    members = {**settings.stage1.members, name: settings.stage1.members[name].model_copy(update=changes)}
    return settings.model_copy(update={"stage1": settings.stage1.model_copy(update={"members": members})})


def last_breakdown(folder: Path) -> Row:
    """The last breakdown in a training's history.

    Raises:
        InputError: it ended before the first one.
    """
    import json

    from scroll.errors import InputError

    lines = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    found = [line["breakdown"] for line in lines if "breakdown" in line]
    if not found:
        raise InputError("--steps: a step is measured from the twentieth on, every 20 steps; give at least 40")
    return dict(found[-1])


def table(rows: list[Row]) -> str:
    """The rows as Markdown."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    lines += ["| " + " | ".join(str(row.get(column, "-")) for column in COLUMNS) + " |" for row in rows]
    return "\n".join(lines)

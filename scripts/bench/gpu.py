"""One hundred steps of every member of a configuration on this machine's GPU: step time, waiting, peak memory, by precision.

python scripts/bench_gpu.py [configs/exp001_full.yaml] [--steps 100] [--precision bf16 fp16] [--augment-on cpu device]
                            [--member unet3d] [--out results.json]
"""

import argparse
import tempfile
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scroll.config.schema import Settings

COLUMNS = (
    "member", "precision", "augment_on", "batch", "step_s", "wait_share", "augment_s", "allocated_gib", "reserved_gib", "tflop_a_s", "said",
)  # fmt: skip


def main() -> None:
    """Train each member in each precision, on a phantom made for it, and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, nargs="?", default=Path("configs/exp001_full.yaml"))
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--precision", nargs="+", choices=("fp32", "bf16", "fp16"), default=["bf16", "fp16"])
    said = "where patches are augmented"
    parser.add_argument("--augment-on", nargs="+", choices=("cpu", "device"), default=["cpu", "device"], help=said)
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
    with tempfile.TemporaryDirectory() as folder:
        rows = bench(arguments, Path(folder))
    print(f"\n{device}, torch {torch.__version__}, {arguments.config}, {arguments.steps} steps\n{table(rows)}")
    if arguments.out:
        write_json(
            arguments.out, {"device": device, "torch": torch.__version__, "config": str(arguments.config), "rows": rows}
        )


def bench(arguments: argparse.Namespace, folder: Path) -> list[dict[str, object]]:
    """A row for every member, precision and place of augmentation."""
    from ensemble.commands.demo import phantom_of, run_step
    from scroll.data.kinds import kind_of
    from stage1_3d.network import load_checked_settings

    own = [f"data.root={folder / 'data'}", f"data.cache_dir={folder / 'cache'}"]
    settings = load_checked_settings(arguments.config, [*arguments.set, *own])
    if kind_of(
        settings.data
    ).has_one_volume_of_many:  # the phantom's volumes are too small for bands of rows with a buffer between
        settings = load_checked_settings(arguments.config, [*arguments.set, *own, "folds.by=volume", "folds.count=2"])
    run_step(
        "phantom",
        ["-m", "ensemble.commands", "make-phantom", *phantom_of(settings.data).split(), "--out", str(folder / "data")],
    )
    rows = []
    names = arguments.member or settings.stage1.members
    for precision, name, augment_on in product(arguments.precision, names, arguments.augment_on):
        run = settings.model_copy(update={"run_dir": folder / "runs" / precision / augment_on})
        how = {"precision": precision, "augment_on": augment_on, "steps": arguments.steps}
        rows.append(bench_member(run, name, how))
        print(table(rows[-1:]))
    return rows


def bench_member(settings: "Settings", name: str, how: dict[str, object]) -> dict[str, object]:
    """Train one member on one fold with `how` for its training; where the GPU's memory is too small, again with half the batch."""
    import torch

    from scroll.data.folds import make_folds
    from stage1_3d.kinds import training_data
    from stage1_3d.train import train_member

    batch = settings.stage1.members[name].training.train_batch_size
    said = ""
    while True:
        changed = _with(settings, name, {"train_batch_size": batch, **how})
        data = training_data(changed)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        try:
            train_member(changed, name, data, make_folds(data.items, changed.folds)[0])
        except torch.OutOfMemoryError:
            said = f"batch {batch} does not fit"
            if batch == 1:
                return {"member": name, **how, "batch": batch, "said": said}
            batch //= 2
            continue
        folder = changed.folder.fold(name, 0)
        return {"member": name, **how, "batch": batch, **last_breakdown(folder), "said": said}


def _with(settings: "Settings", name: str, training: dict[str, object]) -> "Settings":
    """The same settings with one member's training changed; validated and saved only at the end."""
    steps = training["steps"]
    member = settings.stage1.members[name]
    rhythm = {"validate_every": steps, "checkpoint_every": steps, "validation_patches": 1}
    changed = member.model_copy(update={"training": member.training.model_copy(update={**training, **rhythm})})
    members = {**settings.stage1.members, name: changed}
    return settings.model_copy(update={"stage1": settings.stage1.model_copy(update={"members": members})})


def last_breakdown(folder: Path) -> dict[str, object]:
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


def table(rows: list[dict[str, object]]) -> str:
    """The rows as Markdown."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    lines += ["| " + " | ".join(str(row.get(column, "-")) for column in COLUMNS) + " |" for row in rows]
    return "\n".join(lines)

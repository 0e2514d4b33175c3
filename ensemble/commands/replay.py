"""Predict a few rows of a finished prediction again, from its receipt, and print how far they are from what was written.

python scripts/replay.py runs/demo_ink/stage1/unet3d/oof/1 [--rows 128] [--first 640]
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from scroll.runtime.command_line import whole

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from scroll.config.schema import Settings
    from scroll.data.cubes import Cube
    from scroll.data.sheets import Sheet
    from scroll.runtime.receipt import MadeBy, Receipt

    class Rows(Protocol):
        """What predicts rows of a map, such as a Prediction."""

        def rows(self, first: int, end: int) -> NDArray[np.float32]:
            """Rows [first, end), second axis from the end."""


ROUNDING = 2**-10  # maps are float16: half of its step just below 1, and as much again for another machine's sums


def main() -> int:
    """Replay one prediction; 1 where it cannot be told from another."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "folder", type=Path, help="folder of one prediction, with receipt.json and prob.zarr or ink.zarr"
    )
    parser.add_argument("--rows", type=whole(1, 10**9), default=128, help="how many rows to predict again")
    parser.add_argument("--first", type=whole(0, 10**9), help="the first of them; left out: the middle of the map")
    arguments = parser.parse_args()
    found = replay(arguments.folder, arguments.rows, arguments.first)
    print(found.message)
    return 0 if found.largest_difference <= ROUNDING else 1


@dataclass(frozen=True)
class Replayed:
    """Rows [first, end) predicted again: how far they are from what was written, which versions changed, and that in words."""

    rows: tuple[int, int]
    largest_difference: float
    changed: str
    message: str


def replay(folder: Path, rows: int, first: int | None) -> Replayed:
    """Largest difference between rows [first, first + rows) of the map in `folder` and the same rows predicted now.

    Raises:
        MissingInputError: the map, its receipt, or the data or weights it names are not there.
        InputError: data or weights changed since, or the rows lie outside the map.
    """
    import numpy as np

    from scroll.errors import InputError
    from scroll.inference.prediction_store import open_map
    from scroll.runtime.receipt import made_by, read_receipt

    hint = "give the folder of one prediction, such as runs/demo_ink/stage1/unet3d/oof/1"
    receipt = read_receipt(folder, hint)
    _check(folder, receipt)
    names = ["prob.zarr", *(["flat.zarr"] if _is_of_others(receipt) else []), "ink.zarr"]
    stored = open_map(folder / next((name for name in names if (folder / name).exists()), names[-1]), hint)
    height = stored.shape[-2]
    start = max(0, (height - rows) // 2) if first is None else first
    end = min(start + rows, height)
    if not 0 <= start < end:
        raise InputError(f"--first {start} --rows {rows}: the map has rows 0 to {height}; give rows inside it")
    before = np.asarray(stored[..., start:end, :], np.float32)
    now = np.concatenate(
        [p.rows(max(start, a), min(end, b)) for a, b, p in _parts(folder, receipt) if a < end and b > start], -2
    )
    now = now.astype(np.float16).astype(np.float32).reshape(before.shape)
    difference = _largest_difference(before, now)
    changed = _changed(receipt.get("made_by"), made_by())
    message = f"{folder}: rows {start}-{end} predicted again; largest difference {difference:.2e}"
    message += (
        f" ({np.count_nonzero(before != now)} of {before.size} values differ)"
        if difference
        else ", every value the same"
    )
    message += f"\nmade with other versions than today's: {changed}" if changed else ""
    return Replayed((start, end), difference, changed, message)


def _largest_difference(before: "NDArray[np.float32]", now: "NDArray[np.float32]") -> float:
    """Over the values; where one of the two is NaN and the other not, infinite."""
    import numpy as np

    if (np.isnan(before) != np.isnan(now)).any():
        return float("inf")
    return float(np.nan_to_num(np.abs(before - now)).max())


def _check(folder: Path, receipt: "Receipt") -> None:
    """Refuse what cannot be compared: not a network's, an older receipt, weights that are gone or exchanged."""
    from scroll.errors import InputError, MissingInputError
    from scroll.inference.current_weights import check_weights, weights_here
    from scroll.runtime.receipt import weights_in

    if not weights_in(receipt):
        raise InputError(
            f"{folder}: was not predicted by a network, so there is nothing to run again; give a member's folder"
        )
    if (folder / "coverage.zarr").exists() and not (folder / "prob.zarr").exists():
        raise InputError(
            f"{folder}: is flattened from the prediction of a volume; replay that, a folder of {folder.parent / 'volumes'}"
        )
    expected = ("source", "made_by") if _is_of_others(receipt) else ("source", "made_by", "window")
    lacking = [name for name in expected if name not in receipt]
    if lacking:
        raise InputError(
            f"{folder}: its receipt says no {', '.join(lacking)}, so it is of an older version; predict it again"
        )
    for path in weights_in(receipt):
        if not weights_here(folder, Path(path)).exists():
            raise MissingInputError(
                f"{path}: the weights that made {folder} are not there; put them back, or run from where you trained"
            )
    check_weights(folder, receipt, "predict it again")


def _is_of_others(receipt: "Receipt") -> bool:
    """Whether a member that was trained elsewhere predicted."""
    from scroll.data.members.card import NAME
    from scroll.runtime.receipt import weights_in

    return any(Path(path).name == NAME for path in weights_in(receipt))


def _run_of(folder: Path, receipt: "Receipt") -> "tuple[Settings, str]":
    """Settings of the run, and which part of it ("stage1", "stage2", "joint") the weights belong to."""
    from scroll.config.reader import load_settings
    from scroll.data.members.others import of_others
    from scroll.errors import MissingInputError
    from scroll.runtime.receipt import weights_in

    if _is_of_others(receipt):
        for place in _runs_about(folder):
            if (place / "settings.yaml").exists():
                settings = load_settings(place / "settings.yaml")
                if receipt["member"] in of_others(settings):
                    return settings, "stage1"
        raise MissingInputError(
            f"{folder}: no run with the member '{receipt['member']}' about it; keep it in its run, or beside what its run predicted"
        )
    weights = Path(next(iter(weights_in(receipt))))
    for folder in weights.parents:
        if (folder / "settings.yaml").exists():
            return load_settings(folder / "settings.yaml"), weights.relative_to(folder).parts[0]
    raise MissingInputError(
        f"{weights}: no settings.yaml above it; keep weights in the run folder they were trained in"
    )


def _runs_about(folder: Path) -> Iterator[Path]:
    """Folders that may be the run of a prediction whose weights lie elsewhere: those it is in, and those of predictions beside it."""
    from scroll.runtime.receipt import NAME, read_receipt, weights_in

    yield from folder.resolve().parents
    beside = [*folder.parent.glob(f"*/{NAME}"), *folder.parent.parent.glob(f"*/{folder.name}/{NAME}")]
    for path in sorted(beside):
        for weights in weights_in(read_receipt(path.parent, "predict it again")):
            yield from Path(weights).parents


def _parts(folder: Path, receipt: "Receipt") -> "list[tuple[int, int, Rows]]":
    """First and end row of each part of the map, and what predicts it."""
    from scroll.data.members.others import of_others
    from scroll.errors import InputError

    settings, stage = _run_of(folder, receipt)
    other = of_others(settings).get(receipt["member"]) if _is_of_others(receipt) else None
    if other and other.card.ready:
        raise InputError(
            f"{folder}: was predicted elsewhere and taken as it is, so there is nothing to run again; give another member's folder"
        )
    window = settings.stage1.window if stage == "stage1" else settings.stage2.window
    if "window" in receipt and window.model_dump(mode="json") != receipt["window"]:
        raise InputError(
            f"{folder}: was predicted with other windows than {stage}.window of the run's settings.yaml; predict it again"
        )
    if "cube" in receipt:
        return [_cube(settings, receipt)]
    if "volume" in receipt:
        return [_volume(settings, receipt)]
    sheet = _sheet(settings, receipt, is_to_train_on=folder.parent.name == "oof")
    if other and other.gives_map:
        from stage1_3d.external.again import map_again

        return [(0, sheet.rows, map_again(settings, receipt["member"], sheet, receipt["folds"]))]
    if stage == "stage1":
        from stage1_3d.predict import prediction_of

        return [
            (a, b, prediction_of(settings, receipt["member"], sheet, (a, b), folds))
            for (a, b), folds in receipt["parts"]
        ]
    from stage2_2d.predict import prediction_of as prediction_of_sheet

    predictor = _predictor(settings, stage, sheet, folder)
    return [(a, b, prediction_of_sheet(settings, predictor, (a, b), folds)) for (a, b), folds in receipt["parts"]]


def _sheet(settings: "Settings", receipt: "Receipt", is_to_train_on: bool) -> "Any":
    """The sheet that was predicted, turned and shifted as it was then.

    Raises:
        InputError: its files changed since.
    """
    from scroll.data.kinds import kind_of
    from scroll.errors import InputError

    source = Path(str(receipt["source"]))
    data = settings.data.model_copy(update={"normal_sign": receipt["normal_sign"]})
    sheet: Any = kind_of(data).item(receipt["fragment"], source, data)
    sheet = sheet.to_train_on() if is_to_train_on else sheet
    if hasattr(sheet, "is_flipped"):
        sheet = replace(sheet, is_flipped=receipt["is_flipped"], shift_layers=receipt["shift_layers"])
    if sheet.key != receipt["data"]:
        raise InputError(
            f"{source}: its files, or how they are looked at, changed since; nothing can be told: predict it again"
        )
    return sheet


def _predictor(settings: "Settings", stage: str, sheet: "Sheet", folder: Path) -> "Any":
    from scroll.runtime.run_folder import END_TO_END
    from stage2_2d.ink.train import oof_folders
    from stage2_2d.predict import stage2_predictor
    from stage2_2d.stack import read_stack

    is_oof = folder.parent.name == "oof"
    folders = oof_folders(settings, sheet.id) if is_oof else {n: folder.parent / n for n in settings.stage1.sources}
    stack = read_stack(settings.stage1, sheet, folders, "predict them again")
    if stage == END_TO_END:
        from ensemble.end_to_end.network import end_to_end_predictor

        return end_to_end_predictor(settings, sheet, stack)  # type: ignore[arg-type]
    return stage2_predictor(settings, sheet, stack)


def _cube(settings: "Settings", receipt: "Receipt") -> "tuple[int, int, Rows]":
    from scroll.data.cubes import prepare, training_cubes
    from scroll.errors import MissingInputError

    cube = next((cube for cube in training_cubes(settings.data) if cube.id == receipt["cube"]), None)
    if cube is None:
        raise MissingInputError(f"{settings.data.root}: cube {receipt['cube']} is not there any more; put it back")
    cube = prepare([cube])[0]
    return 0, cube.rows, _of_cube(settings, receipt["member"], cube, receipt["folds"])


def _of_cube(settings: "Settings", name: str, cube: "Cube", folds: list[int]) -> "Rows":
    from functools import partial

    from scroll.data.members.others import of_others
    from stage1_3d.cubes.predict import prediction_of
    from stage1_3d.external.again import CubeAgain
    from stage1_3d.predict import load_forward

    other = of_others(settings).get(name)
    if other and other.goes_whole(cube.seen_um):
        return CubeAgain(other, cube, folds)
    return prediction_of(settings, name, cube, partial(load_forward, settings, name, folds))


def _volume(settings: "Settings", receipt: "Receipt") -> "tuple[int, int, Rows]":
    from scroll.data.segments import Segment, by_volume
    from scroll.errors import InputError
    from stage1_3d.segments.predict import prediction_of, requested_blocks

    data = settings.data.model_copy(update={"normal_sign": receipt["normal_sign"]})
    traced = by_volume([Segment(Path(path).name, Path(path), data) for path in receipt["source"]])[0]
    if traced.key != receipt["data"]:
        raise InputError(f"{receipt['volume']}: the volume or a segment in it changed since; predict it again")
    blocks = requested_blocks(traced, {name: (first, end) for name, (first, end) in receipt["rows"].items()})
    prediction = prediction_of(settings, receipt["member"], (traced, blocks), receipt["folds"])
    return 0, prediction.shape[1], prediction


def _changed(then: "MadeBy | None", now: "MadeBy") -> str:
    """What of code and packages is not what it was, in words."""
    before = then or {"code": {"version": ""}, "python": "", "machine": "", "packages": {}}
    pairs: dict[str, tuple[str | None, str]] = {"python": (before.get("python"), now["python"])}
    pairs |= {"code": (before.get("code", {}).get("commit"), now["code"].get("commit", ""))}
    pairs |= {name: (before.get("packages", {}).get(name), number) for name, number in now["packages"].items()}
    return ", ".join(f"{name} {old or 'unknown'} -> {new}" for name, (old, new) in pairs.items() if old != new and new)

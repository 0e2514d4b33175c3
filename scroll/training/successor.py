"""A finished training stays in use until the one that takes its place is finished: that one is trained in a folder aside."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from scroll.config.former_names import former_names
from scroll.config.schema import TrainingSettings
from scroll.inference.fold_ensemble import is_main_process
from scroll.runtime.files import remove
from scroll.runtime.receipt import NAME as RECEIPT
from scroll.runtime.receipt import file_hash, read_receipt

WEIGHTS, NEXT = "weights.safetensors", "next"
SHOWN = 4  # settings that are named as changed
Content = Mapping[str, Any]


class Planned(NamedTuple):
    """A training by its label, its folder, and the hash of all that decides its weights."""

    label: str
    folder: Path
    key: str


def place_to_train(folder: Path, key: str, label: str, made_with: Content, settings: TrainingSettings) -> Path | None:
    """Where the training of `key` goes on: `folder`, or <folder>/next where finished weights are in use; None: it is done.

    Says what is there, what changed since, and what is trained again.
    """
    is_first = is_main_process()
    if is_first:
        take_over(folder)  # of a run that was killed while it did so
    elif _is_whole(folder / NEXT, key):
        return None
    message, place = f"already trained, {folder / WEIGHTS}", None
    if not _is_whole(folder, key):
        message, place = _again(folder, key, made_with, settings)
    if is_first and message:
        print(f"{label}: {message}", flush=True)
    if is_first and place == folder:
        remove(folder / RECEIPT)  # it speaks of weights that are not there
    return place


def say_what_is_trained_again(planned: Iterable[Planned]) -> None:
    """Before the first of several trainings: which of them were finished, and are trained again for settings or data of now."""
    again = [
        one.label
        for one in planned
        if (one.folder / RECEIPT).exists() and (one.folder / WEIGHTS).exists() and not _is_whole(one.folder, one.key)
    ]
    if again and is_main_process():
        print(
            f"trained again, each said with what changed; until then what is finished stays in use: {'; '.join(again)}",
            flush=True,
        )


def take_over(folder: Path) -> None:
    """Put a training that was finished in <folder>/next in the place of the one before; nothing where there is none.

    The receipt comes last: killed before that, the next call does the rest.
    """
    aside = folder / NEXT
    if not (aside / RECEIPT).exists():
        return
    remove(aside / "resume.pt")
    names = [
        path.name for path in aside.iterdir() if not path.name.startswith(".") and path.name not in (WEIGHTS, RECEIPT)
    ]
    for name in (*names, WEIGHTS, RECEIPT):
        if (aside / name).is_dir():
            remove(folder / name)
        if (aside / name).exists():
            (aside / name).replace(folder / name)
    remove(aside)


def _is_whole(folder: Path, key: str) -> bool:
    """Whether a training of `key` was finished in `folder` and its weights are still those that its receipt speaks of."""
    if not ((folder / RECEIPT).exists() and (folder / WEIGHTS).exists()):
        return False
    receipt = read_receipt(folder, "")
    return bool(receipt["key"] == key and receipt.get("weights") == file_hash(folder / WEIGHTS))


def _again(folder: Path, key: str, made_with: Content, settings: TrainingSettings) -> tuple[str, Path]:
    """What to say before a training that is not done, and where it goes on."""
    if not ((folder / RECEIPT).exists() and (folder / WEIGHTS).exists()):
        return "", folder
    before = read_receipt(folder, "")
    if before["key"] == key:
        return f"{folder / WEIGHTS} is not the file that {RECEIPT} speaks of: it is trained again", folder / NEXT
    changes = changed_since(before, made_with, settings)
    what = "; ".join(changes[:SHOWN]) + (f"; and {len(changes) - SHOWN} more" if len(changes) > SHOWN else "")
    return (
        f"{what or 'settings or data changed'} since it was trained: it is trained again in {folder / NEXT}; until that is finished "
        f"the weights in {folder} stay in use",
        folder / NEXT,
    )


def changed_since(receipt: Content, made_with: Content, settings: TrainingSettings) -> list[str]:
    """What a receipt says otherwise than `made_with`, a line each: dotted name, old and new value; data are named without their hash.

    Settings that decide no weight are left out.
    """
    now = _leaves(json.loads(json.dumps(dict(made_with), default=str)))
    then = _leaves({k: _by_new_names(receipt.get(k)) if k == "settings" else receipt.get(k) for k in made_with})
    harmless = set(settings.model_dump()) - set(settings.deciding())
    lines = []
    for name in dict.fromkeys([*then, *now]):
        parts = name.split(".")
        if then.get(name) == now.get(name) or parts[0] == "plan" or ("training" in parts and harmless & {*parts}):
            continue
        is_hash = parts[0] in ("data", "started_from")
        lines.append(f"{name} changed" if is_hash else f"{name} was {then.get(name)!r}, is {now.get(name)!r}")
    return lines


def _by_new_names(settings: object) -> object:
    former = former_names()
    if not isinstance(settings, dict):
        return settings
    return {
        former.get(key, key): value if key == "options" else _by_new_names(value) for key, value in settings.items()
    }


def _leaves(content: Content, prefix: str = "") -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in content.items():
        found |= _leaves(value, f"{prefix}{key}.") if isinstance(value, dict) and value else {f"{prefix}{key}": value}
    return found

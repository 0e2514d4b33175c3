"""Where a training begins that does not begin from nothing."""

from collections.abc import Mapping
from pathlib import Path

from scroll.data.folds import Fold
from scroll.data.members.card import NAME, read_card
from scroll.errors import InputError, MissingInputError
from scroll.runtime.receipt import read_receipt

WEIGHTS, FOLDS = "weights.safetensors", "fold[0-9]*"  # below a member's folder in a run


def beginning(source: Path, fold: Fold) -> Path:
    """The checkpoint that a fold begins from: the file itself, or the weights in a member's folder that are new to what it holds out.

    The folder is that of a member of others with its card, or that of a member in a run of ours, with a folder for each fold.

    Raises:
        MissingInputError: nothing there.
        InputError: every network in the folder has seen an item that the fold holds out: its score would be no longer out of fold.
    """
    if not source.exists():
        raise MissingInputError(f"{source}: not there; init is a checkpoint, or the folder of a member with its card")
    if not source.is_dir():
        return source
    ours = sorted(path for path in source.glob(FOLDS) if (path / WEIGHTS).is_file())
    if ours:
        return _of_a_run(source, ours, fold)
    card = read_card(source)
    for one in card.folds:
        if one.trained_on and not {*one.trained_on} & {*fold.held_out}:
            return source / one.weights
    raise InputError(
        f"{source / NAME}: each of its networks has seen (or may have seen) what fold {fold.number} holds out, {', '.join(fold.held_out)}: "
        "a training that begins there is judged on what it knows; leave init out, or begin from weights that are new to these"
    )


def _of_a_run(source: Path, folds: list[Path], fold: Fold) -> Path:
    for path in folds:
        if _is_new_to(read_receipt(path, f"train {source} to the end first"), fold):
            return path / WEIGHTS
    raise InputError(
        f"{source}: each of its folds was trained on some of what fold {fold.number} holds out, {', '.join(fold.held_out)}: a training "
        "that begins there is judged on what it knows; leave init out, or split both runs alike"
    )


def _is_new_to(receipt: Mapping[str, object], fold: Fold) -> bool:
    """Whether a fold of a run held out, or never saw, all rows that another holds out."""
    was, seen = receipt.get("held_out"), receipt.get("data")
    if not isinstance(was, dict) or not isinstance(seen, dict):
        return False
    held_out = {name: rows for name, rows in fold.held_out.items() if rows[0] < rows[1] and name in seen}
    return all(name in was and was[name][0] <= first and end <= was[name][1] for name, (first, end) in held_out.items())

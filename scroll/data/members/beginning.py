"""Where a training begins that does not begin from nothing."""

from pathlib import Path

from scroll.data.folds import Fold
from scroll.data.members.card import NAME, read_card
from scroll.errors import InputError, MissingInputError


def beginning(source: Path, fold: Fold) -> Path:
    """The checkpoint that a fold begins from: the file itself, or the weights in a member's folder that are new to what it holds out.

    Raises:
        MissingInputError: nothing there.
        InputError: every network in the folder has seen an item that the fold holds out: its score would be no longer out of fold.
    """
    if not source.exists():
        raise MissingInputError(f"{source}: not there; init is a checkpoint, or the folder of a member with its card")
    if not source.is_dir():
        return source
    card = read_card(source)
    for one in card.folds:
        if one.trained_on and not {*one.trained_on} & {*fold.held_out}:
            return source / one.weights
    raise InputError(
        f"{source / NAME}: each of its networks has seen (or may have seen) what fold {fold.number} holds out, {', '.join(fold.held_out)}: "
        "a training that begins there is judged on what it knows; leave init out, or begin from weights that are new to these"
    )

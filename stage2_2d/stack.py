"""The flattened stack of a fragment: every member's channels, and the CT's if asked for, at working resolution."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scroll.config.schema import Stage1Settings
from scroll.data.sheets import Sheet
from scroll.errors import InputError
from scroll.inference.current_weights import check_weights
from scroll.inference.prediction_store import open_map
from scroll.runtime.receipt import Receipt, key_of, read_receipt

LOG_ODDS_UNIT = 3.0
LEAST_PROB, MOST_UNITS = 1e-4, 2.0  # beyond them nothing is told apart


@dataclass(frozen=True)
class Stack:
    """`channels` (C, Y, X) float32, members as scaled log-odds and CT as robust z-scores; `key` says from which predictions."""

    channels: NDArray[np.float32]
    key: str


def read_stack(stage1: Stage1Settings, fragment: Sheet, folders: dict[str, Path], hint: str) -> Stack:
    """Put together the flattened predictions in `folders` (source -> folder with flat.zarr), in the order of the settings.

    Memory: the whole stack, 4 bytes per channel and working pixel; a flattened fragment is a hundredth of its CT.

    Raises:
        MissingInputError: a source's prediction is not there; `hint` names the command that makes it.
        InputError: it was made from other data or weights than those that are there now.
    """
    keys, parts = [], []
    for name in stage1.sources:
        keys.append(checked_receipt(folders[name], fragment, hint)["key"])
        values = np.asarray(open_map(folders[name] / "flat.zarr", hint)[:], dtype=np.float32)
        parts.append(values if name == "ct" else log_odds(values))
    return Stack(np.concatenate(parts), key_of(keys))


def log_odds(prob: NDArray[np.float32]) -> NDArray[np.float32]:
    """log(p / (1 - p)) / 3, clipped to -2..2: tells 0.95 from 0.99, where a trained member says most of what it knows.

    >>> log_odds(np.array([0.0, 0.5, 1.0], np.float32)).tolist()
    [-2.0, 0.0, 2.0]
    """
    inside = np.clip(prob, LEAST_PROB, 1 - LEAST_PROB)
    return np.asarray(np.clip(np.log(inside / (1 - inside)) / LOG_ODDS_UNIT, -MOST_UNITS, MOST_UNITS), dtype=np.float32)


def checked_receipt(folder: Path, fragment: Sheet, hint: str) -> Receipt:
    """The receipt of a prediction, once it is sure that it speaks of today's data and weights.

    Raises:
        MissingInputError: there is none; `hint` names the command that makes it.
        InputError: the fragment's files, data.depth, data.bin_yx or the weights changed since.
    """
    receipt = read_receipt(folder, hint)
    if receipt.get("data") != fragment.key:
        raise InputError(
            f"{folder}: predicted from other files or data settings than those of {fragment.folder} now; {hint}"
        )
    check_weights(folder, receipt, hint)
    return receipt

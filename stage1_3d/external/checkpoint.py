"""Checkpoints of others: read without executing what is in them, and fitted to a network by the names of its tensors."""

import pickle
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy._core import multiarray
from safetensors.torch import save
from torch import Tensor, nn

from scroll.data.members.card import NAME, Card
from scroll.errors import InputError
from scroll.runtime.bounded import plain_file
from scroll.runtime.files import written_aside
from scroll.runtime.reading import reading
from scroll.runtime.receipt import file_hash
from scroll.runtime.record import write_record

WRAPPED = ("module.", "_orig_mod.")  # before the names of tensors: several GPUs, torch.compile
KINDS = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?")
NUMBERS: list[Any] = [
    np.dtype, np.ndarray, *(type(np.dtype(kind)) for kind in KINDS),
    *((found, f"{home}.{name}") for home in ("numpy._core.multiarray", "numpy.core.multiarray")
      for name, found in (("scalar", multiarray.scalar), ("_reconstruct", multiarray._reconstruct))),
]  # fmt: skip
REMEDY = "ask for one of tensors and numbers alone, or import it where you trust it with torch.save of its state_dict()"


def read_checkpoint(path: Path, needed: Sequence[str] = ()) -> dict[str, Any]:
    """A pickled checkpoint: tensors, plain values and numpy's numbers; nothing in it is executed.

    Raises:
        InputError: it holds code or objects, is damaged, or lacks one of the `needed` entries.
    """
    with (
        torch.serialization.safe_globals(NUMBERS),
        reading(path, "a whole checkpoint", "copy it again", also=(RuntimeError, EOFError)),
    ):
        try:
            found = torch.load(plain_file(path), map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            raise InputError(
                f"{path}: holds more than tensors and numbers ({_culprit(error)}), which would be run on reading; {REMEDY}"
            ) from None
    if not isinstance(found, dict):
        raise InputError(f"{path}: holds a {type(found).__name__}; expected entries by name; give another file")
    for name in needed:
        if name not in found:
            there = ", ".join(map(str, list(found)[:6]))
            raise InputError(
                f"{path}: no '{name}' in it, but {there}; expected {', '.join(needed)}: give another checkpoint"
            )
    return found


def _culprit(error: Exception) -> str:
    """The name that was refused, out of torch's long message."""
    found = re.search(r"GLOBAL (\S+)", str(error))
    return found[1] if found else "code"


def fitting(where: Path, network: nn.Module, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a checkpoint that a network has, by its names for them.

    Raises:
        InputError: one is missing, or of another shape.
    """
    state, wanted = {unwrapped(name): tensor for name, tensor in weights.items()}, network.state_dict()
    missing = [name for name in wanted if name not in state]
    if missing:
        raise InputError(
            f"{where}: {len(missing)} of {len(wanted)} tensors are missing, the first {missing[0]}; copy the checkpoint again"
        )
    name = next((name for name in wanted if wanted[name].shape != state[name].shape), None)
    if name is not None:
        raise InputError(
            f"{where}: {name} is {tuple(state[name].shape)}, the network has {tuple(wanted[name].shape)}; plans and checkpoint do not "
            "belong together: copy both again"
        )
    extra = [name for name in state if name not in wanted]
    print(
        f"{where}: {len(wanted)} tensors taken" + (f", {len(extra)} not needed, the first {extra[0]}" if extra else "")
    )
    return {name: state[name] for name in wanted}


def unwrapped(name: str) -> str:
    """A tensor's name without what several GPUs or torch.compile put before it."""
    for prefix in WRAPPED:
        name = name.removeprefix(prefix)
    return name


def write_tensors(path: Path, state: Mapping[str, Tensor]) -> None:
    """Weights as safetensors."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_aside(path) as aside:
        aside.write_bytes(save({key: tensor.contiguous().clone() for key, tensor in state.items()}))


def write_card(folder: Path, card: Card) -> None:
    """The card, last: the hashes of its networks, which are there already, are filled in."""
    folds = [fold.model_copy(update={"sha256": file_hash(folder / fold.weights)}) for fold in card.folds]
    write_record(folder / NAME, card.model_copy(update={"folds": tuple(folds)}))

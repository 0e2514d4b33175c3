"""Checkpoints of others: read without executing what is in them."""

import pickle
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy._core import multiarray
from safetensors.torch import load_file
from torch import Tensor

from scroll.errors import InputError
from scroll.runtime.bounded import plain_file
from scroll.runtime.reading import reading

HELD_IN = ("state_dict", "model_state_dict", "ema_model", "model", "network_weights")  # where programs put the tensors
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


def contents_of(source: Path) -> dict[str, object]:
    """All that a checkpoint holds, in either way to write one.

    Raises:
        InputError: it holds code, or is damaged.
    """
    return load_file(source) if source.suffix == ".safetensors" else read_checkpoint(source)


def tensors_in(source: Path, contents: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors of a checkpoint by name, wherever in its contents they are, without what wrappers put before the names.

    Raises:
        InputError: it holds none.
    """
    held = next((contents[name] for name in HELD_IN if isinstance(contents.get(name), dict)), contents)
    tensors = {unwrapped(str(name)): value for name, value in held.items() if isinstance(value, Tensor)}
    if not tensors:
        raise InputError(f"{source}: no tensors in it, nor in {', '.join(HELD_IN)}; give the checkpoint of a network")
    return tensors


def unwrapped(name: str) -> str:
    """A tensor's name without what several GPUs or torch.compile put before it."""
    for prefix in WRAPPED:
        name = name.removeprefix(prefix)
    return name

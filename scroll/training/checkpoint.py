"""Weights and training state on disk: written aside, read without executing code."""

import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NotRequired, TypedDict, cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from scroll.errors import InputError, MissingInputError
from scroll.inference.fold_ensemble import device
from scroll.runtime.bounded import plain_file
from scroll.runtime.files import read_mapping, say_unverifiable, written_aside
from scroll.runtime.manifest import is_signed, signature
from scroll.runtime.reading import reading
from scroll.runtime.receipt import NAME as RECEIPT
from scroll.runtime.receipt import file_hash
from scroll.training.loggers import Line

StateDict = dict[str, Any]  # as torch gives and takes it
About = Mapping[str, object]  # which network weights fit, as JSON holds it


class State(TypedDict):
    """A training under way: what decides it, how far it is, and all that changes."""

    key: str
    made_on: dict[str, object]
    step: int
    history: list[Line]
    model: StateDict
    average: StateDict
    optimiser: StateDict
    scaler: StateDict
    soup: NotRequired[StateDict]


def save_weights(model: nn.Module, path: Path, about: About) -> None:
    """Write a model's parameters and buffers as safetensors; `about` says which network they fit."""
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in model.state_dict().items()}
    content = save(tensors, metadata={"about": json.dumps(about)})
    with written_aside(path) as aside:
        aside.write_bytes(content)  # not by safetensors: from it a full disk is an error of another kind


def trained_weights(folder: Path, hint: str) -> Path:
    """The weights of a finished training in `folder`.

    Raises:
        MissingInputError: there are none; `hint` names the command that makes them.
        InputError: a training with other settings was begun since and is not finished, or the file was exchanged.
    """
    path = folder / "weights.safetensors"
    if not path.exists():
        raise MissingInputError(f"{path}: no weights there; {hint}")
    if not (folder / RECEIPT).exists():
        raise InputError(
            f"{path}: a newer training in this folder is not finished, so these weights are of older settings; {hint}"
        )
    if read_mapping(folder / RECEIPT).get("weights") != file_hash(path):
        raise InputError(
            f"{path}: is not the file that {RECEIPT} beside it speaks of; put that one back, or delete it and {hint}"
        )
    return path


def load_weights(model: nn.Module, path: Path, about: About, hint: str) -> None:
    """Fill `model` with weights saved for the same `about`.

    Raises:
        MissingInputError: no such file; `hint` names the command that makes it.
        InputError: damaged file, or weights of another network.
    """
    if not path.exists():
        raise MissingInputError(f"{path}: no weights there; {hint}")
    try:
        with (
            reading(path, "weights of ours", "delete the file and train again"),
            safe_open(plain_file(path), framework="pt") as file,
        ):
            saved_about = json.loads((file.metadata() or {}).get("about", "{}"))
            if not isinstance(saved_about, dict):
                raise InputError(
                    f"{path}: damaged weights ('about' is a {type(saved_about).__name__}); delete the file and train again"
                )
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, json.JSONDecodeError) as error:
        raise InputError(f"{path}: damaged weights ({error}); delete the file and train again") from None
    about = json.loads(json.dumps(about))  # as it was saved: a tuple is a list there
    if saved_about != about:
        raise InputError(f"{path}: weights of another architecture: {_difference(saved_about, about)}; {hint}")
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if expected != found:
        odd = sorted(set(expected.items()) ^ set(found.items()))[0]
        raise InputError(f"{path}: weights of another architecture, first at '{odd[0]}' {odd[1]}; {hint}")
    model.load_state_dict(tensors)


def ready(model: nn.Module, path: Path, about: About, hint: str) -> nn.Module:
    """A network with the weights at `path` (see `load_weights`), set to predict, on the GPU if there is one."""
    load_weights(model, path, about, hint)
    return model.to(device()).eval()


def _difference(saved: About, current: About) -> str:
    keys = [key for key in sorted({*saved, *current}) if saved.get(key) != current.get(key)]
    return ", ".join(f"{key} is {saved.get(key)!r}, the settings say {current.get(key)!r}" for key in keys)


def state_before(path: Path) -> Path:
    """Where the state that was saved before the one at `path` is kept."""
    return path.with_name(f"{path.stem}-before{path.suffix}")


def save_state(path: Path, state: State) -> None:
    """Write a training state of tensors, numbers and text with its checksum; the one before it is kept as `state_before`."""
    content = io.BytesIO()
    torch.save(state, content)
    with written_aside(path) as aside:
        content.seek(0, io.SEEK_END)
        content.write(signature(content.getbuffer()))  # behind its end, where torch does not look
        aside.write_bytes(content.getbuffer())  # not by torch: from it a full disk is an error of another kind
        if path.exists():
            path.replace(state_before(path))


def last_state(path: Path, say: Callable[[str], None]) -> State | None:
    """The newest whole state at `path`: that one, or the one before where it is damaged, which is said; None where there is none."""
    before = state_before(path)
    for one, instead in ((path, "the state before it" if before.exists() else "the start"), (before, "the start")):
        if one.exists():
            try:
                return load_state(one)
            except InputError as error:
                say(f"{str(error).partition(';')[0]}; going on from {instead}")
    return None


def load_state(path: Path) -> State:
    """Read a training state; nothing in the file is executed.

    Raises:
        InputError: the file is damaged, or something else.
    """
    try:
        if not is_signed(path):
            say_unverifiable(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001 - torch raises many kinds for a damaged archive
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise InputError(f"{path}: damaged training state ({reason}); delete it to train from the start") from None
    if not isinstance(state, dict) or "key" not in state:
        raise InputError(f"{path}: no training state of ours (it holds no key); delete it to train from the start")
    return cast("State", state)

"""Networks that do not begin from nothing: what a checkpoint holds for them is put in, and what fitted is said and kept."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypedDict

from torch import Tensor, nn

from scroll.errors import InputError
from scroll.training.foreign_checkpoint import contents_of, tensors_in, unwrapped
from scroll.training.shared_encoder import by_our_names

BEFORE = ("network.", "backbone.", "model.")  # names that one program puts before those of another
SHOWN = 3
GREY, COLOURS = 1, 3


class Taken(TypedDict):
    """What of a network a checkpoint gave: for the receipt."""

    source: str
    taken: int
    of: int
    new: list[str]
    not_needed: int


def begin_from(network: nn.Module, path: Path) -> Taken:
    """Put into a network, in place, every tensor of a checkpoint that it has by name and shape; the others stay as they were drawn.

    Names may differ by what stands before them (`module.`, `backbone.`, `network.`), or be those of a U-Net with a shared encoder; three
    channels of colour are added up to one of grey.

    Raises:
        InputError: no tensor fits, or the checkpoint holds code.
    """
    state = by_our_names(tensors_in(path, contents_of(path)))
    needed = network.state_dict()
    found = dict(_fitting(needed, state))
    if not any(tensor.ndim > 1 for tensor in found.values()):
        first = next(iter(state), "nothing")
        raise InputError(
            f"{path}: none of its tensors fits (it begins with {first}, the network with {next(iter(needed))}); give another"
        )
    network.load_state_dict(needed | found)
    new = [name for name in needed if name not in found]
    taken: Taken = {
        "source": str(path), "taken": len(found), "of": len(needed), "new": new, "not_needed": len(state) - len(found),
    }  # fmt: skip
    print(_in_words(taken))
    return taken


def _fitting(needed: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """The network's names of tensors that the checkpoint has, with these tensors."""
    there = {_bare(unwrapped(name)): tensor for name, tensor in state.items()}
    for name, own in needed.items():
        tensor = there.get(_bare(name))
        if tensor is None:
            continue
        if own.ndim > 1 and own.shape[1] == GREY and tensor.ndim == own.ndim and tensor.shape[1] == COLOURS:
            tensor = tensor.sum(1, keepdim=True)
        if tensor.shape == own.shape:
            yield name, tensor.to(own.dtype)


def _bare(name: str) -> str:
    """A name without one of the words that programs put before it."""
    for word in BEFORE:
        name = name.removeprefix(word)
    return name


def _in_words(taken: Taken) -> str:
    new = taken["new"]
    some = f", such as {', '.join(new[:SHOWN])}" if new else ""
    return (
        f"begins from {taken['source']}: {taken['taken']} of {taken['of']} tensors taken, {len(new)} new{some}, "
        f"{taken['not_needed']} not needed"
    )

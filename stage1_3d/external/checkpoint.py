"""Checkpoints of others fitted to a network by the names of its tensors, and kept with a card."""

from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save
from torch import Tensor, nn

from scroll.data.members.card import NAME, Card
from scroll.errors import InputError
from scroll.runtime.files import written_aside
from scroll.runtime.receipt import file_hash
from scroll.runtime.record import write_record
from scroll.training.foreign_checkpoint import unwrapped


def fitting(where: Path, network: nn.Module, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a checkpoint that a network has, by its names for them.

    Raises:
        InputError: one is missing, or of another shape.
    """
    state, expected = {unwrapped(name): tensor for name, tensor in weights.items()}, network.state_dict()
    missing = [name for name in expected if name not in state]
    if missing:
        raise InputError(
            f"{where}: {len(missing)} of {len(expected)} tensors are missing, the first {missing[0]}; copy the checkpoint again"
        )
    name = next((name for name in expected if expected[name].shape != state[name].shape), None)
    if name is not None:
        raise InputError(
            f"{where}: {name} is {tuple(state[name].shape)}, the network has {tuple(expected[name].shape)}; plans and checkpoint do not "
            "belong together: copy both again"
        )
    extra = [name for name in state if name not in expected]
    print(
        f"{where}: {len(expected)} tensors taken"
        + (f", {len(extra)} not needed, the first {extra[0]}" if extra else "")
    )
    return {name: state[name] for name in expected}


def write_tensors(path: Path, state: Mapping[str, Tensor]) -> None:
    """Weights as safetensors."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_aside(path) as aside:
        aside.write_bytes(save({key: tensor.contiguous().clone() for key, tensor in state.items()}))


def write_card(folder: Path, card: Card) -> None:
    """The card, last: the hashes of its networks, which are there already, are filled in."""
    folds = [fold.model_copy(update={"sha256": file_hash(folder / fold.weights)}) for fold in card.folds]
    write_record(folder / NAME, card.model_copy(update={"folds": tuple(folds)}))

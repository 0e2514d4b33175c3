"""Whether a prediction still speaks of the weights that are there now; knows no torch."""

from pathlib import Path

from scroll.errors import InputError
from scroll.runtime.receipt import Receipt, file_hash, weights_in

STAGES = ("stage1", "stage2", "joint")


def check_weights(folder: Path, receipt: Receipt, hint: str) -> None:
    """Refuse the prediction in `folder` where its `receipt` names weights that were exchanged since; those not there pass.

    A run that was moved or copied is checked against the weights that travelled with it, not those at its old place.

    Raises:
        InputError: a file of weights is another one now; `hint` names the command that predicts again.
    """
    for path, made_with in weights_in(receipt).items():
        here = weights_here(folder, Path(path))
        if here.exists() and file_hash(here) != made_with:
            raise InputError(f"{folder}: predicted by other weights than those in {here} now; {hint}")


def weights_here(folder: Path, weights: Path) -> Path:
    """The weights of the run that `folder` is in, where it has such ones; else those at the place where they were."""
    for run in folder.resolve().parents:
        for stage in STAGES:
            if stage in weights.parts:
                below = weights.parts[len(weights.parts) - 1 - weights.parts[::-1].index(stage) :]
                if (run.joinpath(*below)).exists():
                    return run.joinpath(*below)
    return weights

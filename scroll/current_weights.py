"""Whether a prediction still speaks of the weights that are there now; knows no torch."""

from pathlib import Path
from typing import Any

from scroll.errors import InputError
from scroll.receipt import file_hash


def check_weights(folder: Path, receipt: dict[str, Any], hint: str) -> None:
    """Refuse the prediction in `folder` where its `receipt` names weights that were exchanged since; those not there pass.

    Raises:
        InputError: a file of weights is another one now; `hint` names the command that predicts anew.
    """
    for path, made_with in receipt.get("weights", {}).items():
        if Path(path).exists() and file_hash(Path(path)) != made_with:
            raise InputError(f"{folder}: predicted by other weights than those in {path} now; {hint}")

"""A small JSON beside every result: what it was made from, so that the next step can check and nothing is made twice."""

import hashlib
import json
from pathlib import Path
from typing import Any

from scroll.errors import InputError
from scroll.files import read_json, write_json

NAME = "receipt.json"


def key_of(content: Any) -> str:
    """A short hash of anything JSON can hold; the same content gives the same key on every machine.

    >>> key_of({"a": 1, "b": 2}) == key_of({"b": 2, "a": 1})
    True
    """
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes, first 16 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def fingerprint(folder: Path) -> str:
    """Hash of the names, sizes and modification times of the files below a folder (or of one file); reads no data."""
    files = [folder] if folder.is_file() else sorted(p for p in folder.rglob("*") if p.is_file())
    return key_of([[str(p.relative_to(folder.parent)), p.stat().st_size, p.stat().st_mtime_ns] for p in files])


def write_receipt(folder: Path, key: str, **content: Any) -> None:
    """Leave a receipt in `folder`: the key of its inputs and settings, and whatever else the next reader wants to know."""
    write_json(folder / NAME, {"key": key, **content})


def is_current(folder: Path, key: str) -> bool:
    """Whether `folder` was finished from exactly these inputs and settings."""
    return (folder / NAME).exists() and read_receipt(folder, "").get("key") == key


def read_receipt(folder: Path, hint: str) -> dict[str, Any]:
    """Read the receipt in `folder`.

    Raises:
        MissingInputError: there is none; `hint` says which command makes it.
    """
    receipt = read_json(folder / NAME, hint)
    if not isinstance(receipt, dict) or "key" not in receipt:
        raise InputError(f"{folder / NAME}: holds no key; delete the folder and run the step that made it again")
    return receipt

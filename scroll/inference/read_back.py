"""Everything that a run left, read back: what is not as it was written, and what cannot be verified. Knows no torch."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from scroll.errors import InputError
from scroll.runtime import manifest
from scroll.runtime.files import SEAL, read_json
from scroll.runtime.json_fields import MayLack, check_fields
from scroll.runtime.receipt import NAME as RECEIPT
from scroll.runtime.receipt import SUM, file_hash
from scroll.volumes.working_copy import COPY

STATES = ("resume.pt", "resume-before.pt")
WEIGHTS = "weights.safetensors"


@dataclass(frozen=True)
class Found:
    """A stored thing; `why` says what is wrong with it, None for nothing. `is_known` is false where no checksum was kept."""

    path: Path
    why: str | None = None
    is_known: bool = True


def read_back(folder: Path) -> Iterator[Found]:
    """Every map, receipt, fit, ledger, mask, copy, weights and training state below a folder; reads all of it.

    What is written aside at the moment, and the outputs of whole-scroll predictions, which have a ledger, are left out.
    """
    for path, folders, files in os.walk(folder):
        here = Path(path)
        folders.sort()
        for name in [name for name in folders if name.endswith(".zarr") and not name.startswith(".")]:
            if not (here / f"{name}.ledger").exists():
                yield _zarr(here / name)
        folders[:] = [name for name in folders if not name.endswith((".zarr", ".part"))]
        for name in sorted(name for name in files if not name.endswith(".part")):
            if name.endswith(".json"):
                yield from _json(here / name)
            elif name in STATES:
                yield _state(here / name)


def _zarr(path: Path) -> Found:
    try:
        if manifest.noted(path) is None:
            return Found(path, is_known=False)
    except InputError as error:
        return Found(path, str(error))
    wrong = list(manifest.damaged(path))
    more = f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""
    return Found(path, f"{wrong[0]}{more}" if wrong else None)


def _json(path: Path) -> Iterator[Found]:
    """A JSON that carries a checksum, and what it speaks of beside it."""
    try:
        content = read_json(path)
        is_known = f'"{SEAL}": "' in path.read_text(encoding="utf-8")
    except InputError as error:
        yield Found(path, str(error))
        return
    yield Found(path, is_known=is_known or path.name != RECEIPT)
    if not isinstance(content, dict):
        return
    if path.name == RECEIPT and isinstance(content.get("weights"), str):
        weights = path.with_name(WEIGHTS)
        is_whole = weights.is_file() and file_hash(weights) == content["weights"]
        yield Found(weights, None if is_whole else f"is not the file that {RECEIPT} beside it speaks of")
    beside = {COPY: path.with_suffix(".npy"), "mask": path.with_suffix(".tif")}
    sums = {name: file for name, file in beside.items() if name in content}
    try:
        check_fields(path, content, {"holds": MayLack({str: SUM})} | dict.fromkeys(sums, SUM))
    except InputError as error:
        yield Found(path, str(error))
        return
    held = {path.parent / name: was for name, was in content.get("holds", {}).items() if not _is_manifest(name)}
    for file, was in [*held.items(), *((file, content[name]) for name, file in sums.items())]:
        is_whole = file.is_file() and list(manifest.file_sum(file)) == list(was)
        yield Found(file, None if is_whole else "is lost or damaged")


def _is_manifest(name: str) -> bool:
    return name.endswith(manifest.MANIFEST)


def _state(path: Path) -> Found:
    try:
        return Found(path, is_known=manifest.is_signed(path))
    except ValueError as error:
        return Found(path, str(error))


def strike_out(found: Found) -> str:
    """Let what is damaged be made again, where that is for a command to do by itself; what else is to be done, in words."""
    zarr = found.path if found.path.suffix == ".zarr" else found.path.with_name("flat.zarr")
    if zarr == found.path or (
        zarr.is_dir() and found.path.parent.parent.joinpath(RECEIPT).exists()
    ):  # of a sheet: with its surface
        manifest.strike_out(zarr)
        return "struck out: the command that made it makes it again"
    if found.path.suffix in (".npy", ".tif"):
        return "the command that made it makes it again"
    if found.path.name == WEIGHTS:
        return "put it back, or delete it and run the training again"
    if found.path.name in STATES:
        return "the training goes on from the state before it, or from the start"
    return "put it back, or delete it and run the command that made it again"

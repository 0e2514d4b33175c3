"""Where a file comes from, in words: the record in it, and whether the receipts that it names are still those there are."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from scroll.errors import InputError, MissingInputError
from scroll.redacted import redacted
from scroll.runtime.file_record import MARK
from scroll.runtime.files import read_mapping
from scroll.runtime.json_fields import Stored
from scroll.runtime.manifest import MANIFEST, file_sum
from scroll.runtime.reading import reading
from scroll.runtime.receipt import NAME as RECEIPT
from scroll.volumes.ome_zarr import read_attributes
from scroll.volumes.read_record import read_record
from scroll.volumes.sharded.output import ABOUT

FIT, PLAN = "fit.json", "plan.json"
ABOVE = 6  # folders above a file in which its run's fit is looked for
BESIDE = (RECEIPT, f"*/{RECEIPT}", f"*/*/{RECEIPT}", "masks/*.json")  # from the folder above a file's own
MAPS = (".zattrs", ".zgroup", "zarr.json")
SPOKEN_OF = ("member", "fragment", "cube", "volume", "run_dir")
HEADING = ("what", "run", "kind", "items", "receipts", MARK)  # what is not printed line by line
GIVE_RUN = "give --run DIR, the folder of its run, or of what it predicted"


def described(path: Path, run: Path | None) -> tuple[list[str], bool]:
    """Lines on where a file comes from, and whether its receipts are there and agree; looked for beside it, and below `run`.

    What holds no record, as a map or a traced sheet, is known by its checksum in a receipt.

    Raises:
        MissingInputError: it is not there; or it holds no record, and no receipt speaks of it.
        InputError: a folder that is no map of ours, another kind of file, or a damaged one.
    """
    found = list(receipts_for(path, run)) if path.exists() else []
    try:
        record = read_record(path)
    except InputError as error:
        is_map = any((path / name).is_file() for name in MAPS)
        if not path.exists() or not (is_map or isinstance(error, MissingInputError)):
            raise
        for receipt in found:
            if _knows(receipt, path):
                return [f"{path}: holds no record, but a receipt knows it", _said_by(receipt)], True
        if is_map:
            raise MissingInputError(f"{path}: a map that no receipt {_where(run)} speaks of; {GIVE_RUN}") from None
        raise
    lines, is_same = _compared(record, found, run)
    of = f"{record.get('what', 'an output')} ({record.get('kind', 'data')} {', '.join(record.get('items', []))})"
    with reading(path, "a record of ours", "give the file as it was written"):  # others may have nested it without end
        return [f"{path}: {of}, by the run '{record.get('run', '')}'", *_words(record), *lines], is_same


def receipts_for(path: Path, run: Path | None) -> Iterator[Stored]:
    """The readable receipts, notes of masks and fits that may speak of a file: those beside it, and all below `run`."""
    folder = path.absolute().parent
    places = {place for pattern in BESIDE for place in folder.parent.glob(pattern)} | {folder / RECEIPT}
    places |= {Path(f"{path.absolute()}.ledger") / PLAN}
    places |= {above / "ensemble" / FIT for above in folder.parents[:ABOVE]}
    for here, folders, files in os.walk(run) if run else ():
        folders[:] = [name for name in folders if not name.endswith((".zarr", ".part"))]  # zarrs hold millions of files
        notes = {name for name in files if name.endswith(".json")} if Path(here).name == "masks" else set()
        places |= {Path(here).absolute() / name for name in ({RECEIPT, FIT} | notes) & {*files}}
    for place in sorted(place for place in places if place.is_file()):
        with suppress(InputError):  # a damaged one is as good as none, and beside a file anybody's may lie
            yield read_mapping(place)


def _key(receipt: Stored) -> str:
    """By which files name it."""
    return str(receipt.get("made_from" if receipt.path.name == FIT else "key"))


def _names(receipt: Stored) -> set[str]:
    """How a record may call it: by item and name, as predictions of sheets lie, or of cubes; or the note of a cube's mask."""
    name, above = receipt.path.parent.name, receipt.path.parent.parent.name
    return {f"{above}/{name}", f"{name}/{above}", f"{receipt.path.stem}/{name}"}


def _knows(receipt: Stored, path: Path) -> bool:
    """Whether it speaks of this very file or map, by a checksum; the plan of a whole scroll, by the key that its output tells."""
    if receipt.path.name == PLAN:
        about = read_attributes(path).get(ABOUT)
        return isinstance(about, dict) and about.get("key") == _key(receipt)
    held, summed = receipt.get("holds"), path / MANIFEST if path.is_dir() else path
    sums = [*(held.values() if isinstance(held, dict) else ()), receipt.get("mask")]
    return summed.is_file() and list(file_sum(summed)) in sums


def _compared(record: Mapping[str, Any], found: Sequence[Stored], run: Path | None) -> tuple[list[str], bool]:
    """Whether the receipts that a record names are there: line by line, and in all."""
    recorded, here = record.get("receipts", {}), {_key(receipt): receipt for receipt in found}
    same = [name for name, key in recorded.items() if key in here]
    other = {name: one.path for name in recorded if name not in same for one in found if name in _names(one)}
    lost = [name for name in recorded if name not in same and name not in other]
    is_same = bool(recorded) and not other and not lost
    lines = [] if recorded else ["none is named in it, so nothing can be compared"]
    if same:
        about = f"; {_dated(here[recorded[same[0]]])}" if is_same else ""
        lines.append(f"the same {'prediction: ' if is_same else 'for '}{', '.join(same)}{about}")
    lines += [f"another prediction of {name} now: {path}" for name, path in other.items()]
    if lost:
        lines.append(f"not found, or damaged, {_where(run)}: that of {', '.join(lost)}; {GIVE_RUN}")
    fits = sorted((one for one in found if one.path.name == FIT), key=lambda one: _key(one) != record.get("fit"))
    if "fit" in record and fits:
        is_same_fit = _key(fits[0]) == record["fit"]
        is_same &= is_same_fit
        lines.append(f"{'the same fit' if is_same_fit else 'another fit now'}: {fits[0].path}")
    elif "fit" in record:
        lines.append(f"its fit was not compared, for none is {_where(run)}; {GIVE_RUN}")
    return [f"  {'receipt':<14} {line}" for line in lines], is_same


def _where(run: Path | None) -> str:
    return f"beside it or below {run}" if run else "beside it"


def _dated(receipt: Stored) -> str:
    """Where it is, and when it was written, by its file's time."""
    written = datetime.fromtimestamp(receipt.path.stat().st_mtime, UTC)
    return f"{receipt.path}, written {written:%Y-%m-%d %H:%M} UTC"


def _said_by(receipt: Stored) -> str:
    about = {**receipt, **(more if isinstance(more := receipt.get("about"), dict) else {})}
    facts = [f"{name} {Path(redacted(str(about[name]))).name}" for name in SPOKEN_OF if name in about]
    return f"  {'receipt':<14} {', '.join([*facts, f'key {_key(receipt)}'])}; {_dated(receipt)}"


def _words(record: Mapping[str, Any]) -> Iterator[str]:
    """What else the record holds: a line each, of tables of tables a line for each entry."""
    for name, value in record.items():
        tables = isinstance(value, dict) and value and all(isinstance(one, dict) for one in value.values())
        for entry, one in value.items() if tables else [("", value)]:
            if name not in HEADING:
                yield f"  {name.replace('_', ' '):<14} {f'{entry}: ' if entry else ''}{_plain(one)}"


def _plain(value: Any) -> str:
    """JSON without its brackets."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {_plain(one)}" for name, one in value.items())
    if isinstance(value, list):
        return " to ".join(map(_plain, value))
    return (
        {True: "yes", False: "no"}[value]
        if isinstance(value, bool)
        else f"{value:.4g}"
        if isinstance(value, float)
        else str(value)
    )

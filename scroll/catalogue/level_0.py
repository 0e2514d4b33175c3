"""Copying level 0 of a zarr file by file, as it is stored, with metadata that speak of no other level."""

import itertools
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scroll.catalogue.files import LocalFolder, RemoteFolder, folder_at
from scroll.errors import InputError, MissingInputError
from scroll.runtime.bounded import MOST_JSON_BYTES
from scroll.runtime.files import remove, write_json, written_aside
from scroll.runtime.progress import progress

if TYPE_CHECKING:
    from scroll.volumes.remote import RemoteSettings

AT_ONCE = 8
PART = ".part"
BEGUN = ".of.json"  # says what is being copied
OF_GROUP, OF_ARRAY = (".zgroup", ".zattrs", "zarr.json"), (".zarray", ".zattrs", "zarr.json")


def copy_level_0(address: str, to: Path, settings: "RemoteSettings | None" = None) -> int:
    """Copy level 0 of the zarr at a path or address to the folder `to`, which appears when all of it is there; its bytes.

    What an interrupted copy left beside `to` is kept, and only the rest is asked for. Chunks that are not there are empty, as zarr
    has it.

    Raises:
        MissingInputError: no zarr there.
        InputError: broken metadata, or the server fails.
    """
    from scroll.volumes import ome_zarr

    array = ome_zarr.open_array(address, remote=settings)
    source, aside = folder_at(address, settings), to.with_name(f".{to.name}.adding")
    level = array.path
    metadata = _metadata(source, level, address)
    begun = {"address": address, "metadata": metadata}
    _forget_another(aside, begun)
    write_json(aside / BEGUN, begun)
    names = _chunk_names(source, array, level)
    missing = [name for name in names if not (aside / name).exists()]
    with (
        progress(f"{to.name}", len(names), "chunk", start=len(names) - len(missing)) as advance,
        ThreadPoolExecutor(AT_ONCE) as pool,
    ):
        try:
            for _ in pool.map(lambda name: _copied(source, name, aside / name), missing):
                advance()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    for name, content in metadata.items():
        write_json(aside / name, content)
    (aside / BEGUN).unlink()
    for part in aside.rglob(f".*{PART}"):
        part.unlink()
    aside.rename(to)
    return sum(path.stat().st_size for path in to.rglob("*") if path.is_file())


def _copied(source: LocalFolder | RemoteFolder, name: str, to: Path) -> None:
    """One file, whole or not at all; nobody else writes here, so what a killed call left is simply written over."""
    to.parent.mkdir(parents=True, exist_ok=True)
    part = to.with_name(f".{to.name}{PART}")
    if source.copy(name, part):
        part.replace(to)
    else:
        part.unlink(missing_ok=True)


def copy_whole(write: Callable[[Path], bool], to: Path) -> bool:
    """Have a file written aside and renamed to `to`; false, and no file, where `write` says that there is nothing to write."""
    is_there = True

    class _NothingThereError(Exception):
        """Leaves the block without the rename."""

    try:
        with written_aside(to) as aside:
            is_there = write(aside)
            if not is_there:
                raise _NothingThereError
    except _NothingThereError:
        return False
    return is_there


def _metadata(source: LocalFolder | RemoteFolder, level: str, address: str) -> dict[str, Any]:
    """The metadata files of the copy, by name."""
    found: dict[str, Any] = {}
    for name in OF_GROUP if level else ():
        content = _json(source, name, address)
        if content is not None:
            found[name] = _of_level_0(content, level)
    for name in OF_ARRAY:
        key = f"{level}/{name}" if level else name
        content = _json(source, key, address)
        if content is not None:
            found[key] = content
    if not any(name.endswith((".zarray", "zarr.json")) for name in found):
        raise MissingInputError(f"{address}: no .zarray or zarr.json there; expected a zarr: check the address")
    return found


def _json(source: LocalFolder | RemoteFolder, name: str, address: str) -> Any:
    body = source.read(name, MOST_JSON_BYTES)
    try:
        return None if body is None else json.loads(body)
    except ValueError as error:
        raise InputError(f"{address}/{name}: not readable as JSON ({error}); expected metadata of a zarr") from None


def _of_level_0(content: Any, level: str) -> Any:
    """Metadata of a group that name its level 0 alone; a copy of the metadata of what is below is left out."""
    if not isinstance(content, dict):
        return content
    content = {key: _of_level_0(part, level) if key in ("attributes", "ome") else part for key, part in content.items()}
    content.pop("consolidated_metadata", None)
    scales = content.get("multiscales")
    if isinstance(scales, list):
        content["multiscales"] = [_first_dataset(scale, level) for scale in scales]
    return content


def _first_dataset(scale: Any, level: str) -> Any:
    if not isinstance(scale, dict) or not isinstance(scale.get("datasets"), list):
        return scale
    return {
        **scale,
        "datasets": [one for one in scale["datasets"] if isinstance(one, dict) and one.get("path") == level],
    }


def _forget_another(aside: Path, begun: dict[str, Any]) -> None:
    """Remove what was begun of another zarr, or of this one when it had other metadata."""
    if not aside.exists():
        return
    note = LocalFolder(aside).read(BEGUN, MOST_JSON_BYTES)
    try:
        is_same = note is not None and json.loads(note) == begun
    except ValueError:
        is_same = False
    if not is_same:
        remove(aside)


def _chunk_names(source: LocalFolder | RemoteFolder, array: Any, level: str) -> list[str]:
    """Names of the files of level 0 from the zarr's folder on: those that are listed, else all that there may be."""
    names = [f"{level}/{key}" if level else key for key in _keys(array)]
    listed = source.files_below(level) if level else None
    if listed is None:
        return names
    there = {f"{level}/{name}" for name in listed}
    return [name for name in names if name in there]


def _keys(array: Any) -> Iterator[str]:
    edges = array.shards or array.chunks
    counts = (range(-(-length // edge)) for length, edge in zip(array.shape, edges, strict=True))
    return (array.metadata.encode_chunk_key(number) for number in itertools.product(*counts))

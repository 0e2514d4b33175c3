"""Chunk files that lie beside the name that their metadata give: unlooked at, they would read as emptiness."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scroll.errors import InputError, UnreadableError
from scroll.runtime.bounded import MOST_JSON_BYTES
from scroll.runtime.links import refuse_dead_link

METADATA = (".zarray", ".zattrs", ".zgroup", ".zmetadata", "zarr.json")
UNFINISHED = (".partial", ".part", ".tmp", ".temp", ".download", ".crdownload", ".filepart", ".aria2", ".lock")
LOOKED_AT = 1000  # files of a level, none of which is a chunk
MEND = "copy or download that part again, or mend its metadata"


def check_chunk_files(where: Any, array: Any) -> None:
    """Refuse an array on this machine that holds files, none of which is a chunk that its metadata name.

    Looks until it has found one chunk.

    Raises:
        InputError: names one of the files.
    """
    root = getattr(array.store, "root", None)
    if not isinstance(root, Path):
        return
    folder = root / array.path
    stranger: Path | None = None
    for number, file in enumerate(_files(folder)):
        name = file.relative_to(folder).as_posix()
        if _is_chunk(array, name):
            return
        stranger = stranger or file
        if number == LOOKED_AT:
            break
    if stranger is not None:
        refuse_dead_link(stranger)
        raise InputError(
            f"{where}: holds {stranger.relative_to(root).as_posix()}, but no chunk as its metadata name them, such as "
            f"{array.metadata.encode_chunk_key((0,) * len(array.shape))}; expected those: {MEND}"
        )


def chunks_there(where: Any, array: Any) -> list[tuple[int, ...]]:
    """Indices of the chunks (of a sharded array: shards) of an array on this machine that are stored, sorted.

    Raises:
        InputError: another file is among them.
    """
    folder, found = Path(array.store.root) / array.path, []
    for file in _files(folder):
        name = file.relative_to(folder).as_posix()
        if not _is_chunk(array, name):
            refuse_dead_link(file)
            raise InputError(
                f"{where}: holds {name}, which is no chunk that its metadata name; expected those alone: {MEND}"
            )
        found.append(tuple(int(part) for part in name.replace(".", "/").split("/") if part.isdecimal()))
    return sorted(found)


def _files(folder: Path) -> Iterator[Path]:
    """All files below a folder, one after the other, without metadata, hidden files, and arrays and groups that lie in it."""
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    below = []
    for entry in entries:
        if entry.name.startswith(".") or entry.name in METADATA:
            continue
        if entry.is_dir():
            below.append(Path(entry.path))
        elif not entry.name.endswith(".json"):
            yield Path(entry.path)
    for path in below:
        if not any((path / name).exists() for name in METADATA):
            yield from _files(path)


def _is_chunk(array: Any, name: str) -> bool:
    """Whether a file of an array bears the name of one of its chunks."""
    numbers = [int(part) for part in name.replace(".", "/").split("/") if part.isdecimal()]
    if len(numbers) != len(array.shape):
        return False
    return bool(array.metadata.encode_chunk_key(tuple(numbers)) == name)


def check_absent(root: Path, key: str) -> None:
    """Refuse to take a file for absent, and a chunk for empty, where a dead link, half a download, or a file under another separator
    is there.

    Raises:
        InputError: metadata are a link that leads nowhere.
        UnreadableError: names the link or the file.
    """
    parts = key.split("/")
    for place in (root.joinpath(*parts[:end]) for end in range(len(parts), 0, -1)):
        if place.is_symlink() and not place.exists():
            kind = InputError if key.endswith(METADATA) else UnreadableError
            raise kind(
                f"{place}: leads to {place.readlink()}, which is not there; fetch the data, mount the disk, or mend the link"
            )
    if key.endswith(METADATA):
        return
    for other in (*(key + ending for ending in UNFINISHED), *_other_separator(key)):
        if (root / other).is_file():
            raise UnreadableError(
                f"{root / key}: not there, but {other} is; expected a whole chunk of that name: {MEND}"
            )


def _other_separator(key: str) -> Iterator[str]:
    """The key as it is with a dot for a slash between the numbers of a chunk, or the other way round.

    >>> [*_other_separator("0/12.0.3")], [*_other_separator("0/c/1/2/3")]
    (['0/12/0/3'], ['0/c.1.2.3', '0/1/2/3', '0/1.2.3'])
    """
    parts = key.split("/")
    last = parts[-1].split(".")
    if len(last) > 1 and all(part.isdecimal() for part in last[1:]):
        yield "/".join([*parts[:-1], *last])
        return
    if "c" in parts:
        first = parts.index("c")
        before, numbers = parts[:first], parts[first + 1 :]
        yield "/".join([*before, ".".join(["c", *numbers])])
        yield "/".join([*before, *numbers])
        yield "/".join([*before, ".".join(numbers)])
        return
    if len(parts) >= 3 and all(part.isdecimal() for part in parts[-3:]):
        yield "/".join([*parts[:-3], ".".join(parts[-3:])])


def most_bytes_of(key: str, otherwise: int) -> int:
    """How long the file under a key may be."""
    return MOST_JSON_BYTES if key.endswith((*METADATA, ".json")) else otherwise


def check_metadata_size(where: object, key: str, size: int) -> None:
    """Refuse metadata that are longer than any can be, before they are read.

    Raises:
        InputError: they are.
    """
    if size > most_bytes_of(key, size):
        raise InputError(f"{where}: {size} bytes of metadata; expected at most {MOST_JSON_BYTES}: write them again")

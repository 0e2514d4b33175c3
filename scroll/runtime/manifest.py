"""What a stored thing held when it was written: size and checksum of each of its files, so that damage is found when it is read back.

A zarr that we wrote keeps its manifest inside, where other readers do not look: 0/.checksums.json. It names every file that was
stored, so a chunk that is named and not there was lost, and one that is not named was empty. While the zarr is written, each
chunk is noted in a log beside it, a line each; `seal` makes the manifest of it. A zarr without one was made before there were
any, or by somebody else: it is read as it is.
"""

import json
import os
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from scroll.errors import InputError, UnreadableError
from scroll.runtime.bounded import plain_file
from scroll.runtime.content import as_it_is
from scroll.runtime.files import read_json, write_sealed

MANIFEST = "0/.checksums.json"
LOG = "0/.checksums.part"
STRUCK_OUT = "0/.damaged"
METADATA = (".zattrs", ".zgroup", ".zarray", "zarr.json")
BLOCK_BYTES = 2**22
MARK = b"crc32 of all before: "


class FileSum(NamedTuple):
    """Bytes of a file, and the CRC-32 of them: any wrong bit shows, and it costs a second for some 4 GB."""

    size: int
    crc: int


def sum_of(content: bytes) -> FileSum:
    """Of bytes in memory.

    >>> sum_of(b"ink")
    FileSum(size=3, crc=2572801860)
    """
    return FileSum(len(content), zlib.crc32(content))


def file_sum(path: Path) -> FileSum:
    """Of a file, read in pieces."""
    size, crc = 0, 0
    with plain_file(path).open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            size, crc = size + len(block), zlib.crc32(block, crc)
    return FileSum(size, crc)


def signature(content: bytes | memoryview) -> bytes:
    """What is put behind the end of a file that holds `content`, for `is_signed` to check."""
    return MARK + struct.pack("<I", zlib.crc32(content))


def is_signed(path: Path) -> bool:
    """Whether a file has its checksum behind its end; false of one of before there were any.

    Raises:
        ValueError: it has, and it is not that of the file.
    """
    tail = len(MARK) + 4
    with plain_file(path).open("rb") as file:
        left = file.seek(0, os.SEEK_END) - tail
        file.seek(max(0, left))
        end, crc = file.read(), 0
        if end[:-4] != MARK:
            return False
        file.seek(0)
        while left and (block := file.read(min(left, BLOCK_BYTES))):
            left, crc = left - len(block), zlib.crc32(block, crc)
    if struct.pack("<I", crc) != end[-4:]:
        raise ValueError("its checksum does not fit")
    return True


def begin(zarr: Path) -> None:
    """From now on every file that is written into this zarr is noted; so is the metadata that is there."""
    (zarr / LOG).touch()
    for name in _files(zarr):
        if name.rpartition("/")[2] in METADATA:
            note(zarr, name, file_sum(zarr / name))


def is_begun(zarr: Path) -> bool:
    """Whether chunks of this zarr are to be noted."""
    return (zarr / LOG).exists()


def note(zarr: Path, name: str, one: FileSum | None) -> None:
    """Note a file of a zarr that was begun; None where it was removed, for it holds nothing."""
    line = json.dumps([name, *(one or ())])
    with plain_file(zarr / LOG).open("a", encoding="utf-8") as log:
        log.write(f"{zlib.crc32(line.encode()):08x} {line}\n")


def seal(zarr: Path) -> None:
    """Make the manifest of a zarr that was begun, to be called when it is whole; files that nobody noted are read for it."""
    noted = {name: one for name, one in _logged(zarr).items() if name.rpartition("/")[2] not in METADATA}
    for name in _files(zarr):
        if name not in noted:
            noted[name] = file_sum(zarr / name)
    write_sealed(zarr / MANIFEST, {"files": {name: f"{one.size} {one.crc:08x}" for name, one in sorted(noted.items())}})
    (zarr / LOG).unlink(missing_ok=True)


def noted(zarr: Path) -> Mapping[str, FileSum] | None:
    """The manifest of a zarr on this machine; None where it has none.

    Raises:
        UnreadableError: the manifest is damaged.
    """
    path = zarr / MANIFEST
    return _read(path, *as_it_is(path)) if path.is_file() else None


@lru_cache(maxsize=64)
def _read(path: Path, *_as_it_is: int) -> Mapping[str, FileSum]:
    try:
        lines = {name: line.split() for name, line in read_json(path)["files"].items()}
        return {name: FileSum(int(size), int(crc, 16)) for name, (size, crc) in lines.items()}
    except (InputError, KeyError, TypeError, ValueError, AttributeError):
        raise UnreadableError(f"{path}: damaged list of checksums; expected it as it was written: {CURE}") from None


CURE = "delete that .zarr and run the command that made it again, which makes it alone"


def check(zarr: Path, name: str, content: Any, manifest: Mapping[str, FileSum]) -> None:
    """Refuse what was read of a file (bytes, or an array of them; None for no such file) where it is not what the manifest says.

    Raises:
        UnreadableError: lost, changed, or never written by us.
    """
    was = manifest.get(name)
    if content is None and was is None:
        return
    if content is None:
        state = "is lost"
    elif was is None:
        state = "was not there when this was written"
    elif was == FileSum(len(content), zlib.crc32(content)):
        return
    else:
        state = "is damaged: not what its checksum says"
    raise UnreadableError(f"{zarr / name}: {state}; expected it as it was written: {CURE}")


def is_whole(zarr: Path) -> bool:
    """Whether all files of a zarr are there, in their sizes, and its metadata as it was written; reads no chunk.

    True of a zarr without a manifest; false of one that `strike_out` was called for.
    """
    if (zarr / STRUCK_OUT).exists():
        return False
    try:
        names = _logged(zarr) if is_begun(zarr) else noted(zarr)
    except InputError:
        return False
    return not any(_is_off(zarr / name, was) for name, was in (names or {}).items())


def _is_off(path: Path, was: FileSum) -> bool:
    try:
        size = path.stat().st_size
    except OSError:
        return True
    return size != was.size or (path.name in METADATA and file_sum(path) != was)


def damaged(zarr: Path) -> Iterator[str]:
    """What is wrong with a zarr that has a manifest, a line for each file; reads everything."""
    try:
        names = noted(zarr) or {}
    except UnreadableError as error:
        yield str(error)
        return
    for name in sorted({*names, *_files(zarr)}):
        path = zarr / name
        try:
            if names.get(name) != (file_sum(path) if path.exists() else None):
                yield f"{path}: {'is damaged' if path.exists() else 'is lost'}"
        except OSError as error:
            yield f"{path}: cannot be read ({error.strerror})"
        except InputError as error:
            yield str(error)


def strike_out(zarr: Path) -> None:
    """Note that a zarr is damaged: the command that made it makes it again. Nothing of it is removed."""
    (zarr / STRUCK_OUT).touch()


def zarrs_below(folder: Path) -> Iterator[Path]:
    """Every zarr in a folder and in those below it, finished ones only, in order; nothing inside a zarr is looked at."""
    for path, folders, _ in os.walk(folder):
        found = sorted(name for name in folders if name.endswith(".zarr") and not name.startswith("."))
        yield from (Path(path) / name for name in found)
        folders[:] = sorted(name for name in folders if not name.endswith((".zarr", ".part")))


def _logged(zarr: Path) -> dict[str, FileSum]:
    """What the log says, the last word on each file; a torn or damaged line says nothing."""
    found: dict[str, FileSum] = {}
    for line in _lines(zarr / LOG):
        crc, _, text = line.partition(" ")
        if crc != f"{zlib.crc32(text.encode()):08x}":
            continue
        name, *one = json.loads(text)
        if one:
            found[name] = FileSum(*one)
        else:
            found.pop(name, None)
    return found


def _lines(log: Path) -> Iterable[str]:
    try:
        return plain_file(log).read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return ()


def _files(zarr: Path) -> Iterator[str]:
    """Names of the files of a zarr, "/" between folders, without ours."""
    for path, _, files in os.walk(zarr):
        below = Path(path).relative_to(zarr)
        names = ((below / name).as_posix() for name in files)
        yield from (name for name in names if name not in (MANIFEST, LOG, STRUCK_OUT))

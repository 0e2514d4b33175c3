"""Reading no more than can be meant: plain files alone, and no more of a text file or of an entry of a zip than fits."""

import errno
import math
import os
import stat
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from scroll.errors import InputError

MOST_JSON_BYTES = 2**26
MOST_YAML_BYTES = 2**18
MOST_UNKNOWN_BYTES = 2**31  # of a zip's entry where nobody knows what to expect
LONGEST_LINE = 2**20
BYTES_A_VOXEL = 8
HEADER_BYTES = 2**16  # of a TIFF's page


def most_tiff_bytes(shape: tuple[int, int, int]) -> int:
    """What a TIFF of (Z, Y, X) may take at most, whatever its kind of numbers."""
    return BYTES_A_VOXEL * math.prod(shape) + HEADER_BYTES * (shape[0] + 1)


def plain_file(path: Path) -> Path:
    """The path again, to be opened: a pipe would be waited for without end, and a device may never end.

    That nothing is there is no error here.

    Raises:
        InputError: a folder, a pipe, a device or a socket is there, or a link that leads back to itself.
    """
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno == errno.ELOOP:
            raise InputError(f"{path}: is a link that leads back to itself; link it to what is meant") from None
        return path  # whoever opens it says why it cannot be
    if not stat.S_ISREG(mode):
        found = "a folder" if stat.S_ISDIR(mode) else "a pipe" if stat.S_ISFIFO(mode) else "a device or a socket"
        raise InputError(f"{path}: is {found}; expected a plain file: put the file there, or give another path")
    return path


def read_text(path: Path, most_bytes: int) -> str:
    """A text file in UTF-8, a byte order mark left out.

    Raises:
        FileNotFoundError, UnicodeDecodeError: as usual.
        InputError: it is no plain file, or it is longer; no more than `most_bytes` are read.
    """
    with plain_file(path).open("rb") as file:
        size = os.fstat(file.fileno()).st_size  # a buffer is as large as what is asked for; 0 of what is no plain file
        content = file.read(min(size or most_bytes, most_bytes) + 1)
    if len(content) > most_bytes:
        raise InputError(
            f"{path}: is longer than {most_bytes} bytes, more than such a file can be; check that it is the right one"
        )
    return content.decode("utf-8-sig")


def read_lines(path: Path, longest: int = LONGEST_LINE) -> Iterator[str]:
    """The lines of a text file in UTF-8 one after the other, without their ends.

    Raises:
        FileNotFoundError, UnicodeDecodeError: as usual.
        InputError: one is longer than `longest` bytes; no more of it is read.
    """
    with plain_file(path).open("rb") as file:
        for number, line in enumerate(iter(partial(file.readline, longest + 1), b""), start=1):
            if len(line) > longest:
                raise InputError(f"{path}: line {number} is longer than {longest} bytes; delete it")
            yield line.decode("utf-8").rstrip("\r\n")


def read_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, most_bytes: int) -> bytes:
    """The content of a zip's entry, unpacked into memory.

    Raises:
        InputError: the zip's directory says that it is larger, or it is; no more than `most_bytes` are unpacked.
    """
    size = entry.file_size
    if size <= most_bytes:
        with archive.open(entry) as packed:
            content = packed.read(most_bytes + 1)  # what the directory says need not be so
        if len(content) <= most_bytes:
            return content
        size = len(content)
    raise InputError(f"{' '.join(entry.filename.split())[:120]} unpacks to {size} bytes; expected at most {most_bytes}")

"""What a file of a source holds, known without reading all of it: small files whole, of large ones pieces all through them.

A source that is replaced by another scan, another label or another version differs in the pieces; so does a file of packed data that
was changed anywhere, for what follows the change moves. Not noticed is a change of part of a large unpacked file, at the same size and
between the pieces.
"""

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from scroll.runtime.bounded import plain_file

MOST_FILES = 1024
WHOLE_BYTES = 2**22  # up to here a file is read whole
PIECES, PIECE_BYTES = 16, 2**15  # of larger ones: so many pieces of so many bytes, the first and the last among them


def content_of(path: Path) -> str:
    """Hash of a file's size and of what is read of it; at most 4 MiB are read, and once while the file stays as it is."""
    return _content(path, *as_it_is(path))


def contents_of(files: Sequence[Path]) -> list[str | int]:
    """The same of many files; of more than 1024, such as the chunks of a zarr, of so many evenly among them, and the sizes of all others.

    >>> contents_of([])
    []
    """
    step = max(1, -(-len(files) // MOST_FILES))
    return [path.stat().st_size if number % step else content_of(path) for number, path in enumerate(files)]


def as_it_is(path: Path) -> tuple[int, int, int, int]:
    """Size and times of a file, and which one it is: what was read of it holds as long as they stay; ctime shows times set back.

    Raises:
        InputError: it is no file (`plain_file`).
    """
    stat = plain_file(path).stat()
    return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino


@lru_cache(maxsize=2**15)
def _content(path: Path, size: int, *_as_it_is: int) -> str:
    seen = hashlib.sha256(str(size).encode())
    with plain_file(path).open("rb") as file:
        if size <= WHOLE_BYTES:
            seen.update(file.read())
        else:
            for number in range(PIECES):
                file.seek((size - PIECE_BYTES) * number // (PIECES - 1))
                seen.update(file.read(PIECE_BYTES))
    return seen.hexdigest()[:16]

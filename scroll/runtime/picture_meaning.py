"""Pictures that mean something else than the numbers stored in them, as they are read today: what was made of them before is made again.

Once a TIFF where white is zero, or with a palette, was read as it is stored, and what is transparent in a label as opaque.
Keys of such sources hold the number of the reading; those of all others do not, and stay what they were.
"""

import struct
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import IO

from scroll.runtime.content import MOST_FILES, as_it_is

READING = 1  # to be raised when such pictures are read in another way
TIFFS, PNG = (".tif", ".tiff"), ".png"
WITH_ALPHA = (
    "mask",
    "inklabel",
    "ink_label",
)  # in names of pictures whose transparency is looked at, which decodes them
PHOTOMETRIC, EXTRA_SAMPLES = 262, 338
AS_STORED = (1, 2)  # black is zero, and RGB
MOST_TAGS = 4096
LAYOUTS = {b"II*\0": "<", b"MM\0*": ">", b"II+\0": "<", b"MM\0+": ">"}


def meanings_of(files: Sequence[Path]) -> list[list[int]]:
    """`meaning_of` each; of more files than are looked into for their contents, of as many evenly among them."""
    step = max(1, -(-len(files) // MOST_FILES))
    return [[] if number % step else meaning_of(path) for number, path in enumerate(files)]


def meaning_of(path: Path) -> list[int]:
    """What a key of a file holds beside its content: the number of the reading where that is another than it was, else nothing."""
    ending = path.suffix.lower()
    is_label = any(part in path.stem.lower() for part in WITH_ALPHA)
    if ending not in TIFFS and not (ending == PNG and is_label):
        return []
    return [READING] if _is_odd(path, ending == PNG, *as_it_is(path)) else []


@lru_cache(maxsize=2**15)
def _is_odd(path: Path, is_png: bool, *_as_it_is: int) -> bool:
    try:
        if is_png:
            return _is_transparent(path)
        with path.open("rb") as file:
            return _is_other_tiff(file)
    except (OSError, ValueError, struct.error):  # whoever reads the picture says what is wrong with it
        return False


def _is_other_tiff(file: IO[bytes]) -> bool:
    """By the tags of its first page."""
    begin = file.read(16)
    order, is_big = LAYOUTS.get(begin[:4], ""), begin[2:4] in (b"+\0", b"\0+")
    if not order:
        return False
    file.seek(struct.unpack(f"{order}Q", begin[8:16])[0] if is_big else struct.unpack(f"{order}I", begin[4:8])[0])
    (count,) = struct.unpack(f"{order}Q", file.read(8)) if is_big else struct.unpack(f"{order}H", file.read(2))
    size = 20 if is_big else 12
    tags = file.read(size * min(count, MOST_TAGS))
    for start in range(0, len(tags) - size + 1, size):
        tag, kind = struct.unpack(f"{order}HH", tags[start : start + 4])
        value = tags[start + size - (8 if is_big else 4) : start + size]
        (number,) = struct.unpack(f"{order}H", value[:2]) if kind == 3 else struct.unpack(f"{order}I", value[:4])
        if tag == EXTRA_SAMPLES or (tag == PHOTOMETRIC and number not in AS_STORED):
            return True
    return False


def _is_transparent(path: Path) -> bool:
    """Whether a PNG is transparent anywhere."""
    from PIL import Image

    with Image.open(path, formats=["PNG"]) as image:
        if "A" not in image.getbands() and "transparency" not in image.info:
            return False
        low = image.convert("RGBA").getchannel("A").getextrema()[0]
        return not isinstance(low, int) or low < 255

"""The record that `scroll.runtime.file_record` left in a TIFF or a PNG, read back; no pixel is decoded."""

import json
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from scroll.errors import InputError, MissingInputError
from scroll.runtime.bounded import plain_file
from scroll.runtime.file_record import FORMAT, IMAGE_DESCRIPTION, MARK
from scroll.runtime.json_fields import MayLack, is_like
from scroll.runtime.reading import reading
from scroll.volumes.tiff.pages import opened_tiff

PNG, JPEG, TIFFS = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
TEXTS = (b"tEXt", b"zTXt", b"iTXt")
MOST_TEXT_BYTES = 2**16  # other programs may have written more beside it
SHAPE = {
    "items": MayLack([str]),
    "receipts": MayLack({str: str}),
    "members": MayLack({str: dict}),
    "made_by": MayLack(dict),
}
LOST = "it was made before files carried one, by another program, or saved again by one that drops it: give the file as it was written"


def read_record(path: Path) -> dict[str, Any]:
    """The record in a file.

    Raises:
        MissingInputError: no such file, or no record in it.
        InputError: a folder, neither TIFF nor PNG, or damaged.
    """
    if not path.exists():
        raise MissingInputError(f"{path}: not there; expected a TIFF or PNG: check the spelling")
    with plain_file(path).open("rb") as file:
        head = file.read(8)
        if head[:3] == JPEG:
            raise MissingInputError(
                f"{path}: is a JPEG, which holds no record; expected the TIFF or PNG it was made from"
            )
        if head != PNG and head[:4] not in TIFFS:
            raise InputError(f"{path}: is neither TIFF nor PNG; expected an output of this project: give another file")
        with reading(path, "a whole TIFF or PNG", "copy it again"):
            texts = list(_png_texts(file)) if head == PNG else _tiff_texts(path)
            found = [_parsed(text) for text in texts if MARK in text]
    if not found:
        raise MissingInputError(f"{path}: holds no record; {LOST}")
    return found[0]


def _parsed(text: str) -> dict[str, Any]:
    """The record of a text that holds one.

    Raises:
        ValueError: it is none, or one of a later version.
    """
    content = json.loads(text[text.index("{") : text.rindex("}") + 1])
    if content.get(MARK) != FORMAT or not is_like(content, SHAPE):
        raise ValueError(f"its record is not one of format {FORMAT}, which this version reads")
    return dict(content)


def _tiff_texts(path: Path) -> list[str]:
    with opened_tiff(path) as tiff:
        return [str(tag.value) for tag in tiff.pages[0].tags.getall(IMAGE_DESCRIPTION, [])]


def _png_texts(file: IO[bytes]) -> Iterator[str]:
    """The texts of a PNG from its first chunk on.

    Raises:
        ValueError: it is cut off, or one of them is damaged.
    """
    while len(head := file.read(8)) == 8:
        size, kind = struct.unpack(">I4s", head)
        if kind not in TEXTS or size > MOST_TEXT_BYTES:
            file.seek(size + 4, 1)
        else:
            body = file.read(size)
            if file.read(4) != struct.pack(">I", zlib.crc32(kind + body)):
                raise ValueError("a text in it is damaged")
            yield _text_of(kind, body)
        if kind == b"IEND":
            return
    raise ValueError("it is cut off")


def _text_of(kind: bytes, body: bytes) -> str:
    """What a text chunk says; other programs pack it, or write it in UTF-8. All of ours is ASCII."""
    _, _, rest = body.partition(b"\0")
    content = rest[2:].split(b"\0", 2)[-1] if kind == b"iTXt" else rest[1:] if kind == b"zTXt" else rest
    if kind == b"zTXt" or (kind == b"iTXt" and rest[:1] == b"\1"):
        content = zlib.decompressobj().decompress(content, MOST_TEXT_BYTES)
    return content.decode("utf-8", errors="replace")

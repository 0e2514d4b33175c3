"""A short record inside a TIFF or a PNG of what it was made from, which travels with it: JSON where both formats keep a description.

In a TIFF it is the ImageDescription of the first page, in a PNG the text called Description. Pixels are what they were without
it. It holds no time, so that the same prediction gives the same bytes, and no path, name of a user or address.
"""

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scroll.redacted import redacted
from scroll.runtime.receipt import made_by

if TYPE_CHECKING:
    from PIL.PngImagePlugin import PngInfo

MARK, FORMAT = "scroll_ensemble_record", 1
KEYWORD = "Description"
MOST_BYTES = 3900  # of the text; what shows a picture's description shows some 4 kB
LONGEST = 300  # characters of one value
IMAGE_DESCRIPTION, ASCII_TEXT = 270, 2
END = b"record ends here"  # then where the first page was before, and how long the file was: how a record is taken out again
TAIL_BYTES = len(END) + 8

Contents = Mapping[str, Any]
NOTHING: Contents = {}


def run_name(run_dir: Path) -> str:
    """What a run is called, without where it is; empty where its folder is the user's home, which is called as the user is."""
    place = run_dir.resolve()
    try:
        if place == Path.home().resolve():
            return ""
    except RuntimeError:  # a user without one
        pass
    return run_dir.name if run_dir.name not in ("", "..") else place.name


def code_and_packages() -> dict[str, object]:
    """Version and commit of this code, Python and packages; the kind of machine is left out."""
    return {name: value for name, value in made_by().items() if name != "machine"}


def record_text(content: Contents) -> str:
    """JSON in ASCII, at most `MOST_BYTES` long; what opens an address is taken out of it.

    Where it would be longer, the last entries of its longest list or table are left out, and `not_told` says how many.
    """
    record: dict[str, Any] = {MARK: FORMAT, **{name: _plain(value) for name, value in content.items()}}
    left_out = 0
    while len(text := json.dumps(record)) > MOST_BYTES:
        tables = [name for name, value in record.items() if isinstance(value, dict | list) and value]
        if not tables:
            break
        longest = record[max(tables, key=lambda name: len(json.dumps(record[name])))]
        longest.pop(*([] if isinstance(longest, list) else [next(reversed(longest))]))
        left_out += 1
        record["not_told"] = left_out
    return text


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {redacted(str(name))[:LONGEST]: _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return redacted(value)[:LONGEST] if isinstance(value, str) else value


def described(record: Contents) -> dict[str, str]:
    """The text of a PNG by its keyword; nothing where there is nothing to tell."""
    return {KEYWORD: record_text(record)} if record else {}


def png_info(record: Contents) -> "PngInfo":
    """The same for Pillow."""
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    for keyword, text in described(record).items():
        info.add_text(keyword, text)
    return info


def tiff_with_record(content: bytes, record: Contents) -> bytes:
    """A TIFF as Pillow writes it, with a record on its first page; what was there is followed by it, byte for byte.

    Only the header's pointer to the first page changes: the page's tags stand a second time behind the end, with one more.
    `tiff_without_record` gives back what was there. Too large a file, which 32 bits cannot point into, stays as it is.
    """
    (first,) = struct.unpack_from("<I", content, 4)
    (count,) = struct.unpack_from("<H", content, first)
    end = first + 2 + 12 * count
    text = record_text(record).encode("ascii") + b"\0"
    text_at = len(content) + len(content) % 2  # TIFF wants even places
    page_at = text_at + len(text) + len(text) % 2
    if page_at > 2**32 - 2**16:
        return content
    tags = [content[at : at + 12] for at in range(first + 2, end, 12)]
    tags.append(struct.pack("<HHII", IMAGE_DESCRIPTION, ASCII_TEXT, len(text), text_at))
    tags.sort(key=lambda tag: struct.unpack("<H", tag[:2]))
    page = struct.pack("<H", len(tags)) + b"".join(tags) + content[end : end + 4]
    before = content[:4] + struct.pack("<I", page_at) + content[8:]
    parts = [before.ljust(text_at, b"\0"), text.ljust(page_at - text_at, b"\0"), page, END]
    return b"".join(parts) + struct.pack("<II", first, len(content))


def tiff_without_record(content: bytes) -> bytes:
    """The bytes that `tiff_with_record` was given; any others as they are."""
    if content[:4] != b"II*\0" or content[-TAIL_BYTES:-8] != END:
        return content
    first, size = struct.unpack("<II", content[-8:])
    return content[:4] + struct.pack("<I", first) + content[8:size] if 8 <= first < size < len(content) else content

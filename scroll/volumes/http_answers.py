"""What a web server's answer holds: the file itself, the file packed for the way, or a page for people."""

import zlib
from collections.abc import Mapping
from typing import Any

from scroll.errors import InputError
from scroll.volumes.url import Url

PAGES = (b"<!doctype html", b"<html")
WINDOW = {"gzip": 31, "x-gzip": 31, "deflate": 47}  # of zlib, by how the answer was packed
MOST_BYTES = 2**31  # of what is unpacked: no chunk is as large


def body_of(url: Url, body: bytes, attributes: Mapping[Any, Any], is_part: bool, most_bytes: int = MOST_BYTES) -> bytes:
    """The bytes of the file at `url`, unpacked where the server packed them for the way; `is_part`: a range of it was asked for;
    `most_bytes` is how long it may be unpacked.

    Raises:
        InputError: a web page, bytes that are packed in another way, or a part of packed bytes, which cannot be unpacked.
    """
    headers = {str(name).lower(): str(value).lower().strip() for name, value in attributes.items()}
    encoding = headers.get("content-encoding", "identity")
    if encoding not in ("", "identity"):
        if encoding not in WINDOW or is_part:
            what = "a part of it" if is_part else "it"
            raise InputError(
                f"{url}: the server packed {what} for the way (Content-Encoding: {encoding:.40}); expected its bytes: have the server send "
                "it as it is"
            )
        body = _unpacked(url, body, encoding, most_bytes)
    is_page = body.lstrip(b"\xef\xbb\xbf \t\r\n")[:14].lower().startswith(PAGES)
    if is_page or (headers.get("content-type", "").startswith("text/html") and body.lstrip()[:1] == b"<"):
        what = "not readable as JSON" if url.name in ("meta.json", "metadata.json") else "unreadable as zarr"
        raise InputError(
            f"{url}: {what} (the server answered with a web page, HTML); expected the file, or 404 where there is none: is there a login, "
            "or a page for what is missing? Check the address"
        )
    return body


def _unpacked(url: Url, body: bytes, encoding: str, most_bytes: int) -> bytes:
    unpack = zlib.decompressobj(WINDOW[encoding])
    try:
        content = unpack.decompress(body, most_bytes)
    except zlib.error as error:
        raise InputError(f"{url}: not the {encoding} that the server says it is ({error}); check the server") from None
    if not unpack.eof:
        raise InputError(
            f"{url}: {encoding} that is cut off, or holds more than {most_bytes} bytes; expected a file of a zarr: check the server"
        )
    return content

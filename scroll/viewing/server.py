"""Serves volumes to a viewer in a browser on this machine, as OME-Zarr 0.4 whose chunks are cut and converted when asked for.

Neuroglancer reads no float16 (its datasource/zarr/README.md lists what it reads), and no TIFF: so a probability goes out as
float32, and whatever `open_volume` opens as raw chunks. Nothing but these volumes can be reached.
"""

import json
import re
from collections.abc import Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scroll.errors import InputError
from scroll.viewing.shown import Shown

CHUNK = 64  # voxels along each axis
LIMITS = re.compile(r"bytes=(\d*)-(\d*)")
CHUNK_PATH = re.compile(r"(\d+)/(\d+)/(\d+)/(\d+)")
READABLE = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "float32")
CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, HEAD, OPTIONS",
    "Access-Control-Allow-Headers": "Range, Content-Type",
    "Access-Control-Expose-Headers": "Content-Range, Content-Length, Accept-Ranges",
    "Access-Control-Allow-Private-Network": "true",  # a page from the internet asks this machine
}


def served_dtype(one: Shown) -> np.dtype[Any]:
    """The type in which a volume goes out: its own where the viewer reads that; labels without a sign."""
    dtype = one.levels[0].dtype
    if one.kind == "labels":
        return np.dtype(f"uint{8 * min(dtype.itemsize, 4)}" if dtype.kind in "ui" else "uint8")
    if dtype.name in READABLE:
        return dtype
    return np.dtype("float32")


class VolumeServer(ThreadingHTTPServer):
    """Serves `shown[n]` below /n/ at `address`; `serve_forever` begins, on this machine alone.

    Raises:
        InputError: the port is taken.
    """

    daemon_threads = True

    def __init__(self, shown: Sequence[Shown], port: int = 0) -> None:
        self.shown = list(shown)
        try:
            super().__init__(("127.0.0.1", port), _Handler)
        except OSError as error:
            raise InputError(f"port {port}: cannot be used ({error.strerror}); give another --port") from None
        self.address = f"http://127.0.0.1:{self.server_port}"

    def content(self, path: str) -> bytes | None:
        """What lies at `path` ("0/.zattrs", "0/1/.zarray", "0/1/2/3/4"); None where nothing does."""
        number, _, rest = path.partition("/")
        if not number.isdecimal() or int(number) >= len(self.shown):
            return None
        one = self.shown[int(number)]
        if rest in (".zgroup", ".zattrs"):
            return json.dumps({"zarr_format": 2} if rest == ".zgroup" else attributes(one)).encode()
        level, _, name = rest.partition("/")
        if not level.isdecimal() or int(level) >= len(one.levels):
            return None
        if name == ".zarray":
            return json.dumps(array_metadata(one, int(level))).encode()
        chunk = CHUNK_PATH.fullmatch(rest)
        return None if chunk is None else _chunk(one, int(level), tuple(map(int, chunk.groups()[1:])))


def attributes(one: Shown) -> dict[str, Any]:
    """The group's: a scale for each level, and a translation that puts all corners to the same place.

    In OME-Zarr a voxel's place is its centre, so one that is twice as wide begins half a voxel further on.
    """
    datasets = [
        {
            "path": str(level),
            "coordinateTransformations": [
                {"type": "scale", "scale": list(steps)},
                {
                    "type": "translation",
                    "translation": [first + step / 2 for first, step in zip(one.first_um, steps, strict=True)],
                },
            ],
        }
        for level, steps in enumerate(one.steps_um)
    ]
    axes = [{"name": axis, "type": "space", "unit": "micrometer"} for axis in "zyx"]
    return {"multiscales": [{"version": "0.4", "name": one.name, "axes": axes, "datasets": datasets}]}


def array_metadata(one: Shown, level: int) -> dict[str, Any]:
    """Of one level, as Zarr v2 has it: raw chunks, little endian."""
    shape = one.levels[level].shape
    return {
        "zarr_format": 2,
        "shape": list(shape),
        "chunks": list(_chunks(shape)),
        "dtype": served_dtype(one).newbyteorder("<").str,
        "compressor": None,
        "fill_value": 0,
        "order": "C",
        "filters": None,
        "dimension_separator": "/",
    }


def _chunks(shape: Sequence[int]) -> tuple[int, ...]:
    return tuple(min(CHUNK, length) for length in shape)


def _chunk(one: Shown, level: int, place: tuple[int, ...]) -> bytes | None:
    """A chunk's bytes, filled up with 0 where it hangs over; None outside."""
    volume = one.levels[level]
    chunks = _chunks(volume.shape)
    begin = [number * edge for number, edge in zip(place, chunks, strict=True)]
    if any(first >= length for first, length in zip(begin, volume.shape, strict=True)):
        return None
    box = tuple(slice(first, first + edge) for first, edge in zip(begin, chunks, strict=True))
    values: NDArray[Any] = np.zeros(chunks, served_dtype(one).newbyteorder("<"))
    cut = volume[box]
    values[tuple(slice(0, length) for length in cut.shape)] = cut
    return values.tobytes()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or a chunk waits 40 ms for the browser to acknowledge the headers
    server: VolumeServer

    def do_GET(self) -> None:
        """A file, or the range of it that is asked for."""
        self._answer(is_body_sent=True)

    def do_HEAD(self) -> None:
        """As GET, without the content."""
        self._answer(is_body_sent=False)

    def do_OPTIONS(self) -> None:
        """What a browser asks before it asks."""
        self._send(HTTPStatus.NO_CONTENT, b"", {}, is_body_sent=True)

    def _answer(self, is_body_sent: bool) -> None:
        content = self.server.content(self.path.partition("?")[0].strip("/"))
        if content is None:
            self._send(HTTPStatus.NOT_FOUND, b"", {}, is_body_sent)
            return
        asked = LIMITS.fullmatch(self.headers.get("Range", ""))
        if asked is None or asked.groups() == ("", ""):
            self._send(HTTPStatus.OK, content, {}, is_body_sent)
            return
        first, last = asked.groups()
        begin = int(first) if first else max(0, len(content) - int(last))
        end = min(int(last) + 1, len(content)) if first and last else len(content)
        if begin >= end:
            headers = {"Content-Range": f"bytes */{len(content)}"}
            self._send(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, b"", headers, is_body_sent)
            return
        headers = {"Content-Range": f"bytes {begin}-{end - 1}/{len(content)}"}
        self._send(HTTPStatus.PARTIAL_CONTENT, content[begin:end], headers, is_body_sent)

    def _send(self, status: HTTPStatus, body: bytes, headers: dict[str, str], is_body_sent: bool) -> None:
        self.send_response(status)
        for name, value in {**CORS, "Accept-Ranges": "bytes", "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if is_body_sent:
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Silent: a viewer asks thousands of times."""

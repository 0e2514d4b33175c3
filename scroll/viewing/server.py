"""Serves volumes to a viewer in a browser on this machine, as OME-Zarr 0.4 whose chunks are cut and converted when asked for.

Neuroglancer reads no float16 (its datasource/zarr/README.md lists what it reads), and no TIFF: so a probability goes out as
float32, and whatever `open_volume` opens as raw chunks. Nothing but these volumes can be reached, and only by who knows
the address: every page that this machine's browser shows can ask a server on it, so the address holds a token that none can
guess, the one page that is meant is named (its origin), and a name that only points here (DNS rebinding) is refused.
"""

import json
import re
import secrets
import socket
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scroll.errors import InputError
from scroll.viewing.layers import ViewedLayer
from scroll.viewing.neuroglancer import VIEWER, origin_of

CHUNK = 64  # voxels along each axis
LIMITS = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")
NUMBER = re.compile(r"[0-9]{1,9}")
CHUNK_PATH = re.compile(r"([0-9]{1,9})/([0-9]{1,9})/([0-9]{1,9})/([0-9]{1,9})")
MOST_CONNECTIONS = 32  # at once; a browser opens six
SILENT_S = 30.0  # after which a connection that asks for nothing is closed; a browser opens another
READABLE = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "float32")
CORS = {  # beside the origin that may read
    "Access-Control-Allow-Methods": "GET, HEAD, OPTIONS",
    "Access-Control-Allow-Headers": "Range, Content-Type",
    "Access-Control-Expose-Headers": "Content-Range, Content-Length, Accept-Ranges",
    "Access-Control-Allow-Private-Network": "true",  # a page from the internet asks this machine
}


def served_dtype(one: ViewedLayer) -> np.dtype[Any]:
    """The type in which a volume goes out: its own where the viewer reads that; labels without a sign."""
    dtype = one.levels[0].dtype
    if one.kind == "labels":
        return np.dtype(f"uint{8 * min(dtype.itemsize, 4)}" if dtype.kind in "ui" else "uint8")
    if dtype.name in READABLE:
        return dtype
    return np.dtype("float32")


class VolumeServer(ThreadingHTTPServer):
    """Serves `layers[n]` below /n/ at `address`, which holds a secret; `serve_forever` begins, on this machine alone.

    Of pages in a browser, only those of `viewer` may read.

    Raises:
        InputError: the port is taken, or `viewer` is no address.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, layers: Sequence[ViewedLayer], port: int = 0, viewer: str = VIEWER) -> None:
        self.layers = list(layers)
        self.origin = origin_of(viewer)
        self.token = secrets.token_urlsafe(24)
        self._free = threading.BoundedSemaphore(MOST_CONNECTIONS)
        self._idle: dict[socket.socket, None] = {}  # connections that wait for a request, the longest first
        try:
            super().__init__(("127.0.0.1", port), _Handler)
        except (OSError, OverflowError) as error:
            raise InputError(
                f"port {port}: cannot be used ({getattr(error, 'strerror', error)}); give another --port"
            ) from None
        self.hosts = (f"127.0.0.1:{self.server_port}", f"localhost:{self.server_port}")
        self.address = f"http://{self.hosts[0]}/{self.token}"

    def process_request(self, request: Any, client_address: Any) -> None:
        """A thread for each connection, up to a bound; beyond it, the one that has been silent for longest is closed."""
        while not self._free.acquire(timeout=0 if self._idle else 0.05):
            silent = next(iter(self._idle.copy()), None)
            if silent is not None and self._idle.pop(silent, silent) is None:
                with suppress(OSError):
                    silent.shutdown(socket.SHUT_RDWR)
        self._idle[request] = None
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._free.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Until the connection is closed."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._idle.pop(request, None)
            self._free.release()

    @contextmanager
    def at_work_for(self, request: socket.socket) -> Iterator[None]:
        """While the connection is answered it is not closed to make room."""
        self._idle.pop(request, None)
        yield
        self._idle[request] = None

    def handle_error(self, request: Any, client_address: Any) -> None:
        """One line of what is not just a browser that went away."""
        error = sys.exception()
        if not isinstance(error, ConnectionError | TimeoutError):
            print(f"viewer's server: {type(error).__name__}: {' '.join(str(error).split())}", file=sys.stderr)

    def asked(self, path: str) -> str | None:
        """What is asked for, where the path begins with the token; None otherwise."""
        token, _, rest = path.partition("?")[0].strip("/").partition("/")
        is_known = secrets.compare_digest(token.encode(errors="replace"), self.token.encode())
        return rest if is_known else None

    def content(self, path: str) -> bytes | None:
        """What is at `path` ("0/.zattrs", "0/1/.zarray", "0/1/2/3/4"); None where nothing does."""
        number, _, rest = path.partition("/")
        if not NUMBER.fullmatch(number) or int(number) >= len(self.layers):
            return None
        one = self.layers[int(number)]
        if rest in (".zgroup", ".zattrs"):
            return json.dumps({"zarr_format": 2} if rest == ".zgroup" else attributes(one)).encode()
        level, _, name = rest.partition("/")
        if not NUMBER.fullmatch(level) or int(level) >= len(one.levels):
            return None
        if name == ".zarray":
            return json.dumps(array_metadata(one, int(level))).encode()
        chunk = CHUNK_PATH.fullmatch(rest)
        return None if chunk is None else _chunk(one, int(level), tuple(map(int, chunk.groups()[1:])))


def attributes(one: ViewedLayer) -> dict[str, object]:
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
                    "translation": [at + step / 2 for at, step in zip(one.first_um, steps, strict=True)],
                },
            ],
        }
        for level, steps in enumerate(one.steps_um)
    ]
    axes = [{"name": axis, "type": "space", "unit": "micrometer"} for axis in "zyx"]
    return {"multiscales": [{"version": "0.4", "name": one.name, "axes": axes, "datasets": datasets}]}


def array_metadata(one: ViewedLayer, level: int) -> dict[str, object]:
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


def _chunk(one: ViewedLayer, level: int, place: tuple[int, ...]) -> bytes | None:
    """A chunk's bytes, filled up with 0 where it hangs over; None outside."""
    volume = one.levels[level]
    chunks = _chunks(volume.shape)
    begin = [number * edge for number, edge in zip(place, chunks, strict=True)]
    if any(first >= length for first, length in zip(begin, volume.shape, strict=True)):
        return None
    box = tuple(slice(first, first + edge) for first, edge in zip(begin, chunks, strict=True))
    values: NDArray[Any] = np.zeros(chunks, served_dtype(one).newbyteorder("<"))
    cut = volume[box]
    if one.kind == "probability" and cut.dtype.kind == "f":
        cut = np.nan_to_num(cut, nan=0.0)  # where nobody predicted nothing is drawn
    values[tuple(slice(0, length) for length in cut.shape)] = cut
    return values.tobytes()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = SILENT_S
    disable_nagle_algorithm = True  # or a chunk waits 40 ms for the browser to acknowledge the headers
    server: VolumeServer

    def do_GET(self) -> None:
        """A file, or the range of it that is asked for."""
        with self.server.at_work_for(self.connection):
            self._answer(is_body_sent=True)

    def do_HEAD(self) -> None:
        """As GET, without the content."""
        with self.server.at_work_for(self.connection):
            self._answer(is_body_sent=False)

    def do_OPTIONS(self) -> None:
        """What a browser asks before it asks."""
        is_meant = self._is_meant() and self.server.asked(self.path) is not None
        self._send(HTTPStatus.NO_CONTENT if is_meant else HTTPStatus.FORBIDDEN, b"", {}, is_body_sent=True)

    def _is_meant(self) -> bool:
        """Whether this server was asked by its own name, and by nobody or by the page that may ask."""
        if "Content-Length" in self.headers or "Transfer-Encoding" in self.headers:
            self.close_connection = True  # what follows is no request
        origins = self.headers.get_all("Origin", [])
        is_here = len(self.headers.get_all("Host", [])) == 1 and self.headers["Host"].lower() in self.server.hosts
        return is_here and all(
            secrets.compare_digest(one.encode(errors="replace"), self.server.origin.encode()) for one in origins
        )

    def _answer(self, is_body_sent: bool) -> None:
        if not self._is_meant():
            self._send(HTTPStatus.FORBIDDEN, b"", {}, is_body_sent)
            return
        path = self.server.asked(self.path)
        try:
            content = None if path is None else self.server.content(path)
        except (InputError, OSError, MemoryError) as error:
            print(f"viewer: {path}: {' '.join(str(error).split())}", file=sys.stderr)
            self._send(HTTPStatus.INTERNAL_SERVER_ERROR, b"", {}, is_body_sent)
            return
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
        self.close_connection |= status == HTTPStatus.FORBIDDEN
        self.send_response(status)
        about = {
            "Accept-Ranges": "bytes",
            "Content-Length": str(len(body)),
            "Vary": "Origin",
            "Cache-Control": "private",
        }
        if self.headers.get("Origin") == self.server.origin and status != HTTPStatus.FORBIDDEN:
            about |= {"Access-Control-Allow-Origin": self.server.origin, **CORS}
        for name, value in {**about, "X-Content-Type-Options": "nosniff", **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if is_body_sent:
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing, where the base class writes a line for each request: a viewer sends thousands."""

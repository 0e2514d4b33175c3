"""A web server on this machine that serves a folder, and fails on demand: for the tests beside this file."""

import re
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar
from urllib.parse import unquote

NO_BUCKET = b"<?xml version='1.0'?><Error><Code>NoSuchBucket</Code><Message>No such bucket.</Message></Error>"


class WebServer(ThreadingHTTPServer):
    """Serves `folder` at `address`; as S3 in path style the folders in it are buckets.

    `failures[path]` is what happens to the next requests of a path, one each: a status code, "cut" (half the body, then
    nothing) or "silence" (an open connection, and not a byte). `always` is the same for every path, and stays.
    """

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder = folder
        self.address = f"http://127.0.0.1:{self.server_port}"
        self.failures: dict[str, list[int | str]] = {}
        self.always: int | str | None = None
        self.gives_ranges = self.gives_etags = True
        self.body_of_errors = b""
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.lock = threading.Lock()
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def counts(self) -> Counter[str]:
        """How often each path was asked for."""
        return Counter(path for path, _ in self.requests)

    def chunks_asked(self) -> Counter[str]:
        """The same without metadata."""
        return Counter({path: n for path, n in self.counts().items() if re.search(r"/\d+$", path)})

    def handle_error(self, *_) -> None:
        """Connections that the reader gives up are no news."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or a body waits 40 ms for the client to acknowledge the headers
    server: WebServer
    ranges: ClassVar = re.compile(r"bytes=(\d*)-(\d*)")

    def do_GET(self) -> None:
        path = unquote(self.path.partition("?")[0])
        with self.server.lock:
            self.server.requests.append((path, dict(self.headers)))
            planned = self.server.failures.get(path)
            failure = planned.pop(0) if planned else self.server.always
        file = self.server.folder / path.strip("/")
        if failure == "silence":
            self.close_connection = True
            time.sleep(1)
        elif isinstance(failure, int):
            self._answer(failure, self.server.body_of_errors)
        elif file.is_file():
            self._send(file.read_bytes(), is_cut=failure == "cut")
        else:
            is_bucket = (self.server.folder / path.strip("/").split("/")[0]).is_dir()
            self._answer(404, b"" if is_bucket else NO_BUCKET)

    def log_message(self, *_) -> None:
        """Silent."""

    def _send(self, content: bytes, is_cut: bool) -> None:
        headers = {"Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT"}
        if self.server.gives_etags:
            headers["ETag"] = '"unchanged"'
        asked = self.ranges.fullmatch(self.headers.get("Range", "")) if self.server.gives_ranges else None
        part = content
        if asked:
            first, last = asked.groups()
            start = int(first) if first else max(0, len(content) - int(last))
            stop = min(int(last) + 1, len(content)) if first and last else len(content)
            part = content[start:stop]
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(content)}"
        self._answer(206 if asked else 200, part, headers, len(part) // 2 if is_cut else len(part))

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None, sent: int | None = None) -> None:
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body[:sent])
        self.wfile.flush()
        if sent is not None and sent < len(body):
            self.close_connection = True

"""A real S3 server on this machine (moto), and a proxy before it that fails on demand: for the tests beside this file."""

import http.client
import re
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.error import URLError
from urllib.request import Request, urlopen

KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_SKIP_SIGNATURE": "false"}
SLOW_DOWN = (
    b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
)
BUCKET = "scrolls"


@contextmanager
def s3_server():
    """Yields (process, port) of a server with an empty bucket; it keeps all in its memory."""
    port = _free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _make_bucket(port)
        yield process, port
    finally:
        process.kill()
        process.wait()


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _make_bucket(port):
    last_call = time.monotonic() + 60
    while True:
        try:
            urlopen(Request(f"http://127.0.0.1:{port}/{BUCKET}", method="PUT"), timeout=10).close()
            return
        except URLError:
            if time.monotonic() > last_call:
                raise
            time.sleep(0.1)


class Proxy(ThreadingHTTPServer):
    """Passes every request on to the server at `port`, but for those that are planned to fail.

    `plan(method, pattern, failure)` is about the next request of that method whose path matches: it is answered with the
    status `failure` and not passed on; or "lost": passed on, but no answer comes; or "cut": the connection ends before.
    """

    daemon_threads = True

    def __init__(self, port):
        super().__init__(("127.0.0.1", 0), Handler)
        self.port = port
        self.address = f"http://127.0.0.1:{self.server_port}"
        self.planned = []
        self.requests = []
        self.lock = threading.Lock()
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def plan(self, method, pattern, *failures):
        self.planned += [(method, pattern, failure) for failure in failures]

    def met(self, method, path):
        with self.lock:
            self.requests.append((method, path))
            for number, (its_method, pattern, failure) in enumerate(self.planned):
                if its_method == method and re.search(pattern, path):
                    del self.planned[number]
                    return failure
        return None

    def count(self, method, pattern):
        return sum(its_method == method and bool(re.search(pattern, path)) for its_method, path in self.requests)

    def handle_error(self, *_):
        """Connections that end early are no news."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def handle_request(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        failure = self.server.met(self.command, self.path)
        if failure == "cut":
            self.close_connection = True
        elif isinstance(failure, int):
            self._answer(failure, {"Content-Type": "application/xml"}, SLOW_DOWN)
        else:
            status, headers, content = self._passed_on(body)
            if failure == "lost":
                self.close_connection = True
            else:
                self._answer(status, headers, content)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = handle_request

    def _passed_on(self, body):
        server = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=30)
        server.request(self.command, self.path, body, dict(self.headers))
        answer = server.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()

    def _answer(self, status, headers, content):
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in ("content-length", "connection", "transfer-encoding", "date", "server"):
                self.send_header(name, value)
        length = headers.get("Content-Length") if self.command == "HEAD" else None
        self.send_header("Content-Length", length or str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_):
        """Silent."""

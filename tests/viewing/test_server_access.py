"""Who may read from the viewer's server: whoever knows the address, by its own name, and of pages only the viewer's."""

import http.client
import socket
import threading
from collections.abc import Iterator

import numpy as np
import pytest

from scroll.errors import InputError
from scroll.viewing.layers import look_at_all
from scroll.viewing.neuroglancer import VIEWER, origin_of
from scroll.viewing.server import MOST_CONNECTIONS, VolumeServer


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VolumeServer]:
    path = tmp_path_factory.mktemp("access") / "v.npy"
    np.save(path, np.ones((8, 8, 8), np.uint8))
    server = VolumeServer(look_at_all([path], []))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def ask(server: VolumeServer, path: str, method: str = "GET", **headers: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    answer.body = answer.read()  # type: ignore[attr-defined]
    connection.close()
    return answer


def chunk(server: VolumeServer) -> str:
    return f"/{server.token}/0/0/0/0/0"


def test_the_viewer_reads_and_is_named_as_the_one_that_may(server):
    for method, status in (("OPTIONS", 204), ("GET", 200), ("HEAD", 200)):
        answer = ask(server, chunk(server), method, Origin=VIEWER)
        assert answer.status == status
        assert answer.headers["Access-Control-Allow-Origin"] == VIEWER and answer.headers["Vary"] == "Origin"
        assert answer.headers["Access-Control-Allow-Private-Network"] == "true"
    assert ask(server, chunk(server)).body == bytes([1]) * 8**3  # no page at all: a program of this machine
    assert ask(server, chunk(server), Host=f"localhost:{server.server_port}").status == 200


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "", VIEWER + ".evil.example", VIEWER.replace("https", "http"), "\xff"]
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_another_page_reads_nothing(server, method, origin):
    answer = ask(server, chunk(server), method, Origin=origin)
    assert answer.status == 403 and not answer.body and "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{}", "127.0.0.1", "127.0.0.1:1", "", "127.0.0.1.evil.example:{}"]
)
def test_a_name_that_only_points_here_reads_nothing(server, host):
    assert ask(server, chunk(server), Host=host.format(server.server_port)).status == 403


def test_without_the_token_there_is_nothing(server):
    assert len(server.token) >= 32 and server.token in server.address
    for path in (
        "/0/0/0/0/0",
        "/",
        f"/{server.token[:-1]}/0/.zattrs",
        f"/x/{server.token}/0/.zattrs",
    ):
        answer = ask(server, path, Origin=VIEWER)
        assert answer.status == 404 and not answer.body, path
    again = VolumeServer(server.layers)
    again.server_close()
    assert again.token != server.token


def test_it_listens_on_this_machine_alone(server):
    assert server.socket.getsockname()[0] == "127.0.0.1"


def test_connections_that_say_nothing_do_not_keep_others_out_and_are_bounded(server):
    silent = [socket.create_connection(("127.0.0.1", server.server_port)) for _ in range(3 * MOST_CONNECTIONS)]
    try:
        assert ask(server, chunk(server)).status == 200
        workers = [thread for thread in threading.enumerate() if "process_request_thread" in thread.name]
        assert len(workers) <= MOST_CONNECTIONS
    finally:
        for one in silent:
            one.close()


def test_what_is_sent_along_is_not_taken_for_the_next_request(server):
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=10) as line:
        smuggled = f"GET {chunk(server)} HTTP/1.1\r\nHost: {server.hosts[0]}\r\n\r\n"
        line.sendall(
            f"GET / HTTP/1.1\r\nHost: {server.hosts[0]}\r\nContent-Length: {len(smuggled)}\r\n\r\n{smuggled}".encode()
        )
        message = b"".join(iter(lambda: line.recv(65536), b""))
    assert message.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize(
    "viewer", ["ftp://host", "no address", "https://me:word@host", "http://[::1", "https://host:99999", ""]
)
def test_a_viewer_that_is_no_address_is_refused_and_its_password_is_not_repeated(viewer):
    with pytest.raises(InputError, match="--viewer") as message:
        origin_of(viewer)
    assert "word@" not in str(message.value)


def test_the_origin_of_a_viewer_is_as_browsers_write_it():
    assert origin_of("HTTPS://Some.Where:443/v/?a#!b") == "https://some.where"
    assert origin_of("http://[::1]:8080/") == "http://[::1]:8080"

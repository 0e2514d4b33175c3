"""Servers that are busy, broken, absent or unwilling: patience where it helps, one line where it does not, no made-up voxels."""

import multiprocessing
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from remote_scans import HASTY, KINDS, VOXELS, at, hasty, name_of

from scroll.errors import InputError, MissingInputError
from scroll.runtime.children import family
from scroll.volumes import ome_zarr, open_volume
from scroll.volumes.remote import RemoteSettings

ROOT = Path(__file__).resolve().parents[2]


def the_line(error):
    text = str(error.value)
    assert "\n" not in text
    assert len(text) < 400
    return text


@pytest.mark.parametrize("status", [429, 408, 500, 502, 503, 504])
@pytest.mark.parametrize("scheme", ["http", "s3"])
def test_a_busy_server_is_asked_again(server, scheme, status):
    chunk = f"/scans/{name_of('v04')}/0/1/2/3"
    server.failures = {chunk: [status] * 3, f"/scans/{name_of('v04')}/.zattrs": [status]}
    volume = ome_zarr.open(at(server, scheme=scheme), remote=HASTY)
    np.testing.assert_array_equal(volume[...], VOXELS)
    assert server.counts()[chunk] == 4
    assert sum(server.chunks_asked().values()) == 3 * 3 * 4 + 3


@pytest.mark.parametrize("gives_etags", [True, False])
@pytest.mark.parametrize("gives_ranges", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_cut_short_is_asked_for_again(server, kind, gives_ranges, gives_etags):
    server.gives_ranges, server.gives_etags = gives_ranges or kind == "sharded", gives_etags
    part = "/0/c/0/0/0" if kind != "v04" else "/0/0/0/0"
    server.failures = {f"/scans/{name_of(kind)}{part}": ["cut", "cut"]}
    np.testing.assert_array_equal(hasty(server, kind)[...], VOXELS)


@pytest.mark.parametrize("failure", [429, 503, "cut", "silence"])
def test_retries_end_with_one_line(server, failure):
    volume = hasty(server, silence_timeout_s=0.3 if failure == "silence" else 3)
    server.body_of_errors = b"<html>\n<h1>Busy</h1>\n</html>"
    server.gives_ranges = False
    server.always = failure
    began = time.monotonic()
    with pytest.raises(InputError) as error:
        volume[0, 0, 0]
    assert time.monotonic() - began < 10
    chunk = f"/scans/{name_of('v04')}/0/0/0/0"
    if failure == "cut":  # with its own ways to go on after a cut the client may ask more often, but not for ever
        assert 4 <= server.counts()[chunk] <= 16
    else:
        assert server.counts()[chunk] == 4
    assert chunk in the_line(error)
    reason = {"cut": "the answer broke off", "silence": "no answer in time"}.get(failure, f"server answered {failure}")
    assert reason in the_line(error)
    assert "(3 retries)" in the_line(error)


def test_no_retries_means_one_request(server):
    server.always = 503
    with pytest.raises(InputError, match="503"):
        hasty(server, retries=0)
    assert set(server.counts().values()) == {1}


def test_waits_grow_and_no_request_is_made_after_the_time_to_give_up(server):
    volume = hasty(server, retries=50, first_wait_s=0.05, longest_wait_s=0.2, give_up_s=0.6)
    server.always = 429
    began = time.monotonic()
    with pytest.raises(InputError, match="429"):
        volume[0, 0, 0]
    assert 0.3 < time.monotonic() - began < 8  # 50 retries would take 10 s
    assert 3 <= server.chunks_asked().total() <= 13  # 0.6 s at 0.05 s and more


@pytest.mark.parametrize("status", [400, 401, 403, 410])
def test_what_is_refused_is_neither_asked_again_nor_taken_for_emptiness(server, status):
    volume = hasty(server)
    server.always = status
    with pytest.raises(InputError, match=f"answered {status}") as error:
        volume[0, 0, 0]
    assert server.chunks_asked().total() == 1
    assert ("AWS_SKIP_SIGNATURE" in the_line(error)) == (status in (401, 403))


def test_a_sharded_zarr_on_a_server_without_ranges_is_refused(server):
    volume = hasty(server, "sharded")
    server.gives_ranges = False
    with pytest.raises(InputError, match="sends no parts of files"):
        volume[0, 0, 0]


def test_a_bucket_that_is_not_there_is_reported_as_such(server):
    with pytest.raises(InputError, match="no such bucket") as error:
        open_volume("s3://scanz/a.zarr")
    assert "s3://scanz/a.zarr" in the_line(error)


def test_an_address_without_a_zarr_is_reported_as_such(server):
    with pytest.raises(MissingInputError, match=r"scans/other\.zarr: no \.zgroup.*check the spelling") as error:
        open_volume(f"{server.address}/scans/other.zarr")
    the_line(error)


def test_a_server_that_answers_everything_with_a_page_is_no_zarr(server):
    server.always, server.body_of_errors = 200, b"<!doctype html>\n<title>Welcome</title>\n"
    with pytest.raises(InputError, match="unreadable as zarr") as error:
        open_volume(at(server))
    the_line(error)


@pytest.mark.parametrize(
    ("address", "reason"),
    [("http://127.0.0.1:9/a.zarr", "connection refused"), ("https://nowhere.invalid/a.zarr", "no such host")],
)
def test_a_host_that_cannot_be_reached_is_one_line_in_bounded_time(server, address, reason):
    began = time.monotonic()
    with pytest.raises(InputError, match=reason) as error:
        open_volume(address, remote=HASTY)
    assert time.monotonic() - began < 10
    assert address in the_line(error)
    assert "(3 retries)" in the_line(error)


def test_an_unreachable_s3_is_one_line_too(server, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(InputError, match=r"s3://scans/a\.zarr/\S+: connection refused") as error:
        open_volume("s3://scans/a.zarr", remote=HASTY)
    the_line(error)


@pytest.mark.parametrize(
    "address",
    ["https://", "s3:///key", "https://host/a.zarr?token=1", "https://me:secret@host/a.zarr", "http://host:99999/a"],
)
def test_an_address_that_cannot_serve_is_refused_before_anything_is_sent(address):
    with pytest.raises(InputError, match=r"no address|expected an address") as error:
        open_volume(address)
    assert "secret" not in the_line(error)


def test_nothing_is_written_to_a_server(server):
    with pytest.raises(InputError, match="is remote"):
        ome_zarr.open_array(at(server), mode="r+")
    assert not server.requests


def read_in_child(volume, answers):
    try:
        volume[0, 0, 0]
        answers.put("read")
    except InputError as error:
        answers.put(str(error))


def test_a_forked_process_is_refused_where_it_would_hang(server):
    volume = hasty(server)
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    child = context.Process(target=read_in_child, args=(volume, answers), daemon=True)
    child.start()
    try:
        assert "set start_method to auto" in answers.get(timeout=20)
    finally:
        child.kill()
        child.join()


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_fresh_process_reads_what_the_one_that_starts_it_reads(server, method):
    volume = hasty(server)
    context = family(method)
    answers = context.Queue()
    child = context.Process(target=read_in_child, args=(volume, answers), daemon=True)
    child.start()
    try:
        assert answers.get(timeout=60) == "read"
    finally:
        child.kill()
        child.join()


@pytest.mark.parametrize("wrong", [{"retries": -1}, {"cache_bytes": -1}, {"first_wait_s": 0}, {"give_up_s": -1.0}])
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError, match="times above 0"):
        RemoteSettings(**wrong)


def test_without_obstore_the_message_says_what_to_install():
    code = "import sys; sys.modules['obstore'] = None; from scroll.runtime.command_line import run_command; "
    code += "from scroll.volumes import open_volume; run_command(lambda: open_volume('https://host.invalid/a.zarr'))"
    got = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert got.returncode == 2
    assert got.stderr.count("\n") == 1
    assert "pip install 'scroll-ensemble[remote]'" in got.stderr

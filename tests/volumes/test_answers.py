"""What web servers send in place of a file: the same bytes packed for the way, or a page for people."""

import gzip
import zlib

import pytest

from scroll.errors import InputError
from scroll.volumes.http_answers import body_of
from scroll.volumes.url import Url

URL = Url("http://host/ct.zarr/0.0.0")
BODY = bytes(range(256)) * 8


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        (None, BODY),
        ("identity", BODY),
        ("gzip", gzip.compress(BODY, mtime=0)),
        ("GZIP", gzip.compress(BODY, mtime=0)),
        ("deflate", zlib.compress(BODY)),
    ],
)
def test_what_was_packed_for_the_way_is_unpacked(encoding, packed):
    attributes = {} if encoding is None else {"Content-Encoding": encoding}
    assert body_of(URL, packed, attributes, is_part=False) == BODY


def test_a_chunk_that_is_itself_gzip_is_left_alone():
    packed = gzip.compress(BODY, mtime=0)
    assert body_of(URL, packed, {}, is_part=False) == packed


@pytest.mark.parametrize(
    ("body", "attributes", "is_part", "named"),
    [
        (gzip.compress(BODY, mtime=0), {"Content-Encoding": "gzip"}, True, "packed a part of it .*gzip"),
        (BODY, {"Content-Encoding": "br"}, False, "Content-Encoding: br"),
        (BODY, {"Content-Encoding": "gzip"}, False, "not the gzip"),
        (gzip.compress(BODY, mtime=0)[:-9], {"Content-Encoding": "gzip"}, False, "cut off"),
        (b"<!DOCTYPE html><html></html>", {}, False, "web page.*login"),
        (b"\n <HTML>", {}, False, "web page"),
        (b"<head>", {"Content-Type": "text/html; charset=utf-8"}, False, "web page"),
        (gzip.compress(b"<html></html>", mtime=0), {"Content-Encoding": "gzip"}, False, "web page"),
    ],
)
def test_what_cannot_be_the_file_is_named_in_a_line(body, attributes, is_part, named):
    with pytest.raises(InputError, match=named) as error:
        body_of(URL, body, attributes, is_part)
    assert "\n" not in str(error.value)

"""Catalogues that are damaged, too long or wrong in a part: one line each, which names the place, and the rest is read."""

import copy
import gzip
import itertools
import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from scroll.catalogue.read import read_catalogue
from scroll.catalogue.table import entry_text, matching, plain_entry, table
from scroll.errors import InputError, MissingInputError
from scroll.runtime.bounded import MOST_JSON_BYTES
from tests.catalogue.published import OTHER, SEGMENT, VOLUME, classic, open_data

BASE = "metadata.samples.PHerc0139"
IN_SEGMENT = f"{BASE}.segments.{SEGMENT}"


def put(content: Any, path: list[Any], value: Any) -> None:
    for key in path[:-1]:
        content = content[key]
    content[path[-1]] = value


SAMPLE = ["metadata", "samples", "PHerc0139"]
PARTS = {
    "a scroll that is none": (SAMPLE, [], BASE, "holds a list; expected a mapping"),
    "volumes that are a text": ([*SAMPLE, "volumes"], "x", f"{BASE}.volumes", "holds 'x'; expected a mapping from ids to entries"),
    "a volume that is a number": ([*SAMPLE, "volumes", VOLUME], 3, f"{BASE}.volumes.{VOLUME}", "holds 3; expected a mapping"),
    "a size in words": (
        [*SAMPLE, "volumes", VOLUME, "pixel_size_um"], "small", f"{BASE}.volumes.{VOLUME}.pixel_size_um", "expected a number above 0",
    ),
    "a size that is true": (
        [*SAMPLE, "volumes", VOLUME, "pixel_size_um"], True, f"{BASE}.volumes.{VOLUME}.pixel_size_um", "holds True; expected a number",
    ),
    "an infinite size": (
        [*SAMPLE, "volumes", VOLUME, "pixel_size_um"], float("inf"), f"{BASE}.volumes.{VOLUME}.pixel_size_um", "holds inf; expected",
    ),
    "a scale below 0": (
        [*SAMPLE, "segments", SEGMENT, "properties"], {"original_volume_downscale": -4},
        f"{IN_SEGMENT}.properties.original_volume_downscale", "holds -4; expected a number above 0",
    ),
    "an id that is a list": (
        [*SAMPLE, "segments", SEGMENT, "original_volume_id"], [1], f"{IN_SEGMENT}.original_volume_id", "holds a list; expected a text",
    ),
    "a name over two lines": ([*SAMPLE, "segments", SEGMENT, "suffix"], "w0\n16", f"{IN_SEGMENT}.suffix", "expected a text of printable"),
    "data that is a text": ([*SAMPLE, "segments", SEGMENT, "data"], "x", f"{IN_SEGMENT}.data", "holds 'x'; expected a list"),
    "no type": ([*SAMPLE, "segments", SEGMENT, "data", 1], {"origins": []}, f"{IN_SEGMENT}.data[1].type", "not there; expected a type"),
    "no origin": ([*SAMPLE, "segments", SEGMENT, "data", 1, "origins"], [], f"{IN_SEGMENT}.data[1].origins", "says no place; expected"),
    "no path": (
        [*SAMPLE, "segments", SEGMENT, "data", 1, "origins", 0], {"access_roots": []}, f"{IN_SEGMENT}.data[1].origins[0].path", "not there",
    ),
    "no public root": (
        [*SAMPLE, "segments", SEGMENT, "data", 1, "origins", 0, "access_roots"], [{"url": "s3://a/", "usage": "internal"}],
        f"{IN_SEGMENT}.data[1].origins[0].access_roots", "names no public url; expected one",
    ),
    "a path that leads out": (
        [*SAMPLE, "segments", SEGMENT, "data", 1, "origins", 0, "path"], "../../etc", f"{IN_SEGMENT}.data[1].origins[0].path",
        "leads elsewhere",
    ),
    "an address with a password": (
        [*SAMPLE, "segments", SEGMENT, "data", 1, "origins", 0, "path"], "https://me:secret@host/a", f"{IN_SEGMENT}.data[1].origins[0]",
        "holds a user name or a password",
    ),
    "a key that is misspelt": (
        [*SAMPLE, "segments", SEGMENT, "original_volumeid"], "1", f"{IN_SEGMENT}.original_volumeid", "did you mean 'original_volume_id'?",
    ),
    "a key that nobody knows": ([*SAMPLE, "volumes", VOLUME, "colour"], "1", f"{BASE}.volumes.{VOLUME}.colour", "nothing reads it"),
    "a scroll by two names": (
        ["metadata", "samples", "Scroll1"], {"segments": {}}, "metadata.samples.Scroll1",
        "names PHercParis4, as metadata.samples.PHercParis4 does",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", PARTS)
def test_a_part_that_is_wrong_is_named_in_a_line_and_the_rest_is_read(tmp_path, case):
    path, value, where, text = PARTS[case]
    content = open_data()
    put(content, path, value)
    (tmp_path / "metadata.json").write_text(json.dumps(content))
    catalogue = read_catalogue(str(tmp_path / "metadata.json"))
    fault = next(one for one in catalogue.faults if one.where == where)
    assert text in fault.message and "\n" not in str(fault) and "secret" not in str(fault)
    assert len(catalogue.faults) == 1 and OTHER in catalogue.scrolls["PHercParis4"].segments


def test_entries_in_a_list_are_known_by_their_id_and_one_without_is_named(tmp_path):
    content = open_data()
    segment = content["metadata"]["samples"]["PHerc0139"]["segments"].pop(SEGMENT)
    content["metadata"]["samples"]["PHerc0139"]["segments"] = [{"id": SEGMENT, **segment}, segment, {"id": SEGMENT}]
    (tmp_path / "a.json").write_text(json.dumps(content))
    catalogue = read_catalogue(str(tmp_path / "a.json"))
    assert list(catalogue.scrolls["PHerc0139"].segments) == [SEGMENT]
    assert [str(fault) for fault in catalogue.faults] == [
        f"{BASE}.segments[1]: has no id: passed over",
        f"{BASE}.segments[2]: is called '{SEGMENT}', as {BASE}.segments[0] is: passed over",
    ]


def places(content: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a catalogue."""
    parts = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, part in parts:
        yield (*path, key)
        yield from places(part, (*path, key))


ODD = (
    None,
    True,
    0,
    -1,
    1e400,
    "",
    "x",
    "../..",
    "s3://",
    "https://a@b/c",
    [],
    {},
    [[]],
    [None],
    {"a": None},
    {"id": []},
    "2026999",
)
ODD_EACH = 6  # of these, in every place


@pytest.mark.parametrize("published", ["open data", "classic"])
def test_whatever_stands_in_the_place_of_a_part_every_command_has_its_say(tmp_path, published):
    """Nothing but one-line errors, whichever of its parts is replaced by whichever value."""
    whole = open_data() if published == "open data" else classic("https://dl.ash2txt.org")
    path = tmp_path / "metadata.json"
    for number, place in enumerate(places(whole)):
        for value in itertools.islice(itertools.cycle(ODD), number * ODD_EACH, (number + 1) * ODD_EACH):
            content = copy.deepcopy(whole)
            put(content, list(place), value)
            path.write_text(json.dumps(content))
            try:
                catalogue = read_catalogue(str(path))
            except InputError as error:
                assert len(place) <= 3 and "\n" not in str(error)
                continue
            assert all("\n" not in str(fault) for fault in catalogue.faults)
            table(matching(catalogue, None))
            for scroll in catalogue.scrolls.values():
                entry_text(catalogue, scroll)
                for entry in scroll.entries:
                    json.dumps(plain_entry(catalogue, entry), allow_nan=False)
                    entry_text(catalogue, entry)


WHOLE = {
    "cut off": (json.dumps(open_data())[:-40].encode(), "not readable as JSON"),
    "empty": (b"", "holds nothing; expected scroll -> energy"),
    "a list": (b"[1, 2]", "holds a list; expected"),
    "no samples": (
        b'{"metadata": {"sample": {}}}',
        r"metadata\.samples holds None; expected a mapping from names of scrolls",
    ),
    "samples in a list": (b'{"samples": [1]}', "samples holds a list"),
    "a key twice": (b'{"samples": {"A": {}, "A": {}}}', "key 'A' stands twice"),
    "too deep": (b'{"samples": ' + b"[" * 100_000, "not readable as JSON"),
    "a web page": (b"<!doctype html><html>", "not readable as YAML|holds a str"),
    "a picture": (b"\x89PNG\r\n\x1a\n\x00\x00", "no text in UTF-8"),
    "gzip cut off": (gzip.compress(json.dumps(open_data()).encode())[:-30], "is cut off"),
    "damaged gzip": (b"\x1f\x8b" + bytes(50), "damaged gzip"),
    "gzip without end": (gzip.compress(bytes(MOST_JSON_BYTES + 10)), f"unpacks to more than {MOST_JSON_BYTES}"),
    "a YAML of numbers": (b"1: 2\n", r"names no scroll \(1: holds 2; expected a mapping from energies"),
    "a YAML key twice": (b"a: 1\na: 2\n", "twice"),
    "a long YAML": (b"a: 1\n" * 300_000, "a YAML of more than"),
    "an address with a query": (
        b'"1": {"54": {"7.91": {"volume": "https://a/b?x=1"}}}',
        "names no scroll .*without '[?]'",
    ),
}


@pytest.mark.parametrize("case", WHOLE)
def test_a_catalogue_that_is_none_is_refused_in_one_line_that_names_it(tmp_path, case):
    body, text = WHOLE[case]
    (tmp_path / "catalogue").write_bytes(body)
    with pytest.raises(InputError, match=text) as error:
        read_catalogue(str(tmp_path / "catalogue"))
    assert str(error.value).startswith(str(tmp_path / "catalogue")) and "\n" not in str(error.value)


def test_a_catalogue_that_is_not_there_is_said(tmp_path):
    with pytest.raises(MissingInputError, match=r"none\.json: not there; expected a catalogue"):
        read_catalogue(str(tmp_path / "none.json"))


def test_ten_megabytes_are_read_packed_or_not_and_more_than_any_can_be_is_refused_unread(tmp_path):
    content = open_data()
    segments = content["metadata"]["samples"]["PHerc0139"]["segments"]
    filler = {"creation": {"provenance": "x" * 4000}, "data": segments[SEGMENT]["data"]}
    segments.update({f"s{number}": filler for number in range(2000)})
    body = json.dumps(content).encode()
    assert len(body) > 10**7
    for name, written in (("a.json", body), ("a.json.gz", gzip.compress(body, 1))):
        (tmp_path / name).write_bytes(written)
        assert len(read_catalogue(str(tmp_path / name)).scrolls["PHerc0139"].segments) == 2001
    with (tmp_path / "long.json").open("wb") as file:
        file.truncate(MOST_JSON_BYTES + 1)
    with pytest.raises(InputError, match="is longer than"):
        read_catalogue(str(tmp_path / "long.json"))


def test_a_catalogue_of_the_network_names_no_file_of_this_machine(server, served, tmp_path):
    content = open_data(root="/etc/")
    (served / "metadata.json").write_text(json.dumps(content))
    catalogue = read_catalogue(f"{server.address}/metadata.json")
    assert not catalogue.scrolls["PHerc0139"].segments[SEGMENT].artifacts
    assert all("a path; expected an address" in fault.message for fault in catalogue.faults)


@pytest.mark.parametrize("packed", [False, True])
def test_a_catalogue_is_one_request_over_the_network(server, served, source, packed):
    if packed:
        path = served / source.removeprefix("s3://")
        path.write_bytes(gzip.compress(path.read_bytes()))
    assert "PHerc0139" in read_catalogue(source).scrolls
    assert sum(server.counts().values()) == 1


def test_without_the_package_for_networks_a_catalogue_of_the_network_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "obstore.store", None)
    with pytest.raises(InputError, match=r"needs the package obstore.*pip install"):
        read_catalogue("https://127.0.0.1:1/nowhere/metadata.json")

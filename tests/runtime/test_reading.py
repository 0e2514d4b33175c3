"""Files that are read back and are not what they should be: one line that names the file, never a traceback."""

import errno
import json

import pytest

from scroll.errors import MOST_CHARACTERS, InputError, MissingInputError
from scroll.runtime.command_line import explained
from scroll.runtime.files import read_json, read_mapping
from scroll.runtime.reading import reading
from scroll.runtime.receipt import read_receipt
from scroll.shards.grid import Shard
from scroll.shards.ledger import Ledger, Outcome
from scroll.viewing.layers import look_at
from scroll.volumes import open_volume

NO_JSON = (b"[" * 100_000, b"9" * 5000, b"", b"\xff\xfe", b"{", "{}".encode("utf-16"), b"nope")


@pytest.mark.parametrize("content", NO_JSON)
def test_what_is_no_json_is_named(tmp_path, content):
    path = tmp_path / "fit.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"fit\.json") as message:
        read_json(path)
    assert "\n" not in str(message.value) and len(str(message.value)) < 1000


@pytest.mark.parametrize("content", [[], 5, None, "x", {}, {"rows": 5, "key": "k"}, {"rows": [], "key": None}])
def test_another_shape_than_the_reader_needs_is_named(tmp_path, content):
    path = tmp_path / "fit.json"
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"fit\.json: .*delete it and run the step that made it"):
        read_mapping(path, rows=list, key=str)


@pytest.mark.parametrize(
    "content", [{"key": 5}, {}, [], {"key": "k", "weights": 5}, {"key": "k", "weights": {"a": None}}]
)
def test_a_receipt_of_another_shape_is_named(tmp_path, content):
    (tmp_path / "receipt.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"receipt\.json"):
        read_receipt(tmp_path, "")


def test_paths_that_no_file_can_have_are_named(tmp_path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for path in (tmp_path / ("a" * 5000), tmp_path / "loop"):
        for read in (open_volume, look_at, read_json):
            with pytest.raises(InputError) as message:
                read(path)
            assert len(str(message.value)) <= MOST_CHARACTERS
    with pytest.raises(InputError):
        read_json(tmp_path)  # a folder


def test_what_the_machine_lacks_is_not_laid_to_the_file():
    with pytest.raises(OSError, match="Too many open files") as passed, reading("a.tif", "a TIFF", "copy it again"):
        raise OSError(errno.EMFILE, "Too many open files", "a.tif")
    assert "ulimit -n" in str(explained(passed.value))
    blamed = InputError("a.zarr: unreadable as zarr ([Errno 24] Too many open files); copy it again")
    blamed.__cause__ = passed.value
    assert "the cause: raise the limit of open files" in str(explained(blamed))


def test_an_error_with_a_whole_message_keeps_it():
    with pytest.raises(MissingInputError, match=r"^a: not there$"), reading("b", "x", "y"):
        raise MissingInputError("a: not there")


@pytest.mark.parametrize(
    "content",
    [*NO_JSON, b"[]", b'{"key": "k"}', b'{"key": "k", "shard": true}', b'{"key": "k", "shard": {"index": "abc"}}'],
)
def test_a_damaged_note_of_a_ledger_counts_for_nothing(tmp_path, content):
    ledger, shard = Ledger(tmp_path, "k"), Shard(0, (1, 2, 3), (4, 8, 12), (4, 4, 4))
    ledger.record(Outcome(shard, "worker"))
    assert ledger.done(0) == {(1, 2, 3)} and ledger.is_done(shard)
    (note,) = (tmp_path / "done").rglob("*.json")
    note.write_bytes(content)
    assert not ledger.done(0) and not ledger.is_done(shard)


def test_what_a_file_held_is_one_line_in_a_message_and_cut_where_nobody_would_read_on():
    assert (
        str(InputError("a.csv: the first line is 'Id\n  b\r\nc'; mend it\n"))
        == "a.csv: the first line is 'Id b c'; mend it"
    )
    message = str(InputError(f"a.yaml: {'x' * 9000}: mend it"))
    assert len(message) == 1200 and message.startswith("a.yaml: xxx") and message.endswith("xxx: mend it")


def test_the_file_that_is_lost_is_named_where_another_speaks_of_it(tmp_path):
    with (
        pytest.raises(InputError, match=r"score\.json: No such file or directory \(.*1_ct\.png\)"),
        reading(tmp_path / "score.json", "a score", "score again"),
    ):
        (tmp_path / "1_ct.png").read_bytes()
